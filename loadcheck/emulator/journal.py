"""``--data FILE``: events and deletions in SQLite, so that they are there again after a restart."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from loadcheck.emulator.message import Answer, Request, json_answer

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
_DELETIONS = "create table if not exists deletion (id integer primary key, content text not null)"
_INSERT = "insert into event (received_ms, shift_ms, delay_ms, content) values (?, ?, ?, ?)"
_SELECT = "select received_ms, shift_ms, delay_ms, content from event order by id"


NO_EVENT = -1
"""The delay of an identification: it never becomes visible, but what it changed is kept."""
_CHECKPOINT_PAGES = 10_000  # each one waits for the disk: not after every thousandth upload


class JournalError(Exception):
    """The file cannot be used; the message says why."""


class JournalWriteError(JournalError):
    """What was taken down cannot be written any more."""


class Journal:
    """Appends events to a file, and reads them back.

    Written are only events that were stored, so reading them back through the committer restores
    counts, deduplication and user properties. What is flushed outlives this process, however it
    ends; a power cut may take the last of it.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, or begin one.

        Raises:
            JournalError: It is something else, or not accessible.
        """
        self._waiting: list[tuple[int, int, int, bytes]] = []
        self._path = path
        try:
            if path.exists() and not path.is_file():
                raise JournalError(f"{path}: not a file")
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            # no other writer meanwhile, and a commit is quicker
            self._connection.execute("pragma locking_mode = exclusive")
            found = self._connection.execute("pragma user_version").fetchone()[0]
            tables = self._connection.execute("select count(*) from sqlite_schema").fetchone()[0]
            if found == 0 and tables == 0:
                self._connection.executescript(_SCHEMA)
                self._connection.execute(f"pragma user_version = {_FORMAT}")
            elif found != _FORMAT:
                raise JournalError(f"{path}: not a data file of this emulator")
            self._connection.execute(_DELETIONS)  # files of older versions have none
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            self._connection.execute(f"pragma wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        except (sqlite3.Error, OSError, ValueError) as error:  # the last: a NUL in its name
            raise JournalError(f"{path}: {error}") from None

    def events(self) -> Iterator[tuple[int, int, int, dict[str, Any]]]:
        """Return when each event was received, its shift, its delay, and the event."""
        for received_ms, shift_ms, delay_ms, content in self._connection.execute(_SELECT):
            yield received_ms, shift_ms, delay_ms, orjson.loads(content)

    def add(self, event: dict[str, Any], received_ms: int, shift_ms: int, delay_ms: int) -> None:
        """Take down an event; it is on disk after the next :meth:`flush`."""
        self._waiting.append((received_ms, shift_ms, delay_ms, orjson.dumps(event)))

    def flush(self) -> None:
        """Write what is waiting; if that fails, it waits on.

        Raises:
            JournalWriteError: The disk is full, or the file cannot be written.
        """
        waiting, connection = self._waiting, self._connection
        if not waiting:
            return
        try:
            if len(waiting) == 1:
                connection.execute(_INSERT, waiting[0])
            else:
                connection.execute("begin")
                connection.executemany(_INSERT, waiting)
                connection.execute("commit")
        except sqlite3.Error as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("rollback")
            raise JournalWriteError(f"{self._path}: {error}") from error
        waiting.clear()

    def note_deletion(self, content: dict[str, Any]) -> None:
        """Write what became of a deletion.

        Raises:
            JournalWriteError: It cannot be written.
        """
        self.flush()
        try:
            self._connection.execute(
                "insert into deletion (content) values (?)", (orjson.dumps(content).decode(),)
            )
        except sqlite3.Error as error:
            raise JournalWriteError(f"{self._path}: {error}") from error

    def deletions(self) -> Iterator[dict[str, Any]]:
        """Return what became of deletions, oldest first."""
        for (content,) in self._connection.execute("select content from deletion order by id"):
            yield orjson.loads(content)

    def before(self, application: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        """Return an application whose answers leave when what they acknowledge is written."""

        def answer(request: Request) -> Answer:
            answered = application(request)
            try:
                self.flush()
            except JournalWriteError as error:
                return json_answer(500, {"code": 500, "error": f"cannot be kept: {error}"})
            return answered

        return answer

    def close(self) -> None:
        """Write what is waiting and close the file.

        Raises:
            JournalWriteError: It cannot be written.
        """
        try:
            self.flush()
        finally:
            self._connection.close()
