import asyncio

import pytest

from engine.virtual import recognize, run
from steno.engine.queue import Job, Priority, PriorityInferQueue
from steno.errors import OverloadedError, SupersededError


def job(priority: Priority, at: float = 0.0, deadline: float = 600.0, **options: object) -> Job:
    return Job(recognize(**options), priority, at, deadline, asyncio.get_running_loop().create_future())


def test_jobs_come_by_class_then_deadline_then_arrival() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        bulk = job(Priority.BULK)
        late, soon, soon_too = (job(Priority.INTERACTIVE, deadline=d) for d in (60, 30, 30))
        partial, final = job(Priority.LIVE_PARTIAL), job(Priority.LIVE_FINAL)
        for each in (bulk, late, soon, soon_too, partial, final):
            queue.put(each)
        assert [queue.pop(0) for _ in range(7)] == [final, partial, soon, soon_too, late, bulk, None]

    run(main())


def test_a_full_queue_refuses_and_keeps_what_it_has() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(2)
        queue.put(job(Priority.BULK))
        queue.put(job(Priority.BULK))
        with pytest.raises(OverloadedError):
            queue.put(job(Priority.LIVE_PARTIAL))
        assert len(queue) == 2

    run(main())


def test_a_live_final_enters_a_full_queue_and_pushes_out_the_newest_partial() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(2)
        older = job(Priority.LIVE_PARTIAL, at=1, utterance="a")
        newer = job(Priority.LIVE_PARTIAL, at=2, utterance="b")
        final = job(Priority.LIVE_FINAL, at=3, utterance="c")
        for each in (older, newer, final):
            queue.put(each)
        assert isinstance(newer.future.exception(), SupersededError)
        assert [queue.pop(3), queue.pop(3), queue.pop(3)] == [final, older, None]

    run(main())


def test_the_newest_partial_of_an_utterance_replaces_the_one_that_waits() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        first = job(Priority.LIVE_PARTIAL, utterance="a")
        second = job(Priority.LIVE_PARTIAL, utterance="a")
        other = job(Priority.LIVE_PARTIAL, utterance="b")
        for each in (first, second, other):
            queue.put(each)
        assert isinstance(first.future.exception(), SupersededError)
        assert [queue.pop(0), queue.pop(0), queue.pop(0)] == [second, other, None]

    run(main())


def test_a_final_replaces_its_utterances_partial_but_no_final_replaces_a_final() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        partial = job(Priority.LIVE_PARTIAL, utterance="a")
        finals = [job(Priority.LIVE_FINAL, utterance="a") for _ in range(2)]
        for each in (partial, *finals):
            queue.put(each)
        assert isinstance(partial.future.exception(), SupersededError)
        assert queue.pop(0) is finals[0]
        queue.done(finals[0])
        assert [queue.pop(0), queue.pop(0)] == [finals[1], None]

    run(main())


def test_jobs_of_one_utterance_run_one_after_the_other() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        running, waiting, other = (job(Priority.LIVE_PARTIAL, utterance=name) for name in "aab")
        queue.put(running)
        assert queue.pop(0) is running
        queue.put(waiting)
        queue.put(other)
        assert [queue.pop(0), queue.pop(0)] == [other, None]
        assert queue.depth()[Priority.LIVE_PARTIAL] == 1
        queue.done(running)
        assert [queue.pop(0), queue.pop(0)] == [waiting, None]

    run(main())


def test_a_final_waits_for_its_utterances_running_partial_and_nobody_else_does() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        partial, final = job(Priority.LIVE_PARTIAL, utterance="a"), job(Priority.LIVE_FINAL, utterance="a")
        upload = job(Priority.INTERACTIVE)
        queue.put(partial)
        assert queue.pop(0) is partial
        queue.put(final)
        queue.put(upload)
        assert queue.pop(0) is upload
        queue.done(upload)
        assert queue.pop(0) is None
        queue.done(partial)
        assert queue.pop(0) is final

    run(main())


def test_a_job_that_was_cancelled_while_it_waited_for_its_utterance_is_skipped() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        running, cancelled = (job(Priority.LIVE_PARTIAL, utterance="a") for _ in range(2))
        queue.put(running)
        assert queue.pop(0) is running
        queue.put(cancelled)
        assert queue.pop(0) is None
        cancelled.future.cancel()
        queue.done(running)
        assert queue.pop(0) is None
        assert len(queue) == 0

    run(main())


def test_the_newest_partial_takes_the_place_of_the_one_it_replaces() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        first, other = job(Priority.LIVE_PARTIAL, deadline=10, utterance="a"), job(Priority.LIVE_PARTIAL, deadline=11)
        newest = job(Priority.LIVE_PARTIAL, at=2, deadline=12, utterance="a")
        for each in (first, other, newest):
            queue.put(each)
        assert isinstance(first.future.exception(), SupersededError)
        assert queue.longest_live_wait_s(5) == 5
        assert [queue.pop(2), queue.pop(2)] == [newest, other]

    run(main())


def test_cancelled_and_discarded_jobs_are_skipped() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        cancelled, discarded, wanted = (job(Priority.BULK) for _ in range(3))
        for each in (cancelled, discarded, wanted):
            queue.put(each)
        cancelled.future.cancel()
        queue.discard(discarded)
        assert [queue.pop(0), queue.pop(0)] == [wanted, None]
        assert len(queue) == 0

    run(main())


def test_waiting_lifts_a_job_over_fresher_classes() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10, ageing_s=10)
        bulk = job(Priority.BULK, at=0, deadline=100)
        early, late = (job(Priority.INTERACTIVE, at=at, deadline=at + 600) for at in (8, 24))
        for each in (bulk, early, late):
            queue.put(each)
        assert queue.pop(9) is early
        assert queue.pop(25) is bulk

    run(main())


def test_live_only_leaves_uploads_where_they_are() -> None:
    async def main() -> None:
        queue = PriorityInferQueue(10)
        upload, partial = job(Priority.INTERACTIVE), job(Priority.LIVE_PARTIAL)
        queue.put(upload)
        assert queue.pop(1000, live_only=True) is None
        queue.put(partial)
        assert queue.pop(1000, live_only=True) is partial
        assert queue.depth()[Priority.INTERACTIVE] == 1

    run(main())
