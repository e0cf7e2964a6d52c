"""The manifest of a recording: what was made from what, by which model.

It has no time of day and no duration of work, so that the same inputs give the same manifest. Results are never
replaced: a stage that runs again adds one, and the earlier ones stay listed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

StageName = Literal["probe", "audio", "pieces", "transcript", "words", "chat", "aligned", "speakers"]
STAGES: tuple[StageName, ...] = (
    "probe", "audio", "pieces", "transcript", "words", "chat", "aligned", "speakers",
)  # fmt: skip

MANIFEST_VERSION = 1
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
AnchorSeconds = Annotated[float, Field(ge=-1e10, le=1e10, allow_inf_nan=False)]
"""Wide enough for Unix times; sums and products of them are finite."""
Verdict = Literal["accepted", "rejected"]
CLOSE_S = 0.01
"""Times of a review and of its segment differ by less."""
Share = Annotated[float, Field(ge=0, le=1)]


class ManifestPart(BaseModel):
    """A part of a manifest. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(ManifestPart):
    """A file as it was when it was recorded."""

    path: str = Field(min_length=1)
    """Relative to the recording's folder; absolute for a raw file that was not copied."""
    sha256: Sha256
    bytes: int = Field(ge=0)


class ModelIdentity(ManifestPart):
    """A model that a result depends on."""

    backend: str
    id: str
    revision: str | None = None
    """Branch, tag or commit; None = the backend knows of none."""


class StageResult(ManifestPart):
    """What one run of a stage made."""

    stage: StageName
    key: str = Field(pattern="^[0-9a-f]{16}$")
    """Digest of the stage's name and version, `inputs`, `options` and `model`."""
    stage_version: int = Field(ge=1)
    inputs: dict[str, Sha256]
    """Checksums of the files that it read, by role."""
    options: dict[str, JsonValue]
    model: ModelIdentity | None = None
    files: tuple[FileRecord, ...]
    statistics: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    """Damage of the recording."""
    steno: str
    """The version that computed it."""


class MediaFacts(ManifestPart):
    """What a recording's header says."""

    container: str
    codec: str
    sample_rate: int = Field(ge=0)
    channels: int = Field(ge=0)
    duration_s: Seconds | None
    """None = the header does not say it."""


class TimeRange(ManifestPart):
    """A part of the recording."""

    start_s: Seconds
    end_s: Seconds


class ConfidenceStatistics(ManifestPart):
    """Confidences of a transcript's segments, weighted by their durations."""

    segments: int = Field(ge=0)
    words: int = Field(ge=0)
    mean: Share | None
    """None = the recogniser gives none."""
    low_p10: Share | None
    """A tenth of the speech has a lower confidence."""
    low_s: Seconds
    """Seconds of speech below `LOW_CONFIDENCE`."""


class ClockSegment(ManifestPart):
    """One stretch of a `ChatClock`.

    A message at second `t` of the chat's clock, `t >= start_s` and before the next segment's start, is at second
    `t + offset_s + (t - start_s) * drift_ppm * 1e-6` of the recording.
    """

    start_s: Seconds
    """On the chat's clock."""
    offset_s: Seconds
    drift_ppm: Seconds = 0.0


class ClockAnchor(ManifestPart):
    """A moment that somebody has found on both clocks."""

    chat_s: AnchorSeconds
    recording_s: AnchorSeconds
    by: str = ""


class ChatClock(ManifestPart):
    """How the chat's clock relates to the recording's."""

    segments: tuple[ClockSegment, ...] = ()
    """In order; empty = it was not found, and `problem` says why."""
    confidence: Share = 0.0
    method: str
    """How it was found: `cross_correlation`, `anchors`, …"""
    problem: str | None = None
    anchors: tuple[ClockAnchor, ...] = ()
    confirmed_by: str | None = None
    correlation: FileRecord | None = None
    """File with the curve of the correlation."""
    chat: Sha256 | None = None
    """Checksum of the `chat` result that it is for; None = not known."""
    audio: Sha256 | None = None
    """Checksum of the `audio` result that it is for; None = not known."""

    def recording_s(self, chat_s: float) -> float | None:
        """The recording's second of a message at `chat_s`; None if the clock was not found."""
        if not self.segments:
            return None
        begun = [segment for segment in self.segments if segment.start_s <= chat_s]
        segment = begun[-1] if begun else self.segments[0]
        return chat_s + segment.offset_s + (chat_s - segment.start_s) * segment.drift_ppm * 1e-6


class SegmentReview(ManifestPart):
    """Somebody's verdict on a segment of the transcript."""

    start_s: Seconds
    end_s: Seconds
    verdict: Verdict
    by: str = ""

    def is_of(self, start_s: float, end_s: float) -> bool:
        """Whether the segment has these times."""
        return abs(self.start_s - start_s) < CLOSE_S and abs(self.end_s - end_s) < CLOSE_S

    def covers_half(self, start_s: float, end_s: float) -> bool:
        """Whether a segment of these times shares half of the shorter one's time."""
        shared_s = min(self.end_s, end_s) - max(self.start_s, start_s)
        return shared_s > 0 and shared_s >= min(self.end_s - self.start_s, end_s - start_s) / 2


class RecordingManifest(ManifestPart):
    """One recording."""

    version: Literal[1] = 1
    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    """The path or URL that was added."""
    raw: FileRecord | None = None
    """None = not read yet."""
    earlier_raw: tuple[FileRecord, ...] = ()
    """Contents that the raw file had before."""
    chat_source: str | None = None
    chat_raw: FileRecord | None = None
    media: MediaFacts | None = None
    duration_s: Seconds | None = None
    """Of the decoded audio."""
    trims: tuple[TimeRange, ...] = ()
    """Parts without speech, which are not recognised."""
    confidence: ConfidenceStatistics | None = None
    current: dict[StageName, str] = {}
    """The key of each stage's result that is in use."""
    results: tuple[StageResult, ...] = ()
    """All that were ever made, the oldest first."""
    clocks: tuple[ChatClock, ...] = ()
    """The last one that is for the chat and the audio in use is in use."""
    reviews: tuple[SegmentReview, ...] = ()

    def result(self, stage: StageName) -> StageResult | None:
        """The stage's result that is in use."""
        return self.made(stage, self.current.get(stage, ""))

    def consistent(self, stage: StageName) -> StageResult | None:
        """The stage's result that is in use; None if it was made from an audio or a chat log that is not in use, or has
        the speakers of other words."""
        result = self.result(stage)
        if result is None:
            return None
        in_use: dict[str, str | None] = {}
        if "audio" in result.inputs:
            in_use["audio"] = self._checksum("audio")
        if "chat" in result.inputs:
            log = self.chat_raw.sha256 if self.chat_raw is not None else None
            in_use["chat"] = log if stage == "chat" else self._checksum("chat")
        if stage == "speakers":
            in_use["words"] = self._checksum("words")
        return result if all(result.inputs[role] == known for role, known in in_use.items()) else None

    @property
    def transcript(self) -> StageResult | None:
        """The result whose file is the transcript in use, with speakers if they are known; None = there is none."""
        return self.consistent("speakers") or self.consistent("words")

    def verdict_on(self, start_s: float, end_s: float) -> Verdict | None:
        """What was said of a segment. Speakers divide segments: a rejection also counts for segments that share half of
        the shorter one's time with it, an acceptance for parts of what was accepted."""
        same = (each for each in self.reviews if each.is_of(start_s, end_s))
        if (review := next(same, None)) is not None:
            return review.verdict
        if any(each.verdict == "rejected" and each.covers_half(start_s, end_s) for each in self.reviews):
            return "rejected"
        contained = any(each.start_s - CLOSE_S < start_s and end_s < each.end_s + CLOSE_S for each in self.reviews)
        return "accepted" if contained else None

    def made(self, stage: StageName, key: str) -> StageResult | None:
        """The stage's last result of this key, in use or not."""
        return next((each for each in reversed(self.results) if (each.stage, each.key) == (stage, key)), None)

    @property
    def clock(self) -> ChatClock | None:
        """The chat's clock that is in use."""
        return self.current_clocks[-1] if self.current_clocks else None

    @property
    def curve(self) -> FileRecord | None:
        """The last correlation of the chat in use."""
        return next((each.correlation for each in reversed(self.current_clocks) if each.correlation), None)

    @property
    def current_clocks(self) -> tuple[ChatClock, ...]:
        """The clocks for the chat and the audio in use."""
        chat, audio = self._checksum("chat"), self._checksum("audio")
        return tuple(each for each in self.clocks if each.chat in (None, chat) and each.audio in (None, audio))

    def tied(self, clock: ChatClock) -> ChatClock:
        """The clock as one for the chat and the audio in use."""
        return clock.model_copy(update={"chat": self._checksum("chat"), "audio": self._checksum("audio")})

    def _checksum(self, stage: StageName) -> str | None:
        result = self.consistent(stage)
        return result.files[0].sha256 if result is not None else None
