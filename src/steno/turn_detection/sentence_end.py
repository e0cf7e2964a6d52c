"""How likely a sentence of English ends after its last word, from the words alone (`data/README.md`).

Punctuation is left out: the recogniser judges it, if it can (`Hypothesis.sentence_end`). `onnxruntime` is imported when
the network is loaded.
"""

from __future__ import annotations

from pathlib import Path

from steno.onnx_session import open_session
from steno.turn_detection.spoken_words import CONTEXT, ids_of, words_of

NETWORK = Path(__file__).parent / "data" / "sentence_end.onnx"
VOCABULARY = NETWORK.with_name("sentence_end_words.txt")
LANGUAGE = "en"


class SentenceEnds:
    """The network. Calls may run in several threads at once."""

    def __init__(self) -> None:
        self._session = open_session(NETWORK)
        words = VOCABULARY.read_text(encoding="utf-8").split()
        self._vocabulary = {word: n for n, word in enumerate(words, 1)}

    def log_odds(self, text: str) -> tuple[float, float] | None:
        """Two natural logarithms after the last word of `text`: the odds that the sentence ends there, among the
        words of a text; and how much likelier its end is there than anywhere, by trigrams. None without words."""
        words = words_of(text)[-CONTEXT:]
        if not words:
            return None
        (found,) = self._session.run(None, {"ids": ids_of(words, self._vocabulary)})
        return float(found[0]), float(found[1])
