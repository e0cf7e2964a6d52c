"""Word times of a given text, computed in a child process."""

from __future__ import annotations

from typing import TypeAlias

from pocketsphinx import Decoder

from steno.backends.sphinx.pronounce import pronounce
from steno.backends.sphinx.recogniser import SpokenWord, words_of
from steno.backends.sphinx.spelling import spoken

WordTimes: TypeAlias = tuple[float, float]
"""Start and end, in seconds from the start of the audio. (The decoder's probabilities mean nothing here: it
only compares pronunciations of the given words.)"""

_SEARCH = {"lm": None, "bestpath": False, "beam": 1e-120, "pbeam": 1e-120, "wbeam": 1e-100}
"""Wide beams, so that a mispronounced name does not lose the rest of the text; they take 20 % longer. `bestpath`, the
lattice search for language models, drops words at the end."""

_HISSES = {"S", "Z", "SH", "ZH", "CH", "JH"}
_VOICELESS = {"P", "T", "K", "F", "TH"}


class AlignmentDecoder:
    """A decoder without a language model: the words are given, only their times are searched."""

    def __init__(self) -> None:
        self._decoder = Decoder(samprate=16_000, loglevel="FATAL", **_SEARCH)

    def align(self, pcm: bytes, tokens: list[str]) -> list[WordTimes | None] | None:
        """The span of each token, None for one without phones. Returns None if the text was not found."""
        spoken_words = [
            [word for word in spoken(token, self._in_dictionary) if self._ensure_pronounceable(word)]
            for token in tokens
        ]
        text = " ".join(word for words in spoken_words for word in words)
        if not text:
            return [None] * len(tokens)
        self._decoder.reinit_feat()
        self._decoder.set_align_text(text)
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, False, True)
        self._decoder.end_utt()
        found = words_of(self._decoder, done=True) if self._decoder.hyp() else []
        if [word for word, *_ in found] != text.split():
            return None
        return [_span([found.pop(0) for _ in words]) for words in spoken_words]

    def _in_dictionary(self, word: str) -> bool:
        return self._decoder.lookup_word(word) is not None

    def _ensure_pronounceable(self, word: str) -> bool:
        """Add `word` to the dictionary if it is missing; False if it has no phones."""
        if self._in_dictionary(word):
            return True
        phones = self._phones(word)
        if phones:
            self._decoder.add_word(word, " ".join(phones), False)
        return bool(phones)

    def _phones(self, word: str) -> list[str]:
        stem = word.removesuffix("'s")
        known = self._decoder.lookup_word(stem)
        phones: list[str] = known.split() if known else list(pronounce(stem.replace("'", "")))
        if stem != word and phones:
            phones += ["IH", "Z"] if phones[-1] in _HISSES else ["S"] if phones[-1] in _VOICELESS else ["Z"]
        return phones


def _span(parts: list[SpokenWord]) -> WordTimes | None:
    return (parts[0][1], parts[-1][2]) if parts else None
