"""Users: search and activity (``/api/2/usersearch``, ``/api/2/useractivity``) and deletion.

Amplitude ids are one number for each user the project knows, by user id or by device. Deletion
jobs (``/api/2/deletions/users``) erase users after a while [D] User Privacy API.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from loadcheck.emulator.commit import Journal, JournalWriteError
from loadcheck.emulator.limits import RateWindow, parameters
from loadcheck.emulator.message import Answer, QueryError, Request, json_answer
from loadcheck.emulator.parameters import read_day
from loadcheck.emulator.protocol import Clock
from loadcheck.emulator.store import EventStore, record

_FIRST = 100_000_000_000
_MOST_DIGITS = 19


class UserDirectory:
    """Finds people by their ids.

    A person is a user id, or a device on which no user id was ever seen. Their Amplitude id is even
    for users and odd for devices, so that it stays the same as both grow in number.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._left: tuple[tuple[int, int], NDArray[np.bool_]] | None = None

    def of_row(self, row: int) -> int:
        """Return the Amplitude id of an event's own user or device, before any merging."""
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
        """Return for every person whether they have an event that was not deleted."""
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
        """Return a text as an Amplitude id, or None if it is not the id of a known person."""
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            return None
        return int(text) if self.known(int(text)) else None

    def named(self, text: str) -> list[int]:
        """Return the person with this Amplitude id, user id or device id: a list of one or none."""
        person = self.numbered(text)
        if person is not None:
            return [person]
        user, device = self._store.users.find(text), self._store.devices.find(text)
        if user < 0 and device < 0:
            return []
        person = self.of_user(user) if user >= 0 else self.of_device(device)
        return [person] if self.known(person) else []

    def beginning(self, prefix: str) -> Iterator[int]:
        """Yield the Amplitude ids of the users whose user id begins with ``prefix``."""
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
        """Answer with one user's events, the latest first unless asked otherwise.

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
    """Count a request against a rate limit.

    Raises:
        QueryError: The limit is reached.
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


_PROJECT = 1
_MOST_IDS = 100
_DAY_MS = 86_400_000
_REVOCABLE = 0.1
"""Last share of the time until a job runs, in which it cannot be revoked: 3 of 30 days."""
_LONGEST_DAYS = 186
_NOT_FOUND = 404
_BROKEN = 500


@dataclass(slots=True, eq=False)
class _Job:
    """Deletions that fall due together: staging, then submitted, then done.

    Attributes:
        day: The day on which they fall due (UTC).
        due_ms: The instant at which they fall due.
        fixed_ms: After this instant they cannot be revoked.
        people: The people to delete.
        done: Whether it has run.
    """

    day: dt.date
    due_ms: float
    fixed_ms: float
    people: dict[int, dict[str, Any]] = field(default_factory=dict)
    done: bool = False

    def status(self, now_ms: int) -> str:
        """Return "staging", "submitted" or "done"."""
        if self.done:
            return "done"
        return "submitted" if now_ms > self.fixed_ms else "staging"

    def as_json(self, now_ms: int, people: Collection[int] | None = None) -> dict[str, Any]:
        """Return it as the API shows it, with all of its people or only those given."""
        shown = self.people if people is None else people
        return {
            "day": self.day.isoformat(),
            "status": self.status(now_ms),
            "app": _PROJECT,
            "amplitude_ids": [self.people[person] for person in shown],
            "active_scrub_done_date": self.day.isoformat() if self.done else None,
        }


def _unkept(_: dict[str, Any]) -> None:
    """Keep nothing: there is no journal."""


class Deletions:
    """The deletion jobs of the project."""

    def __init__(
        self,
        store: EventStore,
        people: UserDirectory,
        requests: RateWindow,
        clock: Clock,
        after_ms: float,
    ) -> None:
        self._store = store
        self._people = people
        self._requests = requests
        self._clock = clock
        self._after_ms = after_ms
        self._jobs: list[_Job] = []
        self._note: Callable[[dict[str, Any]], None] = _unkept

    def keep_in(self, journal: Journal) -> None:
        """Load the deletions of a journal, and record in it what happens to them."""
        for entry in journal.deletions():
            if "rows" in entry:
                self._store.erase(entry["rows"])
                self._jobs[entry["job"]].done = True
            elif "revoked" in entry:
                self._jobs[entry["job"]].people.pop(entry["revoked"], None)
            else:
                if entry["job"] == len(self._jobs):
                    day = dt.date.fromisoformat(entry["day"])
                    self._jobs.append(_Job(day, entry["due_ms"], entry["fixed_ms"]))
                job = self._jobs[entry["job"]]
                job.due_ms, job.fixed_ms = entry["due_ms"], entry["fixed_ms"]
                job.people |= {each["amplitude_id"]: each for each in entry["people"]}
        self._note = journal.note_deletion

    def run_due(self) -> None:
        """Erase the users whose deletion is due."""
        now_ms = self._clock.now_ms()
        for number, job in enumerate(self._jobs):
            if not job.done and job.due_ms <= now_ms:
                rows = [row for person in job.people for row in self._people.rows(person).tolist()]
                self._store.erase(rows)
                job.done = True
                # if this cannot be written, the deletion is repeated after a restart
                with contextlib.suppress(JournalWriteError):
                    self._note({"job": number, "rows": rows})

    def _open_job(self) -> _Job:
        """Return the job for deletions requested now; create it if necessary."""
        now_ms = self._clock.now_ms()
        due_ms = now_ms + self._after_ms
        day = dt.datetime.fromtimestamp(due_ms / 1000, dt.UTC).date()
        whole = self._after_ms >= _DAY_MS  # then due as the day begins, else by the last request
        if whole:
            due_ms = due_ms // _DAY_MS * _DAY_MS
        # the last day for revoking counts until its end
        fixed_ms = due_ms - _REVOCABLE * self._after_ms + (_DAY_MS - 1 if whole else 0)
        for job in self._jobs:
            if job.day == day and not job.done:
                job.due_ms, job.fixed_ms = max(job.due_ms, due_ms), max(job.fixed_ms, fixed_ms)
                return job
        self._jobs.append(_Job(day, due_ms, fixed_ms))
        return self._jobs[-1]

    async def post(self, request: Request) -> Answer:
        """Queue all requested deletions, or none.

        Raises:
            QueryError: The request is malformed, too large or too frequent, has unknown ids that
                it does not ask to ignore, or cannot be written to the journal.
        """
        spend_one(self._requests, self._clock)
        content = _content(request)
        # the documentation spells the flag in two ways
        ignore = any(_true(content.get(key)) for key in ("ignore_invalid_id", "ignore_invalid_ids"))
        wanted = [*_listed(content, "user_ids"), *_listed(content, "amplitude_ids")]
        if not 1 <= len(wanted) <= _MOST_IDS:
            raise QueryError(f"from 1 to {_MOST_IDS} ids a request")
        found, unknown = self._found(content)
        if unknown and not ignore:
            raise QueryError("unknown ids: " + ", ".join(unknown))
        today = dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, dt.UTC).date()
        job = self._open_job()
        people = {
            person: {
                "amplitude_id": person,
                "requester": str(content.get("requester", "")),
                "requested_on_day": today.isoformat(),
            }
            for person in found
        }
        self._keep(
            {
                "job": self._jobs.index(job),
                "day": job.day.isoformat(),
                "due_ms": job.due_ms,
                "fixed_ms": job.fixed_ms,
                "people": [*people.values()],
            }
        )
        job.people |= people
        # whether the job's other people are shown as well is [U]
        return json_answer(200, job.as_json(self._clock.now_ms(), dict.fromkeys(found)))

    async def get(self, request: Request) -> Answer:
        """List the jobs of a range of days.

        Raises:
            QueryError: The range is malformed or too long.
        """
        query = parameters(request)
        start = read_day(query.get("start_day", "").replace("-", ""), "start_day")
        end = read_day(query.get("end_day", "").replace("-", ""), "end_day")
        if not 0 <= (end - start).days <= _LONGEST_DAYS:
            raise QueryError("end_day must be up to six months after start_day")
        now_ms = self._clock.now_ms()
        jobs = sorted(self._jobs, key=lambda job: job.day)
        return json_answer(200, [job.as_json(now_ms) for job in jobs if start <= job.day <= end])

    async def delete(self, request: Request, amplitude_id: str, day: str) -> Answer:  # noqa: ARG002
        """Take one person out of a job.

        Raises:
            QueryError: There is no such job, it is too late, or the journal cannot be written.
        """
        due = read_day(day.replace("-", ""), "JOB_START_DAY")
        person = self._people.numbered(amplitude_id)
        jobs = [job for job in self._jobs if job.day == due and person in job.people]
        if not jobs or person is None:
            raise QueryError("no such deletion", _NOT_FOUND)
        job = jobs[-1]
        if job.status(self._clock.now_ms()) != "staging":
            raise QueryError("it can no longer be revoked")
        self._keep({"job": self._jobs.index(job), "revoked": person})
        return json_answer(200, job.people.pop(person))

    def _keep(self, entry: dict[str, Any]) -> None:
        try:
            self._note(entry)
        except JournalWriteError as error:
            raise QueryError(f"cannot be kept: {error}", _BROKEN) from None

    def _found(self, content: dict[str, Any]) -> tuple[list[int], list[str]]:
        """Return the Amplitude ids of the requested users, and the unknown ids."""
        found: list[int] = []
        unknown: list[str] = []
        for user_id in _listed(content, "user_ids"):
            user = self._store.users.find(str(user_id))
            if user >= 0 and self._people.known(self._people.of_user(user)):
                found.append(self._people.of_user(user))
            else:
                unknown.append(str(user_id))
        for amplitude_id in _listed(content, "amplitude_ids"):
            person = self._people.numbered(str(amplitude_id))
            if person is None:
                unknown.append(str(amplitude_id))
            else:
                found.append(person)
        return found, unknown


def _content(request: Request) -> dict[str, Any]:
    try:
        content = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise QueryError("the body is not valid JSON") from None
    if type(content) is not dict:
        raise QueryError("the body must be a JSON object")
    return content


def _listed(content: dict[str, Any], key: str) -> list[Any]:
    value = content.get(key) or []
    if type(value) is not list:
        raise QueryError(f"{key} must be a list")
    return value


def _true(value: object) -> bool:
    return value is True or str(value).lower() == "true"
