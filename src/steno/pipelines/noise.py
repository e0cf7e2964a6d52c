"""Removes text that a recogniser emitted for noise, by the VAD's speech time and the recogniser's confidence."""

from __future__ import annotations

from steno.types import Hypothesis

LITTLE_SPEECH_S = 0.3
"""Speech shorter than this holds one word at most (`yes`, `no`), or is a false detection."""


def without_noise(hypothesis: Hypothesis, speech_s: float, noise_confidence: float) -> Hypothesis:
    """Return `hypothesis`, or an empty one if its text was most likely recognised from noise.

    Args:
        speech_s: seconds in which the VAD detected speech.
        noise_confidence: the recogniser's `Capabilities.noise_confidence`.
    """
    if speech_s >= LITTLE_SPEECH_S or hypothesis.confidence is None or hypothesis.confidence >= noise_confidence:
        return hypothesis
    return Hypothesis("", None)
