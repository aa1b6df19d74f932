"""``/api/2/deletions/users``: jobs that erase users after a while [D] User Privacy API."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import orjson

from loadcheck.emulator.clock import Clock
from loadcheck.emulator.http.message import Answer, QueryError, Request, json_answer
from loadcheck.emulator.query.dashboard import RateWindow, parameters
from loadcheck.emulator.query.parameters import read_day
from loadcheck.emulator.store import EventStore
from loadcheck.emulator.users.search import UserDirectory, spend_one

_PROJECT = 1
_MOST_IDS = 100
_JOB_DAYS = 30
_REVOCABLE_DAYS = 3
_LONGEST_DAYS = 186
_NOT_FOUND = 404


@dataclass(slots=True)
class _Job:
    """All deletions that fall due on one day: staging, then submitted, then done."""

    day: dt.date
    people: dict[int, dict[str, Any]] = field(default_factory=dict)
    done: bool = False

    def status(self, today: dt.date) -> str:
        """Return how far it is; it can be revoked until three days before."""
        if self.done:
            return "done"
        return "submitted" if (self.day - today).days < _REVOCABLE_DAYS else "staging"

    def as_json(self, today: dt.date) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "day": self.day.isoformat(),
            "status": self.status(today),
            "app": _PROJECT,
            "amplitude_ids": list(self.people.values()),
            "active_scrub_done_date": self.day.isoformat() if self.done else None,
        }


class Deletions:
    """The deletion jobs of the project."""

    def __init__(
        self, store: EventStore, people: UserDirectory, requests: RateWindow, clock: Clock
    ) -> None:
        self._store = store
        self._people = people
        self._requests = requests
        self._clock = clock
        self._jobs: dict[dt.date, _Job] = {}

    def run_due(self) -> None:
        """Erase whoever is due by now."""
        today = self._today()
        for job in self._jobs.values():
            if job.day <= today and not job.done:
                for person in job.people:
                    self._store.erase(self._people.rows(person).tolist())
                job.done = True

    async def post(self, request: Request) -> Answer:
        """Queue deletions: all that are asked for, or none.

        Raises:
            QueryError: The request is malformed, too large or too frequent, or names somebody
                unknown without saying that this is to be ignored.
        """
        spend_one(self._requests, self._clock)
        content = _content(request)
        # the flag is spelled in two ways in the documents
        ignore = any(_true(content.get(key)) for key in ("ignore_invalid_id", "ignore_invalid_ids"))
        wanted = [*_listed(content, "user_ids"), *_listed(content, "amplitude_ids")]
        if not 1 <= len(wanted) <= _MOST_IDS:
            raise QueryError(f"from 1 to {_MOST_IDS} ids a request")
        found, unknown = self._found(content)
        if unknown and not ignore:
            raise QueryError("unknown ids: " + ", ".join(unknown))
        today = self._today()
        job = self._jobs.setdefault(
            today + dt.timedelta(days=_JOB_DAYS), _Job(today + dt.timedelta(days=_JOB_DAYS))
        )
        for person in found:
            job.people[person] = {
                "amplitude_id": person,
                "requester": str(content.get("requester", "")),
                "requested_on_day": today.isoformat(),
            }
        return json_answer(200, job.as_json(today))

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
        today = self._today()
        jobs = sorted(self._jobs.values(), key=lambda job: job.day)
        return json_answer(200, [job.as_json(today) for job in jobs if start <= job.day <= end])

    async def delete(self, request: Request, amplitude_id: str, day: str) -> Answer:  # noqa: ARG002
        """Take one person out of a job.

        Raises:
            QueryError: There is no such job, or it is too late.
        """
        today = self._today()
        job = self._jobs.get(read_day(day.replace("-", ""), "JOB_START_DAY"))
        person = self._people.numbered(amplitude_id)
        if job is None or person is None or person not in job.people:
            raise QueryError("no such deletion", _NOT_FOUND)
        if job.status(today) != "staging":
            raise QueryError("it can no longer be revoked")
        return json_answer(200, job.people.pop(person))

    def _found(self, content: dict[str, Any]) -> tuple[list[int], list[str]]:
        """Return the people asked for, and the ids of nobody."""
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

    def _today(self) -> dt.date:
        return dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, dt.UTC).date()


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
