"""The messages of the chat log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from steno.archive.chat.chat_log import load_chat
from steno.archive.chat_files import ChatMessages
from steno.archive.manifest import RecordingManifest, StageName
from steno.archive.stage_files import dump
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools
from steno.whole_file import write_whole

VERSION = 2


class ChatStage:
    name: StageName = "chat"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan | None:
        if manifest.chat_raw is None:
            return None
        # The name's suffix says the format.
        options = {"suffix": Path(manifest.chat_raw.path).suffix.lower()}
        return StagePlan(self.name, VERSION, {"chat": manifest.chat_raw.sha256}, {**options})

    async def run(self, job: StageJob) -> StageOutcome:
        assert job.manifest.chat_raw is not None
        source = job.archive.path_of(job.manifest.id, job.manifest.chat_raw)
        log = await asyncio.to_thread(load_chat, source)
        content = ChatMessages(messages=log.messages, origin=log.origin)
        write_whole(path := job.new_path(".json"), dump(content), lasting=True)
        return StageOutcome([path], {"messages": len(log.messages)}, log.report.warnings())

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        return {}
