"""The Qwen backend with scripted text: the whole model is computed, then the sampled tokens are replaced.

Random weights have no text and no end. Here a text has three words per second of its audio, as English speech has, and
each step revises the last ones, as real partials do (see `benchmarks.scripted_qwen`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.scripted_qwen import script
from steno.backends.drafts import Ids
from steno.backends.qwen import factory
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.batching.cascade import Cascade
from steno.backends.qwen.batching.request import Request
from steno.backends.qwen.batching.runner import ModelRunner
from steno.backends.qwen.checkpoint.loader import read_processor
from steno.backends.qwen.checkpoint.model_source import resolve
from steno.backends.qwen.model.sampling import SampledToken
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.backends.qwen.model.model import AsrModel
    from steno.backends.registry import BackendOptions

HEADER = "language English<asr_text>"
WORD_LETTERS = 2


def create(options: BackendOptions) -> ScriptedBackend:
    """For the registry, in place of `steno.backends.qwen.factory.create`."""
    return ScriptedBackend(factory.create(options))


class ScriptedBackend(QwenBackend):
    """A `QwenBackend` whose texts are scripted.

    Args:
        plain: the backend that it stands for.
    """

    def __init__(self, plain: QwenBackend) -> None:
        super().__init__(plain._options, plain._engine)

    def load(self, progress: Progress) -> None:
        super().load(progress)
        model = self.loaded().main.model
        reserved = model.slots // 4 if model.slots < self._engine.slots else 0
        processor = read_processor(resolve(self._options.model_ref("recogniser"), lambda *_: None))
        self._cascade = Cascade(ScriptedRunner(model, processor.tokenizer, reserved))


class ScriptedRunner(ModelRunner):
    """A `ModelRunner` that replaces what the model chose."""

    def __init__(self, model: AsrModel, tokenizer: Any, reserved: int) -> None:
        super().__init__(model, reserved=reserved)
        self._header: Ids = tuple(tokenizer(HEADER, add_special_tokens=False)["input_ids"])
        self._words = _words(tokenizer.get_vocab())
        self._end = min(model.stop_token_ids)

    def _take(self, request: Request, sampled: Sequence[SampledToken]) -> list[Request]:
        forced = request.draft[: request.forced] if not request.tokens else ()
        text = self._text(request)
        expected = [*forced, *text[len(forced) :], self._end]
        rest = expected[len(request.tokens) :] or [self._end]
        replaced = [SampledToken(token, 0.0, token) for token, _ in zip(rest, sampled, strict=False)]
        return super()._take(request, replaced)

    def _text(self, request: Request) -> Ids:
        params = request.params
        words = [self._words[number % len(self._words)] for number in script(len(params.audio) / SAMPLE_RATE)]
        return (*(() if params.language else self._header), *words)


def _words(vocabulary: dict[str, int]) -> list[int]:
    """Tokens that begin a word, of letters alone."""
    found = {piece: token for piece, token in vocabulary.items() if piece[:1] == "Ġ" and piece[1:].isascii()}
    return sorted(token for piece, token in found.items() if piece[1:].isalpha() and len(piece) > WORD_LETTERS)
