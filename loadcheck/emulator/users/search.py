"""``GET /api/2/usersearch`` and ``GET /api/2/useractivity``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from loadcheck.emulator.http.message import json_answer
from loadcheck.emulator.query.dashboard import parameters
from loadcheck.emulator.query.error import QueryError
from loadcheck.emulator.store.records import record

if TYPE_CHECKING:
    from loadcheck.emulator.clock import Clock
    from loadcheck.emulator.http.message import Answer, Request
    from loadcheck.emulator.query.budget import Spending
    from loadcheck.emulator.store.events import EventStore
    from loadcheck.emulator.users.people import People

_MOST_MATCHES = 100
_MOST_EVENTS = 1000
_TOO_MANY = 429


class UserSearch:
    """Finds users by id or the beginning of one."""

    def __init__(self, people: People, requests: Spending, clock: Clock) -> None:
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

    def __init__(self, store: EventStore, people: People, requests: Spending, clock: Clock) -> None:
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


def spend_one(requests: Spending, clock: Clock) -> None:
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
