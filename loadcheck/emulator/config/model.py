"""The configuration as frozen values; times in milliseconds (``_ms``), sizes in bytes.

:func:`milliseconds` reads the durations of a configuration, :func:`duration` writes them.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(value: object) -> float | None:
    """Return a duration in milliseconds, or None if ``value`` is not one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value * 1000.0 if 0 <= value < float("inf") else None
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return sum(float(number) * _MS[unit] for number, unit in _PART.findall(value))
    return None


def duration(ms: float) -> str:
    """Return milliseconds as :func:`milliseconds` reads them: "500ms", "2s"."""
    return f"{ms / 1000:.12g}s" if ms >= _MS["s"] else f"{ms:.12g}ms"


Side = Literal["uploads", "queries", "all"]
_Z99 = 2.3263478740408408  # the 99th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class DelayDistribution:
    """A distribution of delays, in milliseconds.

    Attributes:
        kind: "fixed": always ``first_ms``. "uniform": between ``first_ms`` and ``second_ms``.
            "lognormal": heavy-tailed, with median ``first_ms`` and 99th percentile ``second_ms``.
        first_ms: See ``kind``.
        second_ms: See ``kind``; unused if fixed.
    """

    kind: Literal["fixed", "uniform", "lognormal"]
    first_ms: float
    second_ms: float = 0.0

    def __str__(self) -> str:
        """Return it as written in a configuration."""
        first, second = duration(self.first_ms), duration(self.second_ms)
        if self.kind == "fixed":
            return f'"{first}"'
        names = ("median", "p99") if self.kind == "lognormal" else ("min", "max")
        return f'{{ {names[0]} = "{first}", {names[1]} = "{second}" }}'

    def sample_ms(self, chance: random.Random) -> float:
        """Draw one delay."""
        if self.kind == "fixed":
            return self.first_ms
        if self.kind == "uniform":
            return chance.uniform(self.first_ms, self.second_ms)
        sigma = math.log(self.second_ms / self.first_ms) / _Z99
        return chance.lognormvariate(math.log(self.first_ms), sigma)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which of its subjects a fault hits: requests, events or users, in the order of arrival.

    Attributes:
        rate: Each with this probability, from 0 to 1; None: not by chance.
        count: This many of them; None: no fixed number.
        among: With ``count``: chosen at random among the first ``among``.
        first: With ``count``: in a row, from this number on; the very first is 0.
        after_ms: From the first upload until the time window begins.
        lasting_ms: Length of the time window; None: it never ends.
        every_ms: The window recurs at this interval; None: it does not.
    """

    rate: float | None = None
    count: int | None = None
    among: int | None = None
    first: int = 0
    after_ms: float = 0.0
    lasting_ms: float | None = None
    every_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One configured fault.

    Attributes:
        kind: A key of :data:`loadcheck.emulator.config.faults.KINDS`, which says what it does.
        selection: Which requests, events or users it hits.
        seed: Makes its choice repeatable.
        on: Whether uploads, queries or both are hit; configurable for some kinds only.
        status: The HTTP status it answers with; 0: none.
        delay: The delay it causes; None: none.
        number: Copies to add (``duplicate``), or the ``events_ingested`` to claim (``miscount``).
        partition: Only this share of the users, by a hash of the id; None: all of them.
    """

    kind: str
    selection: Selection
    seed: int
    on: Side = "uploads"
    status: int = 0
    delay: DelayDistribution | None = None
    number: int = 0
    partition: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """The limits of one ingestion endpoint; None switches one off.

    Attributes:
        max_bytes: Size of the serialized request, after decompression.
        max_events: Events in one request.
        user_events_per_s: Rate of one user or one device, averaged over ``window_s``.
        window_s: Over which the rate is averaged.
        user_events_per_day: Of one user or device in a rolling day of one-hour steps.
        project_events_per_s: Rate of all events of the project.
        project_requests_per_s: Rate of all requests of the project.
        user_property_updates_per_hour: Of one user; beyond it the event is kept, its
            ``user_properties`` are not.
    """

    max_bytes: int | None
    max_events: int | None
    user_events_per_s: int | None
    window_s: int
    user_events_per_day: int | None
    project_events_per_s: int | None
    project_requests_per_s: int | None
    user_property_updates_per_hour: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """The limits of the Dashboard REST API; None switches one off.

    Attributes:
        concurrent: Queries under way at once, over all endpoints.
        cost_per_5_minutes: Sum of the costs of the queries of five minutes.
        cost_per_hour: The same of an hour.
        user_concurrent: Requests to usersearch and useractivity under way at once.
        user_requests_per_hour: Requests to each of them in an hour.
        deletion_requests_per_s: Deletion requests in a second.
        deletion_concurrent: Deletion requests under way at once.
        max_intervals: Whether the windows of the intervals (2, 7, 365 days, …) are enforced.
    """

    concurrent: int | None
    cost_per_5_minutes: int | None
    cost_per_hour: int | None
    user_concurrent: int | None
    user_requests_per_hour: int | None
    deletion_requests_per_s: int | None
    deletion_concurrent: int | None
    max_intervals: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxonomyLimits:
    """How many names a project may have; those beyond are stored, but never queryable."""

    event_types: int | None
    event_properties: int | None
    user_properties: int | None


Region = Literal["us", "eu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherProject:
    """A further project of the organization: keys, data and limits of its own, and no faults.

    Attributes:
        api_key: Its API key.
        secret_key: Its secret key.
        region: The data centre that knows its keys.
    """

    api_key: str
    secret_key: str
    region: Region


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorConfig:
    """The whole configuration of the emulator.

    Attributes:
        api_key: API key of the main project.
        secret_key: Its secret key, for the Dashboard REST API.
        seed: Random seed.
        visibility: Delay from the acknowledgement of an event until queries count it.
        time_zone: IANA name of the project's time zone, which decides its days.
        limits_name: Name of the limits: "documented" or "off", with changes or without.
        httpapi: Limits of ``/2/httpapi``.
        batch: Limits of ``/batch``.
        queries: Limits of the query endpoints.
        taxonomy: Limits of the number of names.
        cache: Whether results of queries are cached for the documented ages.
        short_ids: "strip" as documented, or "refuse" as ``/2/httpapi`` was seen to.
        empty_result: The answer to a query that finds nothing: a series of zeros, or no series.
        blocked_event_types: Acknowledged, but not stored.
        inactive_event_types: Not counted by ``_active``.
        custom_events: Name → the event types it stands for, queried as ``ce:Name``.
        silenced_devices: Devices whose events are refused.
        export_lag_ms: How long after its end an hour can be exported.
        deletion_after_ms: From a request to delete a user until that is done.
        block_bots: Whether events whose ``user_agent`` is not a browser's are discarded.
        capacity: Uploads served per second, one at a time; None: unlimited.
        faults: The faults of the main project.
        region: The data centre of the main project.
        projects: Further projects.
    """

    api_key: str
    secret_key: str
    seed: int
    visibility: DelayDistribution
    time_zone: str
    limits_name: str
    httpapi: UploadLimits
    batch: UploadLimits
    queries: QueryLimits
    taxonomy: TaxonomyLimits
    cache: bool
    short_ids: Literal["strip", "refuse"]
    empty_result: Literal["zeros", "empty"]
    blocked_event_types: frozenset[str]
    inactive_event_types: frozenset[str]
    custom_events: Mapping[str, tuple[str, ...]]
    silenced_devices: frozenset[str]
    export_lag_ms: float
    deletion_after_ms: float
    block_bots: bool
    capacity: float | None
    faults: tuple[Fault, ...]
    region: Region
    projects: tuple[OtherProject, ...]
