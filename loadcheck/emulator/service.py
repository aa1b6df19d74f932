"""The emulator as a whole: its state, and which path leads to which part."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import secrets
from collections.abc import Awaitable, Iterator
from typing import Any

from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.config.model import OtherProject
from loadcheck.emulator.export import EventsList, Export
from loadcheck.emulator.faults import Injector
from loadcheck.emulator.ingest.commit import Committer, Journal
from loadcheck.emulator.ingest.throttle import CapacityQueue
from loadcheck.emulator.ingest.upload import PATH as IDENTIFY
from loadcheck.emulator.ingest.upload import (
    Identify,
    RefusedError,
    Uploads,
    read_form,
    read_payload,
)
from loadcheck.emulator.message import Answer, Request, Router, json_answer
from loadcheck.emulator.pages import description, local_only, status_page
from loadcheck.emulator.protocol import Clock
from loadcheck.emulator.query.dashboard import Budget, ConcurrencyLimit, Dashboard, RateWindow
from loadcheck.emulator.query.segmentation import SegmentationEndpoint
from loadcheck.emulator.store import EventStore, Taxonomy
from loadcheck.emulator.users import Deletions, UserActivity, UserDirectory, UserSearch

_HOUR_MS = 3_600_000
_REGIONS = ("us", "eu")


class Emulator:
    """One project of Amplitude, and behind it the others of its organization.

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
        self.others = [Emulator(each, self.clock) for each in _others(config)]
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
        """Return the project that a request names; one that nobody has a key of, if none does."""
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
        """Return what has arrived and what became of it."""
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


def _others(config: EmulatorConfig) -> Iterator[EmulatorConfig]:
    for project in config.projects:
        yield _another(config, project)


def _strangers(config: EmulatorConfig) -> EmulatorConfig:
    """Return a project whose keys nobody can name: it refuses as the real ones refuse."""
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
    """Return the API key in a request; None if it has none."""
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
