"""Qwen3-ForcedAligner: audio and a text in, the times of its words out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steno.alignment.repair import repaired
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
"""The languages that it knows."""

SPLITTERS = {"ja": ("nagisa", "steno[ja]"), "ko": ("soynlp", "steno[ko]")}
"""What finds the words of a language that writes none: the package, and the extra that brings it."""

MAX_AUDIO_S = 300.0
MAX_TEXT_CHARS = 10_000


@dataclass(frozen=True, slots=True)
class AlignerWord:
    """A word as the aligner takes it, and the stretch of the text that it stands for, punctuation included."""

    said: str
    text: str


class ForcedAligner:
    """A loaded checkpoint. Not thread-safe."""

    def __init__(self, loaded: Any) -> None:
        from steno.backends.qwen.model.encoder import Encoder
        from steno.backends.qwen.model.frontend import Frontend

        self._model = loaded.model
        self._processor = loaded.processor
        self.device = loaded.device
        self._encoder = Encoder(loaded.model.model, Frontend(loaded.processor, loaded.device))
        self._added = sorted(loaded.processor.tokenizer.get_added_vocab(), key=len, reverse=True)

    def warm_up(self) -> None:
        from steno.backends.qwen.model.model import like_speech

        self.align([Align(like_speech(1.0), "one two")])

    def align(self, works: Sequence[Align]) -> list[Alignment | StenoError]:
        """A piece whose text cannot be split or found fails alone."""
        units: list[list[AlignerWord] | StenoError] = []
        for work in works:
            try:
                units.append(self._units(work))
            except StenoError as error:
                units.append(error)
        pieces = [(work.audio, own) for work, own in zip(works, units, strict=True) if isinstance(own, list) and own]
        found = iter(self._times(pieces))
        outcomes: list[Alignment | StenoError] = []
        for work, own in zip(works, units, strict=True):
            if isinstance(own, StenoError):
                outcomes.append(own)
            elif own:
                spans = repaired(next(found), len(work.audio) / SAMPLE_RATE)
                words = (Word(unit.text, *span) for unit, span in zip(own, spans, strict=True))
                outcomes.append(Alignment(tuple(words)))
            else:
                outcomes.append(Alignment(()))
        return outcomes

    def _units(self, work: Align) -> list[AlignerWord]:
        text = blanked(work.text, self._added)
        language = None if work.language is None else LANGUAGES[work.language]
        try:
            said = self._processor.split_words_for_alignment(text, language)
        except Exception as error:
            raise BackendError(f"the words of the text could not be told apart: {error}") from error
        return units_of(work.text, said, text)

    def _times(self, pieces: Sequence[tuple[Audio, list[AlignerWord]]]) -> list[list[tuple[float, float]]]:
        """The spans of each piece's units, as the model sees them."""
        import torch

        if not pieces:
            return []
        with torch.inference_mode():
            sounds = [self._encoder.sound() for _ in pieces]
            for sound, (audio, _) in zip(sounds, pieces, strict=True):
                sound.extend(audio)
            self._encoder.encode(sounds)
            audios = [torch.cat(sound.embeddings) for sound in sounds]
            ids = [self._ids(len(audio), units) for audio, (_, units) in zip(audios, pieces, strict=True)]
            logits = self._forward(ids, audios)
        words = [[unit.said for unit in units] for _, units in pieces]
        decoded = self._processor.decode_forced_alignment(
            logits, _padded(ids).to(logits.device), words, self._model.config.timestamp_token_id
        )
        return [[(item["start_time"], item["end_time"]) for item in items] for items in decoded]

    def _ids(self, audio_tokens: int, units: Sequence[AlignerWord]) -> list[int]:
        processor = self._processor
        words = "".join(f"{unit.said}<timestamp><timestamp>" for unit in units)
        tokenizer = processor.tokenizer
        before = tokenizer(processor.audio_bos_token, add_special_tokens=False)["input_ids"]
        after = tokenizer(processor.audio_eos_token + words, add_special_tokens=False)["input_ids"]
        return [*before, *([self._model.config.audio_token_id] * audio_tokens), *after]

    def _forward(self, ids: Sequence[Sequence[int]], audios: Sequence[Any]) -> Any:
        """Class scores, shape [pieces, tokens, classes]. Padded on the right, which a causal pass does not see."""
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


def blanked(text: str, tokens: Sequence[str]) -> str:
    """`text` with spaces in place of `tokens`: what else stands in it stays where it was."""
    for token in tokens:
        text = text.replace(token, " " * len(token))
    return text


def units_of(text: str, said: Sequence[str], searched: str | None = None) -> list[AlignerWord]:
    """The words that are aligned, each with its stretch of `text`: all of it is in one of them.

    `searched` is the text in which the words are looked for, as long as `text`; by default that.

    Raises:
        BackendError: a splitter changed the words so that they are not found in the text.
    """
    if not said:
        return []
    # Splitters may write full-width characters in the ordinary way: both are compared in that form.
    plain, origin = _plain(text if searched is None else searched)
    starts: list[int] = []
    at = 0
    for word in said:
        for n, char in enumerate(_plain(word)[0]):
            found = plain.find(char, at)
            if found < 0:
                raise BackendError(f"the aligner's word {word!r} is not in the text")
            if n == 0:
                starts.append(origin[_opening(plain, found, at)])
            at = found + 1
    starts[0] = 0
    ends = [*starts[1:], len(text)]
    return [AlignerWord(word, text[start:end].strip()) for word, start, end in zip(said, starts, ends, strict=True)]


def _plain(text: str) -> tuple[str, list[int]]:
    """`text` in compatibility form, and for each character of that where it stands in `text`."""
    forms = [unicodedata.normalize("NFKC", char) for char in text]
    return "".join(forms), [n for n, form in enumerate(forms) for _ in form]


def check(work: Align) -> None:
    if work.language is not None and work.language not in CODES:
        known = ", ".join(CODES)
        raise UnsupportedLanguageError(
            f"the aligner does not know {work.language!r}; it knows {known}", param="language"
        )
    package, extra = SPLITTERS.get(work.language or "", ("", ""))
    if package and not _is_installed(package):
        raise UnsupportedFeatureError(f"aligning {work.language!r} needs {package}: pip install '{extra}'")
    seconds = len(work.audio) / SAMPLE_RATE
    if seconds > MAX_AUDIO_S:
        raise AudioTooLongError(f"the aligner takes {MAX_AUDIO_S:.0f} s at once, this is {seconds:.1f} s")
    if len(work.text) > MAX_TEXT_CHARS:
        raise UnsupportedFeatureError(f"the aligner takes {MAX_TEXT_CHARS} characters, this text has {len(work.text)}")


def _opening(text: str, start: int, least: int) -> int:
    """Where a word begins with what opens it: quotes and brackets directly before it."""
    while start > least and not text[start - 1].isspace() and not text[start - 1].isalnum():
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
