"""What a person sees of an archive, and says about it: is the chat's clock right, and which segments are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from steno.archive.archive_folder import MANIFEST, ArchiveFolder
from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat.clock_anchors import clock_through_anchors
from steno.archive.chat_files import ChatMessages
from steno.archive.manifest import CLOSE_S, ChatClock, ClockAnchor, RecordingManifest, SegmentReview
from steno.archive.stage_files import Pieces, TimedTranscript, load, load_sliced
from steno.errors import InvalidRequestError, ManifestError, UnknownRecordingError
from steno.types import Segment

_ID = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class ReviewedRecording:
    """A recording that has a transcript of the audio in use. Its iterators raise ArchiveError for a damaged file."""

    manifest: RecordingManifest
    duration_s: float
    segments: Iterator[Segment]
    messages: Iterator[ChatMessage]


class ArchiveReview:
    """Methods read and write files: call them in a thread."""

    def __init__(self, archive: ArchiveFolder) -> None:
        self._archive = archive

    def manifests(self) -> list[RecordingManifest]:
        """Of the recordings that have a transcript. Invalid manifests are logged and left out."""
        found = []
        for recording in self._archive.ids():
            try:
                manifest = self._archive.manifest(recording)
            except ManifestError as error:
                logger.warning("{}", error.message)
                continue
            if manifest.transcript is not None:
                found.append(manifest)
        return found

    def recording(self, recording: str) -> ReviewedRecording:
        """Raises UnknownRecordingError, ArchiveError."""
        manifest = self._manifest(recording)
        path = self._archive.transcript_file(manifest)
        if path is None:
            raise UnknownRecordingError(f"{recording} has no transcript yet; use steno archive run")
        transcript, segments = load_sliced(TimedTranscript, path, "segments", Segment)
        return ReviewedRecording(manifest, transcript.duration_s, segments, self._messages(manifest))

    def levels(self, recording: str) -> Pieces:
        """Raises UnknownRecordingError, ArchiveError."""
        path = self._archive.result_file(self._manifest(recording), "pieces")
        if path is None:
            raise UnknownRecordingError(f"{recording} was not cut into pieces yet")
        return load(Pieces, path)

    def audio(self, recording: str) -> Path:
        """Raises UnknownRecordingError: there is none."""
        path = self._archive.result_file(self._manifest(recording), "audio")
        if path is None or not path.is_file():
            raise UnknownRecordingError(f"{recording} has no audio")
        return path

    def curve(self, recording: str) -> Path:
        """The file with the correlation that the clock was read from. Raises UnknownRecordingError: there is none."""
        curve = self._manifest(recording).curve
        if curve is None:
            raise UnknownRecordingError(f"{recording} has no correlation curve")
        return self._archive.path_of(recording, curve)

    def set_anchors(self, recording: str, anchors: Sequence[ClockAnchor], by: str) -> RecordingManifest:
        """Move the estimated clock through anchors, confirmed by `by`. None: the estimate is in use again.

        Raises:
            InvalidRequestError: the recording has no chat log, or it was not read yet.
        """

        def change(now: RecordingManifest) -> RecordingManifest:
            if now.consistent("chat") is None:
                raise InvalidRequestError("the recording has no chat that was read; use steno archive run")
            estimated = [each for each in now.current_clocks if each.confirmed_by is None]
            known = estimated[-1] if estimated else None
            if anchors:
                clock = clock_through_anchors(known, anchors).model_copy(update={"confirmed_by": by, "problem": None})
            else:
                clock = known or ChatClock(method="anchors", problem="no anchors")
            return now.model_copy(update={"clocks": (*now.clocks, now.tied(clock))})

        return self._archive.update(self._manifest(recording).id, change)

    def confirm_clock(self, recording: str, by: str) -> RecordingManifest:
        """Say that the clock in use is right. Raises InvalidRequestError: there is none."""

        def change(now: RecordingManifest) -> RecordingManifest:
            if now.clock is None or not now.clock.segments:
                raise InvalidRequestError("the chat's clock was not found; set an anchor instead")
            confirmed = now.tied(now.clock).model_copy(update={"confirmed_by": by})
            return now.model_copy(update={"clocks": (*now.clocks, confirmed)})

        return self._archive.update(self._manifest(recording).id, change)

    def judge(self, recording: str, review: SegmentReview | None, start_s: float) -> RecordingManifest:
        """Replace the verdict on the segment at `start_s`; None = take it back."""

        def change(now: RecordingManifest) -> RecordingManifest:
            others = [each for each in now.reviews if abs(each.start_s - start_s) >= CLOSE_S]
            reviews = sorted([*others, *([review] if review is not None else [])], key=lambda each: each.start_s)
            return now.model_copy(update={"reviews": tuple(reviews)})

        return self._archive.update(self._manifest(recording).id, change)

    def _messages(self, manifest: RecordingManifest) -> Iterator[ChatMessage]:
        path = self._archive.result_file(manifest, "chat") if manifest.consistent("chat") is not None else None
        return load_sliced(ChatMessages, path, "messages", ChatMessage)[1] if path is not None else iter(())

    def _manifest(self, recording: str) -> RecordingManifest:
        if not _ID.fullmatch(recording) or not (self._archive.folder_of(recording) / MANIFEST).is_file():
            raise UnknownRecordingError(f"there is no recording {recording[:100]!r}")
        return self._archive.manifest(recording)
