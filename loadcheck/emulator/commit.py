"""Puts accepted events into the store: deduplication, identity, properties.

User properties are changed by the events that carry operations. With ``--data FILE`` the events are
kept in SQLite and survive a restart.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from loadcheck.emulator.check import CORE, LATEST_MS, TYPES
from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.message import Answer, Request, json_answer
from loadcheck.emulator.store import EventStore, Shape

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
_CHECKPOINT_PAGES = 10_000  # a checkpoint waits for the disk; SQLite's default is 1,000


class JournalError(Exception):
    """The file cannot be used; the message says why."""


class JournalWriteError(JournalError):
    """Events or requests can no longer be written to the file."""


class Journal:
    """Appends events to a file, and reads them back.

    Only stored events are written, so reading them back through the committer restores counts,
    deduplication and user properties. Flushed events survive a crash of this process; a power cut
    may lose the latest.
    """

    def __init__(self, path: Path) -> None:
        """Open a data file, or create it.

        Raises:
            JournalError: It is not a data file of this emulator, or not accessible.
        """
        self._waiting: list[tuple[int, int, int, bytes]] = []
        self._path = path
        try:
            if path.exists() and not path.is_file():
                raise JournalError(f"{path}: not a file")
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            # there is no other writer, and commits are faster
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
        """Yield reception time, time shift and delay (all in ms) of each event, and the event."""
        for received_ms, shift_ms, delay_ms, content in self._connection.execute(_SELECT):
            yield received_ms, shift_ms, delay_ms, orjson.loads(content)

    def add(self, event: dict[str, Any], received_ms: int, shift_ms: int, delay_ms: int) -> None:
        """Queue an event for the next :meth:`flush`."""
        self._waiting.append((received_ms, shift_ms, delay_ms, orjson.dumps(event)))

    def flush(self) -> None:
        """Write the queued events; if that fails, they stay queued.

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
        """Write an entry about a deletion job.

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
        """Yield the entries about deletion jobs, oldest first."""
        for (content,) in self._connection.execute("select content from deletion order by id"):
            yield orjson.loads(content)

    def before(self, application: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        """Wrap an application so that it answers only once acknowledged events are written."""

        def answer(request: Request) -> Answer:
            answered = application(request)
            try:
                self.flush()
            except JournalWriteError as error:
                return json_answer(500, {"code": 500, "error": f"cannot be kept: {error}"})
            return answered

        return answer

    def close(self) -> None:
        """Write the queued events and close the file.

        Raises:
            JournalWriteError: They cannot be written.
        """
        try:
            self.flush()
        finally:
            self._connection.close()


_OPERATIONS = frozenset(
    {
        "$set",
        "$setOnce",
        "$add",
        "$append",
        "$prepend",
        "$preInsert",
        "$postInsert",
        "$remove",
        "$unset",
        "$clearAll",
    }
)


class UserStates:
    """The properties of every user that has any.

    Users are numbers; those without a user id are -1 - the number of their device.
    """

    __slots__ = ("_states",)

    def __init__(self) -> None:
        self._states: dict[int, dict[str, Any]] = {}

    def of(self, user: int) -> dict[str, Any]:
        """Return the properties of a user, which must not be modified."""
        return self._states.get(user, {})

    def update(self, user: int, changes: dict[str, Any]) -> None:
        """Apply the ``user_properties`` of an event: operations, or plain values to set."""
        state = dict(self.of(user))
        if not changes.keys() & _OPERATIONS:
            changes = {"$set": changes}
        for operation, operands in changes.items():
            if operation == "$clearAll":
                state.clear()
            elif type(operands) is dict:
                for name, operand in operands.items():
                    _apply(state, operation, name, operand)
        self._states[user] = state

    def __contains__(self, user: int) -> bool:
        return user in self._states

    def __bool__(self) -> bool:
        return bool(self._states)


def _apply(state: dict[str, Any], operation: str, name: str, operand: Any) -> None:
    known = state.get(name)
    match operation:
        case "$set":
            state[name] = operand
        case "$setOnce":
            state.setdefault(name, operand)
        case "$unset":
            state.pop(name, None)
        case "$add":
            if isinstance(known, int | float | None) and isinstance(operand, int | float):
                state[name] = (known or 0) + operand
        case _:
            state[name] = _joined(operation, _as_list(known), _as_list(operand))


def _joined(operation: str, known: list[Any], given: list[Any]) -> list[Any]:
    if operation == "$remove":
        return [value for value in known if value not in given]
    if operation in ("$preInsert", "$postInsert"):
        given = [value for value in given if value not in known]
    return given + known if operation in ("$prepend", "$preInsert") else known + given


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if type(value) is list else [value]


_MAX_GROUP_TYPES = 5  # the excess is ignored [D]
_MAX_GROUPS = 10  # of all these types together [D]
_MAX_LAYOUTS = 10_000
_BROWSER = "mozilla/"  # what every real browser's user agent begins with
_NO_PROPERTIES: dict[str, Any] = {}


class Committer:
    """Stores events one by one.

    Attributes:
        duplicates: Events discarded as duplicates.
        filtered: Events discarded by a filter of the project, although acknowledged.
    """

    def __init__(self, config: EmulatorConfig, store: EventStore) -> None:
        self._store = store
        self._visibility = config.visibility
        self._fixed_ms = int(config.visibility.first_ms)
        self._fixed = config.visibility.kind == "fixed"
        self._chance = random.Random(config.seed)  # noqa: S311 - repeatable, not secret
        self._blocked = config.blocked_event_types
        self._block_bots = config.block_bots
        self._states = UserStates()
        # the shape of plain events, by the names of their fields and properties
        self._layouts: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[Shape, list[str]]] = {}
        self._event_ids: set[tuple[int, int, int]] = set()
        self.duplicates = 0
        self.filtered = 0
        self._journal: Journal | None = None

    def restore(self, journal: Journal) -> None:
        """Store the events of a journal, and record all further ones in it."""
        for received_ms, shift_ms, delay_ms, event in journal.events():
            if delay_ms == NO_EVENT:
                self.identify(event, received_ms)
            else:
                self._store_event(event, received_ms, shift_ms, delay_ms)
        self._journal = journal

    def commit(
        self, event: dict[str, Any], now_ms: int, *, shift_ms: int = 0, late_ms: float = 0.0
    ) -> None:
        """Store one event that passed all checks, unless it is a duplicate or filtered out.

        Args:
            event: The event; its ``device_id`` and ``user_id`` are usable or absent.
            now_ms: When the server received it.
            shift_ms: How far the client's clock is behind; added to the event's time.
            late_ms: Extra delay until it becomes visible.
        """
        delay_ms = self._fixed_ms if self._fixed else self._visibility.sample_ms(self._chance)
        delay_ms = int(delay_ms + late_ms)
        if self._store_event(event, now_ms, shift_ms, delay_ms) and self._journal is not None:
            self._journal.add(event, now_ms, shift_ms, delay_ms)

    def identify(self, user: dict[str, Any], now_ms: int) -> None:
        """Change a user's properties without an event; they show from the user's next event on."""
        store = self._store
        user_id, device_id = user.get("user_id"), user.get("device_id")
        number = -1 if user_id is None else store.users.add(user_id)
        device = -1 if device_id is None else store.devices.add(device_id)
        if number >= 0 and device >= 0:
            store.own(device, number)
        if user.get("user_properties"):
            self._states.update(number if number >= 0 else -1 - device, user["user_properties"])
        if self._journal is not None:
            self._journal.add(user, now_ms, 0, NO_EVENT)

    def _store_event(
        self, event: dict[str, Any], now_ms: int, shift_ms: int, delay_ms: int
    ) -> bool:
        """Store one event and return whether it was new."""
        get = event.get
        if (self._blocked and get("event_type") in self._blocked) or (
            self._block_bots and _is_bot(get("user_agent"))
        ):
            self.filtered += 1
            return False
        store = self._store
        user_id, device_id = get("user_id"), get("device_id")
        user = -1 if user_id is None else store.users.add(user_id)
        device = -1 if device_id is None else store.devices.add(device_id)
        # an absent device_id is derived from the user [D], so the user distinguishes it
        source = device if device >= 0 else -1 - user
        time, event_id, insert_id = get("time"), get("event_id"), get("insert_id")
        # [D] Track progress: a deduplication key beside insert_id
        event_key = None if event_id is None or time is None else (event_id, time, source)
        if event_key is not None and event_key in self._event_ids:
            self.duplicates += 1
            return False
        inserted = -1
        if insert_id is not None:
            inserted = store.insert_ids.add(insert_id, source, now_ms)
            if inserted < 0:
                self.duplicates += 1
                return False
        if event_key is not None:
            self._event_ids.add(event_key)
        if user >= 0 and device >= 0:
            store.own(device, user)
        if shift_ms and time is not None:
            store.client_times[len(store)] = time, now_ms - shift_ms
        shape, values = self._properties(event, user if user >= 0 else -1 - device)
        store.append(
            user,
            device,
            store.types.add(event["event_type"]),
            now_ms if time is None else _shifted(time, shift_ms),
            now_ms,
            now_ms + delay_ms,
            inserted,
            shape,
            values,
        )
        return True

    def _properties(self, event: dict[str, Any], user: int) -> tuple[Shape, list[Any]]:
        """Return the shape of an event and its values in the shape's order."""
        properties = event.get("event_properties") or _NO_PROPERTIES
        if (
            "user_properties" in event
            or "groups" in event
            or (self._states and user in self._states)
        ):
            pairs = dict(self._pairs(event, properties, user))
            return self._store.shape_for(tuple(pairs)), list(pairs.values())
        key = (tuple(event), tuple(properties))
        layout = self._layouts.get(key)
        if layout is None:
            others = [name for name in event if name in TYPES and name not in CORE]
            keys = [f"e:{name}" for name in properties] + [f"f:{name}" for name in others]
            layout = (self._store.shape_for(tuple(keys)), others)
            if len(self._layouts) < _MAX_LAYOUTS:
                self._layouts[key] = layout
        shape, others = layout
        values = list(properties.values())
        for name in others:
            values.append(event[name])  # noqa: PERF401 - mostly there are none
        return shape, values

    def _pairs(
        self, event: dict[str, Any], properties: dict[str, Any], user: int
    ) -> Iterator[tuple[str, Any]]:
        changes = event.get("user_properties")
        if changes:
            self._states.update(user, changes)
        for name, value in properties.items():
            yield f"e:{name}", value
        for name, value in event.items():
            if name in TYPES and name not in CORE:
                yield f"f:{name}", value
        for name, value in self._states.of(user).items():
            yield f"u:{name}", value
        left = _MAX_GROUPS
        for name, value in list((event.get("groups") or {}).items())[:_MAX_GROUP_TYPES]:
            kept = value[:left] if type(value) is list else value
            left -= len(kept) if type(kept) is list else 1
            if left >= 0:
                yield f"g:{name}", kept


def _shifted(time: int, shift_ms: int) -> int:
    return min(max(time + shift_ms, 0), LATEST_MS) if shift_ms else time


def _is_bot(user_agent: str | None) -> bool:
    """Return whether a user agent, if sent, is not a browser's [D] Block bot web traffic."""
    return user_agent is not None and not user_agent.lower().startswith(_BROWSER)
