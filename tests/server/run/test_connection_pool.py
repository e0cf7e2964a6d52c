from __future__ import annotations

from steno.server.run.connection_pool import MAX_REFUSED, ConnectionPool


class Connection:
    def __init__(self) -> None:
        self.gave_way = False

    def evict(self) -> None:
        self.gave_way = True


def filled(size: int) -> tuple[ConnectionPool, list[Connection]]:
    pool, connections = ConnectionPool(size), [Connection() for _ in range(size)]
    for connection in connections:
        assert pool.add(connection)
    return pool, connections


def test_the_connection_that_is_idle_the_longest_gives_way() -> None:
    pool, (first, second, third) = filled(3)
    pool.mark_busy(first)
    pool.mark_busy(second)
    pool.mark_idle(second)
    assert pool.add(Connection())
    assert [first.gave_way, second.gave_way, third.gave_way] == [False, False, True]
    assert pool.add(Connection())
    assert [first.gave_way, second.gave_way] == [False, True]


def test_where_all_are_busy_some_may_come_to_be_refused_in_words_and_no_more() -> None:
    pool, connections = filled(2)
    for connection in connections:
        pool.mark_busy(connection)
    assert pool.is_full
    for _ in range(MAX_REFUSED):
        refused = Connection()
        assert pool.add(refused)
        pool.mark_busy(refused)
    assert not pool.add(Connection())
    pool.remove(connections[0])
    assert pool.add(Connection())


def test_a_connection_that_is_gone_leaves_its_place() -> None:
    pool, (only,) = filled(1)
    pool.mark_busy(only)
    assert pool.is_full
    pool.remove(only)
    pool.remove(only)
    pool.mark_idle(only)
    assert not pool.is_full
