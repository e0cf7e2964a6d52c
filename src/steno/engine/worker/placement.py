"""Which worker of a pool gets which work.

A live utterance stays on the worker that has its audio, and the utterances of a stream on the worker that has the
stream's context, until that worker dies or drains. Everything else goes to the least loaded worker.
"""

from __future__ import annotations

from collections import Counter

from steno.backends.base import Recognize
from steno.engine.protocol import Lease
from steno.engine.queue import Job
from steno.engine.worker.pool_member import PoolMember


class WorkerPlacement:
    """Chooses workers, and keeps where utterances and streams are."""

    def __init__(self) -> None:
        self.members: dict[str, PoolMember] = {}
        """All workers, by name."""
        self._utterances: dict[str, PoolMember] = {}
        self._streams: dict[str, PoolMember] = {}

    @property
    def connected(self) -> list[PoolMember]:
        return [member for member in self.members.values() if member.is_connected]

    @property
    def candidates(self) -> list[PoolMember]:
        """The workers that may get new work: one that drains only if there is no other."""
        usable = [member for member in self.connected if member.status().broken is None] or self.connected
        return [member for member in usable if not member.is_draining] or usable

    def is_replaceable(self, member: PoolMember) -> bool:
        """Whether another worker can get the work of `member`."""
        return any(other is not member and not other.is_draining for other in self.connected)

    def place(self, job: Job) -> PoolMember | None:
        """Choose the worker of `job`, and keep the job's utterance and stream there; None if no worker is connected."""
        member = self._choose(job)
        if member is None:
            return None
        if (key := job.utterance) is not None:
            member.utterances.add(key)
            self._utterances[key] = member
        if isinstance(job.work, Recognize) and (stream := job.work.stream) is not None:
            self._place_stream(stream, member)
        return member

    def forget(self, key: str) -> list[PoolMember]:
        """An utterance, or a stream, is over. Returns the workers that had it."""
        had = [member for placed in (self._utterances, self._streams) if (member := placed.pop(key, None)) is not None]
        for member in had:
            member.utterances.discard(key)
            member.streams.discard(key)
            member.forget(key)
        return had

    def clear(self, member: PoolMember) -> None:
        """Keep nothing on `member` any more."""
        for key in member.utterances:
            del self._utterances[key]
        for stream in member.streams:
            del self._streams[stream]
        member.utterances.clear()
        member.streams.clear()

    def spread(self, leases: Counter[Lease]) -> None:
        """Hold `leases`: models stay loaded in all workers; a live session is counted where its stream is."""
        serving = self.candidates
        models = {lease: min(leases[lease], 1) for lease in (Lease.RECOGNISER, Lease.ALIGNER)}
        left = leases[Lease.LIVE]
        live = {}
        for member in serving:
            live[member] = min(len(member.streams), left)
            left -= live[member]
        for member in self.members.values():
            if member not in live:
                held = {**models, Lease.LIVE: len(member.streams)} if member.is_connected else {}
                member.set_leases(Counter(held))
        for n, member in enumerate(serving):
            share = left // len(serving) + (n < left % len(serving))
            member.set_leases(Counter({**models, Lease.LIVE: live[member] + share}))

    def _choose(self, job: Job) -> PoolMember | None:
        key = job.utterance
        member = self._utterances.get(key) if key is not None else None
        if member is not None and member.is_connected:
            return member
        stream = job.work.stream if isinstance(job.work, Recognize) else None
        member = self._streams.get(stream) if stream is not None else None
        if member is not None and member.is_connected and not (member.is_draining and self.is_replaceable(member)):
            return member
        return min(self.candidates, key=_live_load if job.priority.is_live else _upload_load, default=None)

    def _place_stream(self, stream: str, member: PoolMember) -> None:
        before = self._streams.get(stream)
        if before is member:
            return
        if before is not None:
            before.streams.discard(stream)
            before.forget(stream)
        self._streams[stream] = member
        member.streams.add(stream)


def _live_load(member: PoolMember) -> tuple[float, ...]:
    """By which a new utterance chooses its worker: the least. Other servers' sessions count as well."""
    streams = len(member.streams)
    return (not member.is_loaded(aligner=False), max(streams, member.status().live_sessions), streams, member.jobs)


def _upload_load(member: PoolMember) -> tuple[float, ...]:
    """As `_live_load`, for a piece of an upload or an alignment."""
    status = member.status()
    jobs = max(member.jobs, sum(status.queue_depth.values()) + status.running)
    return (not member.is_loaded(aligner=False), jobs / max(status.capacity, 1), status.live_sessions)
