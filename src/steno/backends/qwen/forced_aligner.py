"""Qwen3-ForcedAligner: audio and its text → the times of the words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steno.alignment.repair import repair_times
from steno.backends.aligners.base import Align, Alignment
from steno.backends.qwen3_asr.prompt import LANGUAGES
from steno.errors import (
    AudioTooLongError,
    BackendError,
    StenoError,
    UnsupportedFeatureError,
    UnsupportedLanguageError,
)
from steno.types import SAMPLE_RATE, Word

if TYPE_CHECKING:
    from steno.types import Audio

CODES = ("zh", "en", "yue", "fr", "de", "it", "ja", "ko", "pt", "ru", "es")
"""The languages that it supports."""

SPLITTERS = {"ja": ("nagisa", "steno[ja]"), "ko": ("soynlp", "steno[ko]")}
"""Word splitters for languages written without spaces: the package, and the extra that installs it."""

MAX_AUDIO_S = 300.0
MAX_TEXT_CHARS = 10_000


@dataclass(frozen=True, slots=True)
class AlignerWord:
    """A word as the aligner takes it, and the part of the text that it stands for, punctuation included."""

    spoken: str
    text: str


class ForcedAligner:
    """A loaded checkpoint. Not thread-safe."""

    def __init__(self, loaded: Any) -> None:
        from steno.backends.qwen.model.cuda.transfers import copy_to_device, copy_to_host
        from steno.backends.qwen.model.encoder import Encoder
        from steno.backends.qwen.model.torch_encoder import torch_encoder_of
        from steno.backends.qwen3_asr.frontend import Frontend

        self._model = loaded.model
        self._processor = loaded.processor
        self.device = loaded.device
        frontend = Frontend(loaded.processor, loaded.device, copy_to_device, copy_to_host)
        self._encoder = Encoder(loaded.model.model, frontend, torch_encoder_of(loaded))
        self._added = sorted(loaded.processor.tokenizer.get_added_vocab(), key=len, reverse=True)

    def warm_up(self) -> None:
        from steno.backends.qwen.model.model import warm_up_audio

        self.align([Align(warm_up_audio(1.0), "one two")])

    def align(self, batch: Sequence[Align]) -> list[Alignment | StenoError]:
        """Align each piece. A piece whose text cannot be split into words fails alone."""
        units: list[list[AlignerWord] | StenoError] = []
        for work in batch:
            try:
                units.append(self._units(work))
            except StenoError as error:
                units.append(error)
        clips = [(work.audio, own) for work, own in zip(batch, units, strict=True) if isinstance(own, list) and own]
        found = iter(self._times(clips))
        outcomes: list[Alignment | StenoError] = []
        for work, own in zip(batch, units, strict=True):
            if isinstance(own, StenoError):
                outcomes.append(own)
            elif own:
                spans = repair_times(next(found), len(work.audio) / SAMPLE_RATE)
                words = (Word(unit.text, *span) for unit, span in zip(own, spans, strict=True))
                outcomes.append(Alignment(tuple(words)))
            else:
                outcomes.append(Alignment(()))
        return outcomes

    def _units(self, work: Align) -> list[AlignerWord]:
        text = blank_tokens(work.text, self._added)
        language = None if work.language is None else LANGUAGES[work.language]
        try:
            spoken = self._processor.split_words_for_alignment(text, language)
        except Exception as error:
            raise BackendError(f"the text could not be split into words: {error}") from error
        return align_units(work.text, spoken, text)

    def _times(self, clips: Sequence[tuple[Audio, list[AlignerWord]]]) -> list[list[tuple[float, float]]]:
        """The spans of each piece's units, as the model predicts them, in seconds."""
        import torch

        from steno.backends.qwen3_asr.log_mel import extend_all

        if not clips:
            return []
        with torch.inference_mode():
            states = [self._encoder.new_audio_state() for _ in clips]
            extend_all([(state, audio) for state, (audio, _) in zip(states, clips, strict=True)])
            self._encoder.encode(states)
            audios = [torch.cat(state.embeddings) for state in states]
            ids = [self._ids(len(audio), units) for audio, (_, units) in zip(audios, clips, strict=True)]
            logits = self._forward(ids, audios)
        words = [[unit.spoken for unit in units] for _, units in clips]
        decoded = self._processor.decode_forced_alignment(
            logits, _padded(ids).to(logits.device), words, self._model.config.timestamp_token_id
        )
        return [[(item["start_time"], item["end_time"]) for item in items] for items in decoded]

    def _ids(self, audio_tokens: int, units: Sequence[AlignerWord]) -> list[int]:
        processor = self._processor
        words = "".join(f"{unit.spoken}<timestamp><timestamp>" for unit in units)
        tokenizer = processor.tokenizer
        before = tokenizer(processor.audio_bos_token, add_special_tokens=False)["input_ids"]
        after = tokenizer(processor.audio_eos_token + words, add_special_tokens=False)["input_ids"]
        return [*before, *([self._model.config.audio_token_id] * audio_tokens), *after]

    def _forward(self, ids: Sequence[Sequence[int]], audios: Sequence[Any]) -> Any:
        """Class scores, shape [pieces, tokens, classes]. Padded on the right, which causal attention ignores."""
        inputs = _padded(ids).to(self.device)
        language_model = self._model.model.language_model
        embedded = language_model.embed_tokens(inputs)
        for row, (tokens, audio) in enumerate(zip(ids, audios, strict=True)):
            start = tokens.index(self._model.config.audio_token_id)
            embedded[row, start : start + len(audio)] = audio.to(embedded.dtype)
        hidden = language_model(
            inputs_embeds=embedded, attention_mask={"full_attention": None}, use_cache=False
        ).last_hidden_state
        return self._model.score(hidden).float()


def blank_tokens(text: str, tokens: Sequence[str]) -> str:
    """`text` with spaces in place of `tokens`; all other characters keep their positions."""
    for token in tokens:
        text = text.replace(token, " " * len(token))
    return text


def align_units(text: str, spoken: Sequence[str], search_text: str | None = None) -> list[AlignerWord]:
    """The words to align, each with its part of `text`; the parts cover all of `text`.

    Args:
        spoken: the splitter's words.
        search_text: where the words are searched, as long as `text`; None = in `text`.

    Raises:
        BackendError: a splitter changed a word so that it is not found in the text.
    """
    if not spoken:
        return []
    # Splitters may normalise full-width characters: both sides are compared in NFKC form.
    folded, origin = _folded(text if search_text is None else search_text)
    starts: list[int] = []
    at = 0
    for word in spoken:
        for n, char in enumerate(_folded(word)[0]):
            found = folded.find(char, at)
            if found < 0:
                raise BackendError(f"the aligner's word {word!r} was not found in the text")
            if n == 0:
                starts.append(origin[_word_start(folded, found, at)])
            at = found + 1
    starts[0] = 0
    ends = [*starts[1:], len(text)]
    return [AlignerWord(word, text[start:end].strip()) for word, start, end in zip(spoken, starts, ends, strict=True)]


def _folded(text: str) -> tuple[str, list[int]]:
    """`text` in NFKC form, and for each of its characters the index in `text`."""
    forms = [unicodedata.normalize("NFKC", char) for char in text]
    return "".join(forms), [n for n, form in enumerate(forms) for _ in form]


def check(work: Align) -> None:
    if work.language is not None and work.language not in CODES:
        known = ", ".join(CODES)
        raise UnsupportedLanguageError(
            f"the aligner does not support {work.language!r}; expected one of {known}", param="language"
        )
    package, extra = SPLITTERS.get(work.language or "", ("", ""))
    if package and not _is_installed(package):
        raise UnsupportedFeatureError(f"aligning {work.language!r} needs {package}: pip install '{extra}'")
    seconds = len(work.audio) / SAMPLE_RATE
    if seconds > MAX_AUDIO_S:
        raise AudioTooLongError(f"the aligner takes at most {MAX_AUDIO_S:.0f} s of audio; this is {seconds:.1f} s")
    if len(work.text) > MAX_TEXT_CHARS:
        raise UnsupportedFeatureError(
            f"the aligner takes at most {MAX_TEXT_CHARS} characters; this text has {len(work.text)}"
        )


def _word_start(text: str, start: int, earliest: int) -> int:
    """Start of a word including opening quotes and brackets directly before it."""
    while start > earliest and not text[start - 1].isspace() and not text[start - 1].isalnum():
        if text[start - 1] in ".,;:!?…。，、；：！？)]}”’»":
            break
        start -= 1
    return start


def _is_installed(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


def _padded(rows: Sequence[Sequence[int]]) -> Any:
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
