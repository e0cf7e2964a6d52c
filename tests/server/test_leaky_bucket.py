from __future__ import annotations

from steno.server.leaky_bucket import LeakyBucket


def test_so_many_at_once_and_more_with_time() -> None:
    now = 0.0
    bucket = LeakyBucket(3, 2.0, lambda: now)
    assert [bucket.add() for _ in range(4)] == [True, True, True, False]
    now = 0.5
    assert [bucket.add() for _ in range(2)] == [True, False]
    now = 100.0
    assert [bucket.add() for _ in range(4)] == [True, True, True, False]
