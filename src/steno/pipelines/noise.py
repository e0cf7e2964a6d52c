"""Text that a recogniser writes for noise, told from speech by the VAD and the recogniser's confidence."""

from __future__ import annotations

from steno.types import Hypothesis

LITTLE_SPEECH_S = 0.3
"""In less speech than this there is a word at most: `yes`, `no`, or something that the VAD took for one."""


def without_noise(hypothesis: Hypothesis, speech_s: float, noise_confidence: float) -> Hypothesis:
    """`hypothesis`, or an empty one where the text is most likely an answer to noise.

    Args:
        speech_s: how much of the audio the VAD takes for speech.
        noise_confidence: of the recogniser, as in its `Capabilities`.
    """
    if speech_s >= LITTLE_SPEECH_S or hypothesis.confidence is None or hypothesis.confidence >= noise_confidence:
        return hypothesis
    return Hypothesis("", None)
