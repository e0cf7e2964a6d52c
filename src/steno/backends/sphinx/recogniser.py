"""Recognition in a child process: samples → words."""

from __future__ import annotations

import re
from typing import TypeAlias

from pocketsphinx import Decoder

SpokenWord: TypeAlias = tuple[str, float, float, float | None]
"""word, start and end in seconds from the start of the utterance, probability (None while it is being spoken)"""

FRAMES_PER_S = 100

BEAM = 1e-60
"""Wider than PocketSphinx's 1e-48: WER on fifteen sentences in flite's voices 8.0 → 6.2 %, on eight variants (level,
padding) of one address of 1961 43 → 26 %, for a fifth more time. Small samples.
At this beam 1e-64 and `lw` 6 change nothing, dithering costs the address 6 points, and without `bestpath` both get
worse (8.9 and 36 %). Without the model's `remove_noise` the address gets better (21 %), but the sentences (8.0 %) and
four with noise at 15 dB (64 → 80 %) worse."""

_VARIANT = re.compile(r"\(\d+\)$")
"""The dictionary's suffix of alternative pronunciations: `and(2)`."""


class Recogniser:
    """One decoder: whole pieces, and one growing utterance at a time.

    The front end's noise tracker persists across utterances (the same audio yielded other probabilities, and other
    words at its edge), and digital zeros or less than a frame of audio leave a mean of NaN: so every utterance starts
    with a fresh front end, which takes 25 µs.
    """

    def __init__(self) -> None:
        self._decoder = Decoder(samprate=16_000, loglevel="FATAL", beam=BEAM)
        self._growing = False

    def recognise(self, pcm: bytes) -> list[SpokenWord]:
        """Decode a whole piece (16-bit PCM), normalised by its own mean."""
        self.abandon()
        self._decoder.reinit_feat()
        self._decode_whole(pcm)
        return words_of(self._decoder, done=True)

    def begin(self, pcm: bytes) -> list[SpokenWord]:
        """Start an utterance whose audio so far is `pcm`; the one before it is abandoned.

        While the utterance grows, the decoder cannot know the mean of audio to come. With PocketSphinx's default
        for it the WER on the address of 1961 was 93 % (at its default beam: 35 % with the mean of the first second).
        At our beam it is 31 % with the mean of the first four, and 26 % for whole pieces.
        """
        self.abandon()
        mean = self._mean_of(pcm)
        self._decoder.reinit_feat()
        if "nan" not in mean:
            self._decoder.set_cmn(mean)
        self._decoder.start_utt()
        self._growing = True
        return self.feed(pcm)

    def feed(self, pcm: bytes) -> list[SpokenWord]:
        """Decode the next samples of the growing utterance; returns its words so far."""
        if pcm:
            self._decoder.process_raw(pcm, False, False)
        return words_of(self._decoder, done=False) if self._decoder.hyp() else []

    def finish(self, pcm: bytes) -> list[SpokenWord]:
        """Decode the last samples and search the whole utterance once more."""
        if pcm:
            self._decoder.process_raw(pcm, False, False)
        self._decoder.end_utt()
        self._growing = False
        return words_of(self._decoder, done=True)

    def abandon(self) -> None:
        """End the growing utterance: it was forgotten or evicted."""
        if self._growing:
            self._growing = False
            self._decoder.end_utt()

    def _mean_of(self, pcm: bytes) -> str:
        """The cepstral mean of `pcm`, computed by aligning it with one short word: 2 ms per second of audio."""
        self._decoder.reinit_feat()
        self._decoder.set_align_text("a")
        self._decode_whole(pcm)
        mean: str = self._decoder.get_cmn()
        self._decoder.activate_search("_default")
        return mean

    def _decode_whole(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, False, True)
        self._decoder.end_utt()


def words_of(decoder: Decoder, *, done: bool) -> list[SpokenWord]:
    """The words of the decoder's best path, without silences and noises. Probabilities are valid once it is done."""
    words: list[SpokenWord] = []
    for segment in decoder.seg() or ():
        if segment.word.startswith(("<", "[")):
            continue
        probability = min(max(segment.prob, 0.0), 1.0) if done else None
        start_s, end_s = segment.start_frame / FRAMES_PER_S, (segment.end_frame + 1) / FRAMES_PER_S
        words.append((_VARIANT.sub("", segment.word), start_s, end_s, probability))
    return words
