"""The emulator as a whole: its state, its routes, and the raw export."""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import datetime as dt
import gzip
import io
import re
import secrets
import zipfile
from collections.abc import Awaitable
from typing import Any

import numpy as np
import orjson

from loadcheck.emulator.commit import Committer, Journal
from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.config.model import OtherProject
from loadcheck.emulator.faults import Injector
from loadcheck.emulator.limits import (
    Budget,
    CapacityQueue,
    ConcurrencyLimit,
    Dashboard,
    RateWindow,
    parameters,
)
from loadcheck.emulator.message import Answer, QueryError, Request, Router, json_answer
from loadcheck.emulator.pages import description, local_only, status_page
from loadcheck.emulator.parameters import zone
from loadcheck.emulator.protocol import Clock
from loadcheck.emulator.segmentation import SegmentationEndpoint
from loadcheck.emulator.store import EventStore, Taxonomy, record
from loadcheck.emulator.upload import PATH as IDENTIFY
from loadcheck.emulator.upload import (
    Identify,
    RefusedError,
    Uploads,
    read_form,
    read_payload,
)
from loadcheck.emulator.users import Deletions, UserActivity, UserDirectory, UserSearch

_HOUR_MS = 3_600_000
_REGIONS = ("us", "eu")


class Emulator:
    """One Amplitude project, with the others of its organization.

    Attributes:
        config: Its configuration.
        clock: Its time.
        injector: Its faults.
        router: Answers requests to this project.
        others: The other projects.
    """

    def __init__(
        self, config: EmulatorConfig, clock: Clock | None = None, journal: Journal | None = None
    ) -> None:
        self.config = config
        self.clock = clock or Clock()
        self.injector = Injector(config.faults)
        self.router = Router()
        self._store = EventStore()
        self._committer = Committer(config, self._store)
        if journal is not None:
            self._committer.restore(journal)
        people = UserDirectory(self._store)
        self._deletions = Deletions(
            self._store,
            people,
            RateWindow(config.queries.deletion_requests_per_s, 1000),
            self.clock,
            config.deletion_after_ms,
        )
        if journal is not None:
            self._deletions.keep_in(journal)
        self._dashboard = Dashboard(
            config, self.clock, self.injector, before=self._deletions.run_due
        )
        self._budget = Budget(
            config.queries.cost_per_5_minutes, config.queries.cost_per_hour, self.clock
        )
        self._uploads = {
            path: Uploads(
                config,
                batch=path == "/batch",
                clock=self.clock,
                committer=self._committer,
                injector=self.injector,
            )
            for path in ("/2/httpapi", "/batch")
        }
        server = None if config.capacity is None else CapacityQueue(config.capacity)
        self._identify = Identify(config, self.clock, self._committer)
        ingestion: dict[str, Uploads | Identify] = {**self._uploads, IDENTIFY: self._identify}
        for path, taking in ingestion.items():
            kept = taking if journal is None else journal.before(taking)
            kept = kept if server is None else server.before(kept)
            self.router.add("POST", path, kept)
            if path == IDENTIFY:
                self.router.add("GET", path, kept)
        self._route_queries(people)
        self._route_users(people)
        self.router.add("GET", "/", local_only(self._page))
        self.router.add("GET", "/health", lambda _: json_answer(200, {"status": "ok"}))
        self.router.add("GET", "/openapi.json", local_only(self._openapi))
        self.others = [
            Emulator(_another(config, project), self.clock) for project in config.projects
        ]
        self._stranger: Emulator | None = None

    def __call__(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer a request, in the project whose key it holds and the data centre it is sent to."""
        region = request.path[1:3]
        if request.path[3:4] == "/" and region in _REGIONS:
            request = request._replace(path=request.path[3:])
        elif self.others:
            region = self.config.region
        else:
            return self.router(request)
        return self._known(region, request).router(request)

    def _known(self, region: str, request: Request) -> Emulator:
        """Return the project of a request's key, or one that refuses every key if none has it."""
        here = [each for each in (self, *self.others) if each.config.region == region]
        key = _key_of(request)
        for each in here:
            if key is None or each.config.api_key == key:
                return each
        if self._stranger is None:
            self._stranger = Emulator(_strangers(self.config), self.clock)
        return self._stranger

    def _route_queries(self, people: UserDirectory) -> None:
        config, store = self.config, self._store
        slots = ConcurrencyLimit(config.queries.concurrent)  # over all endpoints [D]
        taxonomy = Taxonomy(config.taxonomy, store)
        segmentation = SegmentationEndpoint(
            config,
            taxonomy,
            clock=self.clock,
            injector=self.injector,
            budget=self._budget,
        )
        events = EventsList(config, taxonomy, clock=self.clock, budget=self._budget)
        export = Export(config, store=store, people=people, clock=self.clock)
        guarded = self._dashboard.guarded
        self.router.add("GET", "/api/2/events/segmentation", guarded(segmentation, slots))
        self.router.add("GET", "/api/2/events/list", guarded(events, slots))
        self.router.add("GET", "/api/2/export", guarded(export, slots))

    def _route_users(self, people: UserDirectory) -> None:
        limits, store, clock = self.config.queries, self._store, self.clock
        guarded = self._dashboard.guarded
        search = UserSearch(people, RateWindow(limits.user_requests_per_hour, _HOUR_MS), clock)
        activity = UserActivity(
            store, people, RateWindow(limits.user_requests_per_hour, _HOUR_MS), clock
        )
        slots = ConcurrencyLimit(limits.user_concurrent)
        self.router.add("GET", "/api/2/usersearch", guarded(search, slots))
        self.router.add("GET", "/api/2/useractivity", guarded(activity, slots))
        path = "/api/2/deletions/users"
        jobs = ConcurrencyLimit(limits.deletion_concurrent)
        self.router.add("POST", path, guarded(self._deletions.post, jobs))
        self.router.add("GET", path, guarded(self._deletions.get, jobs))
        self.router.add("DELETE", f"{path}/{{}}/{{}}", guarded(self._deletions.delete, jobs))

    def state(self) -> dict[str, Any]:
        """Return the counters of what was received, stored and refused."""
        uploads = self._uploads.items()
        return {
            "now_ms": self.clock.now_ms(),
            "users": len(self._store.users),
            "devices": len(self._store.devices),
            "events": len(self._store),
            "duplicates": self._committer.duplicates,
            "filtered": self._committer.filtered,
            "uploads": {path: entry.requests for path, entry in uploads},
            "acknowledged": {path: entry.acknowledged for path, entry in uploads},
            "refused": {path: entry.refusals for path, entry in uploads},
            "identified": {"requests": self._identify.requests, "refused": self._identify.refusals},
            "queries": self._dashboard.requests,
            "queries_refused": self._dashboard.refusals,
            "cost": dict(zip(("5 minutes", "hour"), self._budget.spent, strict=True)),
            "others": [
                {"region": each.config.region, "users": each.state()["users"]}
                for each in self.others
            ],
        }

    def _page(self, request: Request) -> Answer:  # noqa: ARG002 - it has no parameters
        types = self._store.counts_by_type()
        page = status_page(self.config, self.state(), types, self.injector.faults)
        return Answer(200, page.encode(), b"text/html; charset=utf-8")

    def _openapi(self, request: Request) -> Answer:  # noqa: ARG002 - it has no parameters
        return Answer(200, description(self.config))


def _strangers(config: EmulatorConfig) -> EmulatorConfig:
    """Return a project with unknown random keys, which refuses requests as the real ones do."""
    keys = secrets.token_hex(16), secrets.token_hex(16)
    return _another(config, OtherProject(api_key=keys[0], secret_key=keys[1], region="us"))


def _another(config: EmulatorConfig, project: OtherProject) -> EmulatorConfig:
    return dataclasses.replace(
        config,
        api_key=project.api_key,
        secret_key=project.secret_key,
        region=project.region,
        projects=(),
        faults=(),
        capacity=None,
    )


def _key_of(request: Request) -> str | None:
    """Return the API key in a request; None if it has none, "" if it is not readable."""
    scheme, _, pair = request.header(b"authorization").partition(b" ")
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(pair, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    if request.path == IDENTIFY:
        return read_form(request).get("api_key")
    try:
        key = read_payload(request, None)[0].get("api_key")
    except RefusedError:
        return None
    return None if key is None else str(key)


_HOUR_FORM = re.compile("[0-9]{8}T[0-9]{2}")
_LONGEST_DAYS = 365
_LARGEST_BYTES = 4 * 10**9
_LINES_PER_FILE = 100_000
_PROJECT = "1"
_NOT_FOUND = 404


class Export:
    """Exports the events of whole hours."""

    def __init__(
        self, config: EmulatorConfig, *, store: EventStore, people: UserDirectory, clock: Clock
    ) -> None:
        self._lag_ms = config.export_lag_ms
        self._store = store
        self._people = people
        self._clock = clock

    async def __call__(self, request: Request) -> Answer:
        """Answer with the archive.

        Raises:
            QueryError: A parameter is malformed, the range or the archive is too large, or there
                are no events.
        """
        query = parameters(request)
        start_ms, end_ms = (
            _hour(query.get("start", ""), "start"),
            _hour(query.get("end", ""), "end"),
        )
        if end_ms < start_ms:
            raise QueryError("end must not be before start")
        if end_ms - start_ms > _LONGEST_DAYS * 24 * _HOUR_MS:
            raise QueryError(f"at most {_LONGEST_DAYS} days")
        # an hour is complete once the lag has passed after its end
        ready_ms = (self._clock.now_ms() - self._lag_ms) // _HOUR_MS * _HOUR_MS
        uploaded = np.array(self._store.uploaded, dtype=np.int64)
        until_ms = min(end_ms + _HOUR_MS, ready_ms)
        kept = np.array(self._store.visible, dtype=np.int64) != self._store.ERASED
        rows = np.flatnonzero((uploaded >= start_ms) & (uploaded < until_ms) & kept)
        if not len(rows):
            raise QueryError("no data in this range", _NOT_FOUND)
        loop = asyncio.get_running_loop()
        archive = await loop.run_in_executor(None, self._archive, rows.tolist())
        if len(archive) > _LARGEST_BYTES:
            raise QueryError("the export is larger than 4 GB; ask for fewer hours")
        return Answer(200, archive, b"application/zip")

    def _archive(self, rows: list[int]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            hours: dict[int, list[int]] = {}
            for row in rows:
                hours.setdefault(self._store.uploaded[row] // _HOUR_MS, []).append(row)
            for hour, found in sorted(hours.items()):
                begins = dt.datetime.fromtimestamp(hour * 3600, dt.UTC)
                for number, first in enumerate(range(0, len(found), _LINES_PER_FILE)):
                    name = f"{_PROJECT}/{_PROJECT}_{begins:%Y-%m-%d}_{begins.hour}#{number}.json.gz"
                    archive.writestr(name, self._lines(found[first : first + _LINES_PER_FILE]))
        return buffer.getvalue()

    def _lines(self, rows: list[int]) -> bytes:
        lines = (
            orjson.dumps(
                # the id before merging, as in raw data [U]
                record(self._store, row, self._people.of_row(row)),
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for row in rows
        )
        return gzip.compress(b"".join(lines), compresslevel=1, mtime=0)


def _hour(text: str, name: str) -> int:
    if _HOUR_FORM.fullmatch(text):
        try:
            hour = dt.datetime.strptime(text + "+0000", "%Y%m%dT%H%z")
        except ValueError:
            pass
        else:
            return int(hour.timestamp() * 1000)
    raise QueryError(f"{name} must be an hour of the form YYYYMMDDTHH")


class EventsList:
    """Lists the event types and how often each occurred this week, which begins on Monday [U]."""

    def __init__(
        self,
        config: EmulatorConfig,
        taxonomy: Taxonomy,
        *,
        clock: Clock,
        budget: Budget,
    ) -> None:
        self._inactive = config.inactive_event_types
        self._zone = zone(config.time_zone)
        self._store = taxonomy.store
        self._taxonomy = taxonomy
        self._clock = clock
        self._budget = budget

    async def __call__(self, request: Request) -> Answer:  # noqa: ARG002 - it has no parameters
        """Answer with the list.

        Raises:
            QueryError: The budget is used up.
        """
        self._budget.spend(1)
        now_ms = self._clock.now_ms()
        today = dt.datetime.fromtimestamp(now_ms / 1000, self._zone)
        monday = dt.datetime.combine(
            today.date() - dt.timedelta(days=today.weekday()), dt.time(), self._zone
        )
        times = np.array(self._store.time, dtype=np.int64)
        seen = np.array(self._store.visible, dtype=np.int64) <= now_ms
        types = np.array(self._store.type, dtype=np.int32)
        known = np.bincount(types[seen], minlength=len(self._store.types))
        recent = seen & (times >= int(monday.timestamp() * 1000))
        weekly = np.bincount(types[recent], minlength=len(self._store.types))
        data = [
            {
                "value": name,
                "display": name,
                "name": name,
                "totals": int(weekly[number]),
                "hidden": False,
                "deleted": False,
                "non_active": name in self._inactive,
                "flow_hidden": False,
            }
            for number, name in enumerate(self._store.types)
            if known[number] and self._taxonomy.queryable_type(number)
        ]
        return json_answer(200, {"data": data})
