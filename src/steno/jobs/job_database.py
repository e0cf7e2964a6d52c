"""The connection to the job store's SQLite database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from steno.errors import JobStorageError
from steno.jobs.schema import TABLES, VERSION

if TYPE_CHECKING:
    import sqlite3

    import aiosqlite

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]

BUSY_S = 5.0
"""How long a statement waits for another process that writes."""


class Database:
    """One connection, in a thread of aiosqlite's. Statements are serialised, and each write is a transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: aiosqlite.Connection | None = None
        self._writing = asyncio.Lock()

    def prepare(self) -> None:
        """Create the database if it is new, and check that it can be written.

        Raises:
            JobStorageError: it cannot be used, or is of another version.
        """
        import sqlite3

        with storage_errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version not in (0, VERSION):
                    text = f"{self._path} is of version {version}; this steno reads version {VERSION}"
                    raise JobStorageError(text)
                for statement in TABLES if version == 0 else ():
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.execute("COMMIT")

    async def open(self) -> None:
        """Raises JobStorageError."""
        import sqlite3

        import aiosqlite

        with storage_errors():
            self._connection = await aiosqlite.connect(self._path, timeout=BUSY_S, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            for pragma in ("synchronous = NORMAL", "foreign_keys = ON"):
                await self._open.execute(f"PRAGMA {pragma}")

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def rows(self, query: str, values: Values = ()) -> list[sqlite3.Row]:
        """The rows of a SELECT. Raises JobStorageError."""
        with storage_errors():
            return list(await self._open.execute_fetchall(query, values))

    async def value(self, query: str, values: Values = ()) -> Any:
        """The first value of the first row; None without rows. Raises JobStorageError."""
        rows = await self.rows(query, values)
        return rows[0][0] if rows else None

    async def write(self, query: str, values: Values = ()) -> list[sqlite3.Row]:
        """Run a statement that writes, and return the rows of its RETURNING.

        Raises:
            sqlite3.IntegrityError: a row contradicts another.
            JobStorageError: it cannot be written: the disk is full, or read-only.
        """
        with storage_errors():
            async with self._writing:
                return list(await self._open.execute_fetchall(query, values))

    @property
    def _open(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise JobStorageError("the job database is closed")
        return self._connection


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raises JobStorageError in place of SQLite's and the operating system's errors."""
    import sqlite3

    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise JobStorageError(f"jobs cannot be stored: {error}") from error
