"""The subtitle formats, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, get_args

from steno.captions.cues import Cue
from steno.captions.lrc import lrc
from steno.captions.speaker_cues import SpeakerLabels, by_single_speakers, labelled_cue
from steno.captions.srt import srt
from steno.captions.tsv import tsv
from steno.captions.vtt import vtt

FormatName = Literal["srt", "vtt", "lrc", "tsv"]
NAMES: tuple[FormatName, ...] = get_args(FormatName)


class Write(Protocol):
    def __call__(self, cues: Iterable[Cue], /) -> str: ...


@dataclass(frozen=True, slots=True)
class Format:
    """A subtitle file format."""

    name: FormatName
    write: Write
    media_type: str
    extension: str
    """Includes the dot."""


FORMATS: Mapping[FormatName, Format] = MappingProxyType(
    {
        "srt": Format("srt", srt, "application/x-subrip", ".srt"),
        "vtt": Format("vtt", vtt, "text/vtt", ".vtt"),
        "lrc": Format("lrc", lrc, "text/plain", ".lrc"),
        "tsv": Format("tsv", tsv, "text/tab-separated-values", ".tsv"),
    }
)


def labels_in_text(name: FormatName, labels: SpeakerLabels) -> SpeakerLabels:
    """The labels that need room in the lines: WebVTT has names in voice tags."""
    return "none" if name == "vtt" and labels == "name" else labels


def render(
    name: FormatName, cues: Iterable[Cue], *, language: str | None = None, labels: SpeakerLabels = "none"
) -> str:
    """The text of a subtitle file.

    Args:
        language: a code, for formats that include it (WebVTT).
        labels: of cues that have speakers. WebVTT has voice tags for the names.
    """
    single = cues if name in ("srt", "vtt") else (one for cue in cues for one in by_single_speakers(cue))
    shown = (labelled_cue(cue, labels, names=name != "vtt") for cue in single)
    if name == "vtt":
        return vtt(shown, language=language, voices=labels != "none")
    return FORMATS[name].write(shown)
