"""flite and espeak-ng through their C libraries, which tell when each word is spoken; their programs do not."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_short, c_uint, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

RATE = 16_000
FLITE = ("slt", "rms", "awb", "kal16")
ESPEAK = {"en": ("en-us", "en-us+f3", "en-us+m3"), "de": ("de", "de+f2", "de+m3", "de+f4")}

_FIRST = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
_LAST = b"R:SylStructure.daughtern.daughtern.R:Segment.end"


@dataclass(frozen=True, slots=True)
class Spoken:
    """A text as a voice says it."""

    samples: NDArray[np.int16]
    """16 kHz, mono."""
    words: tuple[tuple[float, float], ...]
    """Start and end of each word, in seconds."""


def speak(text: str, voice: str, pace: float) -> Spoken:
    """Say `text`; `pace` 1.2 takes a fifth longer than 1. Raises ValueError if the voice reads other words."""
    said = _flite(text, voice, pace) if voice in FLITE else _espeak(text, voice, pace)
    if len(said.words) != len(text.split()):
        raise ValueError(f"{voice} says {len(said.words)} words of {text!r}")
    return said


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", c_char_p),
        ("sample_rate", c_int),
        ("num_samples", c_int),
        ("num_channels", c_int),
        ("samples", POINTER(c_short)),
    )


class _Voice(ctypes.Structure):
    _fields_ = (("name", c_char_p), ("features", c_void_p))


@cache
def _flite_library() -> Any:
    flite = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
    flite.flite_init()
    for name, result, arguments in (
        ("flite_synth_text", c_void_p, [c_char_p, c_void_p]),
        ("utt_wave", POINTER(_Wave), [c_void_p]),
        ("utt_relation", c_void_p, [c_void_p, c_char_p]),
        ("relation_head", c_void_p, [c_void_p]),
        ("item_next", c_void_p, [c_void_p]),
        ("ffeature_float", c_float, [c_void_p, c_char_p]),
        ("feat_set_float", None, [c_void_p, c_char_p, c_float]),
        ("delete_utterance", None, [c_void_p]),
    ):
        function = getattr(flite, name)
        function.restype, function.argtypes = result, arguments
    return flite


@cache
def _flite_voice(name: str) -> Any:
    _flite_library()
    for part in ("usenglish", "cmulex"):
        ctypes.CDLL(f"libflite_{part}.so.1", mode=ctypes.RTLD_GLOBAL)
    register = getattr(ctypes.CDLL(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
    register.restype, register.argtypes = POINTER(_Voice), [c_char_p]
    return register(None)


def _flite(text: str, name: str, pace: float) -> Spoken:
    flite, voice = _flite_library(), _flite_voice(name)
    flite.feat_set_float(voice.contents.features, b"duration_stretch", pace)
    utterance = flite.flite_synth_text(text.encode(), voice)
    wave = flite.utt_wave(utterance).contents
    samples = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).copy()
    words = []
    item = flite.relation_head(flite.utt_relation(utterance, b"Word"))
    while item:
        words.append((flite.ffeature_float(item, _FIRST), flite.ffeature_float(item, _LAST)))
        item = flite.item_next(item)
    rate = wave.sample_rate
    flite.delete_utterance(utterance)
    return Spoken(_to_16k(samples, rate), tuple(words))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),
        ("length", c_int),
        ("audio_position", c_int),
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", c_void_p),
    )


_WORD, _RATE, _SYNCHRONOUS, _UTF8, _CHARACTERS = 1, 1, 2, 1, 1
_WORDS_PER_MINUTE = 160
_CALLBACK = ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


@cache
def _espeak_library() -> tuple[Any, int]:
    espeak = ctypes.CDLL("libespeak-ng.so.1")
    return espeak, espeak.espeak_Initialize(_SYNCHRONOUS, 0, None, 0)


def _espeak(text: str, name: str, pace: float) -> Spoken:
    espeak, rate = _espeak_library()
    parts: list[NDArray[np.int16]] = []
    starts: list[int] = []

    def take(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == _WORD:
                starts.append(events[i].sample)
            i += 1
        return 0

    callback = _CALLBACK(take)
    espeak.espeak_SetSynthCallback(callback)
    if espeak.espeak_SetVoiceByName(name.encode()):
        raise ValueError(f"espeak-ng has no voice {name}")
    espeak.espeak_SetParameter(_RATE, round(_WORDS_PER_MINUTE / pace), 0)
    data = text.encode() + b"\0"
    unique = c_uint(0)
    espeak.espeak_Synth(data, len(data), 0, _CHARACTERS, 0, _UTF8, byref(unique), None)
    samples = np.concatenate(parts)
    loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
    ends = [*starts[1:], int(loud[-1])]
    words = tuple((start / rate, end / rate) for start, end in zip(starts, ends, strict=True))
    return Spoken(_to_16k(samples, rate), words)


def _to_16k(samples: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    return samples if rate == RATE else np.asarray(soxr.resample(samples, rate, RATE), np.int16)
