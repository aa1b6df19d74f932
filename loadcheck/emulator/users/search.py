"""``GET /api/2/usersearch`` and ``GET /api/2/useractivity``.

Amplitude ids: one number for everybody the project knows, by user id or by device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadcheck.emulator.clock import Clock
from loadcheck.emulator.http.message import Answer, QueryError, Request, json_answer
from loadcheck.emulator.query.dashboard import RateWindow, parameters
from loadcheck.emulator.store import EventStore, record

_FIRST = 100_000_000_000
_MOST_DIGITS = 19


class UserDirectory:
    """Finds people by what they are called.

    A person is a user id or, where none was ever seen on it, a device. Their Amplitude id is even
    for users and odd for devices, so that it stays the same as both grow in number.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._left: tuple[tuple[int, int], NDArray[np.bool_]] | None = None

    def of_row(self, row: int) -> int:
        """Return the Amplitude id that an event came with, before any merging."""
        user = self._store.user[row]
        return _FIRST + (2 * user if user >= 0 else 2 * self._store.device[row] + 1)

    def of_user(self, user: int) -> int:
        """Return the Amplitude id of a user's number."""
        return _FIRST + 2 * user

    def of_device(self, device: int) -> int:
        """Return the Amplitude id under which a device's events count."""
        owners = self._store.owners
        owner = owners[device] if device < len(owners) else -1
        return self.of_user(owner) if owner >= 0 else _FIRST + 2 * device + 1

    def user_id(self, amplitude_id: int) -> str | None:
        """Return the user id of a person, None for a device."""
        number, device = divmod(amplitude_id - _FIRST, 2)
        return None if device else self._store.users[number]

    def known(self, amplitude_id: int) -> bool:
        """Return whether there is such a person."""
        number, device = divmod(amplitude_id - _FIRST, 2)
        names = self._store.devices if device else self._store.users
        if not 0 <= number < len(names):
            return False
        if device and self.of_device(number) != amplitude_id:
            return False
        return not self._store.erased or bool(self._with_events()[self._person(amplitude_id)])

    def _person(self, amplitude_id: int) -> int:
        """Return the number by which the store counts a person."""
        number, device = divmod(amplitude_id - _FIRST, 2)
        return number + len(self._store.users) if device else number

    def _with_events(self) -> NDArray[np.bool_]:
        """Return for every person whether deletions left them an event."""
        store = self._store
        state = (len(store), store.erased)
        if self._left is None or self._left[0] != state:
            left = np.zeros(len(store.users) + len(store.devices), dtype=bool)
            kept = np.array(store.visible, dtype=np.int64) != store.ERASED
            left[store.identities()[kept]] = True
            self._left = (state, left)
        return self._left[1]

    def merged(self, amplitude_id: int) -> list[int]:
        """Return the ids of the devices whose anonymous events count for a person."""
        number, device = divmod(amplitude_id - _FIRST, 2)
        if device:
            return []
        return [
            _FIRST + 2 * place + 1
            for place, owner in enumerate(self._store.owners)
            if owner == number
        ]

    def rows(self, amplitude_id: int) -> NDArray[np.int64]:
        """Return the events that count for a person."""
        return np.flatnonzero(self._store.identities() == self._person(amplitude_id))

    def numbered(self, text: str) -> int | None:
        """Return the Amplitude id that a text is, or None if nobody has it."""
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            return None
        return int(text) if self.known(int(text)) else None

    def named(self, text: str) -> list[int]:
        """Return who is called so: Amplitude id, user id, or device id."""
        person = self.numbered(text)
        if person is not None:
            return [person]
        user, device = self._store.users.find(text), self._store.devices.find(text)
        if user < 0 and device < 0:
            return []
        person = self.of_user(user) if user >= 0 else self.of_device(device)
        return [person] if self.known(person) else []

    def beginning(self, prefix: str) -> Iterator[int]:
        """Return whose user id begins so."""
        for number, name in enumerate(self._store.users):
            if name.startswith(prefix) and self.known(self.of_user(number)):
                yield self.of_user(number)


_MOST_MATCHES = 100
_MOST_EVENTS = 1000
_TOO_MANY = 429


class UserSearch:
    """Finds users by id or the beginning of one."""

    def __init__(self, people: UserDirectory, requests: RateWindow, clock: Clock) -> None:
        self._people = people
        self._requests = requests
        self._clock = clock

    async def __call__(self, request: Request) -> Answer:
        """Answer a search.

        Raises:
            QueryError: The parameter is missing, or the hour's requests are used up.
        """
        spend_one(self._requests, self._clock)
        wanted = parameters(request).get("user", "")
        if not wanted:
            raise QueryError("missing required parameter user")
        kind = "match_user_or_device_id"
        found = self._people.named(wanted)
        if not found:
            kind = "match_prefix"
            found = list(itertools.islice(self._people.beginning(wanted), _MOST_MATCHES))
        matches = [
            {"user_id": self._people.user_id(person), "amplitude_id": person} for person in found
        ]
        return json_answer(200, {"matches": matches, "type": kind if found else "nomatch"})


class UserActivity:
    """Shows the events of a user."""

    def __init__(
        self, store: EventStore, people: UserDirectory, requests: RateWindow, clock: Clock
    ) -> None:
        self._store = store
        self._people = people
        self._requests = requests
        self._clock = clock

    async def __call__(self, request: Request) -> Answer:
        """Answer with one user's events, the latest first unless told otherwise.

        Raises:
            QueryError: A parameter is malformed, or the hour's requests are used up.
        """
        spend_one(self._requests, self._clock)
        query = parameters(request)
        offset, limit = _count(query, "offset", 0), _count(query, "limit", _MOST_EVENTS)
        direction = query.get("direction", "latest")
        if direction not in ("latest", "earliest"):
            raise QueryError('direction must be "latest" or "earliest"')
        person = self._people.numbered(query.get("user", ""))
        if person is None:
            raise QueryError("user must be the Amplitude ID of a user of this project")
        rows = self._people.rows(person)
        rows = rows[np.array(self._store.visible, dtype=np.int64)[rows] <= self._clock.now_ms()]
        rows = rows[np.argsort(np.array(self._store.time, dtype=np.int64)[rows], kind="stable")]
        if direction == "latest":
            rows = rows[::-1]
        # zero-indexed: a limit of 1 returns two [D]
        shown = rows[offset : offset + min(limit + 1, _MOST_EVENTS)].tolist()
        events = [record(self._store, row, person) for row in shown]
        return json_answer(
            200, {"userData": self._user_data(person, rows.tolist()), "events": events}
        )

    def _user_data(self, person: int, rows: list[int]) -> dict[str, Any]:
        newest = max(rows, key=self._store.time.__getitem__, default=None)
        latest = {} if newest is None else record(self._store, newest, person)
        return {
            "user_id": self._people.user_id(person),
            "canonical_amplitude_id": person,
            "merged_amplitude_ids": self._people.merged(person),
            "num_events": len(rows),
            "num_sessions": 0,
            "usage_time": 0,
            "last_device_id": latest.get("device_id"),
            "last_seen": (latest.get("event_time") or "")[:10] or None,
            "properties": latest.get("user_properties", {}),
        }


def spend_one(requests: RateWindow, clock: Clock) -> None:
    """Count a request against the hour's.

    Raises:
        QueryError: They are used up.
    """
    now_ms = clock.now_ms()
    if not requests.allows(1, now_ms):
        raise QueryError("Too Many Requests: Exceeded rate limit with query of cost 1", _TOO_MANY)
    requests.spend(1, now_ms)


def _count(query: Any, name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004
        raise QueryError(f"{name} must be a number of events")
    return int(text)
