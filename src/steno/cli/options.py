"""Options of `steno transcribe`, and the results that they request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from steno.captions.cues import CueStyle
    from steno.captions.speaker_cues import SpeakerLabels
    from steno.pipelines.request_checks import TimingMode

EXTENSION = {
    "text": ".txt",
    "json": ".json",
    "verbose_json": ".verbose.json",
    "diarized_json": ".diarized.json",
    "srt": ".srt",
    "vtt": ".vtt",
    "lrc": ".lrc",
    "tsv": ".tsv",
}
CAPTIONS = ("srt", "vtt", "lrc", "tsv")
ALSO_KNOWN_AS = {"txt": "text"}


STDOUT = Path("-")


def file_or_stdout(context: click.Context, parameter: click.Parameter, output: Path | None) -> Path | None:
    """Callback of `--output`: None for `-`, as without the option."""
    return None if output == STDOUT else output


class CommaList(click.ParamType[tuple[str, ...]]):
    """`a,b,c`. `check` returns the canonical name of each item, or raises ValueError."""

    name = "list"

    def __init__(self, check: Callable[[str], str]) -> None:
        self._check = check

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        try:
            checked = [self._check(name.strip()) for name in value.split(",") if name.strip()]
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not checked:
            self.fail("expected at least one", param, ctx)
        return tuple(dict.fromkeys(checked))


def check_format(name: str) -> str:
    """For `CommaList`."""
    name = ALSO_KNOWN_AS.get(name, name)
    if name not in EXTENSION:
        raise ValueError(f"invalid format {name!r}; expected one of {', '.join([*EXTENSION, *ALSO_KNOWN_AS])}")
    return name


SPEAKER_COUNT = click.IntRange(1, 20)
"""Values of `--num-speakers` and the like."""


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """One file to make: its format, and the target language of its translation, if any."""

    form: str
    target: str | None

    @property
    def extension(self) -> str:
        return f".{self.target}{EXTENSION[self.form]}" if self.target else EXTENSION[self.form]


@dataclass(frozen=True, slots=True)
class SpeakerRequest:
    """`--diarize`: how many speakers there may be, as far as that is known."""

    number: int | None = None
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """The options of the command line."""

    formats: tuple[str, ...]
    language: str | None
    mode: TimingMode
    style: CueStyle
    targets: tuple[str, ...] = ()
    bilingual: bool = False
    glossary: dict[str, str] = field(default_factory=dict)
    llm: str = ""
    """Identifies the translator: its model and temperatures."""
    track: str | None = None
    """Audio track, by number or language; None = the default track."""
    timings: bool = False
    """Whether JSON says where the time went."""
    speakers: SpeakerRequest | None = None
    """None = they are not told apart."""
    labels: SpeakerLabels = "dash"

    @property
    def wants_words(self) -> bool:
        """Whether a result needs word times. Plain text and JSON do not."""
        return bool(self.targets or self.speakers) or not {"text", "json"}.issuperset(self.formats)

    def results(self) -> Iterator[OutputRequest]:
        """The results of the source text, then those of each translation."""
        for target in (None, *self.targets):
            for form in self.formats:
                yield OutputRequest(form, target)

    def fingerprint(self, result: OutputRequest, identity: str) -> str:
        """Everything but the recording that a result depends on. `identity`: of the recogniser."""
        parts = [result.form, identity, self.language or "auto", *((f"track {self.track}",) if self.track else ())]
        if self.speakers is not None:
            parts.append(f"{self.speakers} {self.labels}")
        if result.form == "json" and self.timings:
            parts.append("timings")
        if result.form in CAPTIONS:
            parts += [self.mode, repr(self.style)]
        if result.target:
            parts += [
                result.target,
                "bilingual" if self.bilingual else "",
                repr(sorted(self.glossary.items())),
                self.llm,
            ]
        return " ".join(parts)
