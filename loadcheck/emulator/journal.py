"""``--data FILE``: the stored events in SQLite, so that they are there again after a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_FORMAT = 1
_SCHEMA = """
create table event (
    id integer primary key,
    received_ms integer not null,  -- by the emulator's clock
    shift_ms integer not null,     -- added to the client's time
    delay_ms integer not null,     -- from received to visible
    content text not null          -- the event as uploaded, JSON
);
"""
_INSERT = "insert into event (received_ms, shift_ms, delay_ms, content) values (?, ?, ?, ?)"
_SELECT = "select received_ms, shift_ms, delay_ms, content from event order by id"


class JournalError(Exception):
    """The file cannot be used; the message says why."""


class Journal:
    """Appends events to a file, and reads them back.

    Written are only events that were stored, so reading them back through the committer restores
    counts, deduplication and user properties.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, or begin one.

        Raises:
            JournalError: It is something else, or not accessible.
        """
        self._waiting: list[tuple[int, int, int, bytes]] = []
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            found = self._connection.execute("pragma user_version").fetchone()[0]
            tables = self._connection.execute("select count(*) from sqlite_schema").fetchone()[0]
            if found == 0 and tables == 0:
                self._connection.executescript(_SCHEMA)
                self._connection.execute(f"pragma user_version = {_FORMAT}")
            elif found != _FORMAT:
                raise JournalError(f"{path}: not a data file of this emulator")
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
        except sqlite3.Error as error:
            raise JournalError(f"{path}: {error}") from None

    def events(self) -> Iterator[tuple[int, int, int, dict[str, Any]]]:
        """Return when each event was received, its shift, its delay, and the event."""
        for received_ms, shift_ms, delay_ms, content in self._connection.execute(_SELECT):
            yield received_ms, shift_ms, delay_ms, orjson.loads(content)

    def add(self, event: dict[str, Any], received_ms: int, shift_ms: int, delay_ms: int) -> None:
        """Take down an event; it is on disk after the next :meth:`flush`."""
        self._waiting.append((received_ms, shift_ms, delay_ms, orjson.dumps(event)))

    def flush(self) -> None:
        """Write what is waiting."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        self._connection.execute("begin")
        self._connection.executemany(_INSERT, waiting)
        self._connection.execute("commit")

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self.flush()
        self._connection.close()
