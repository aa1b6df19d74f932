"""Checks the parameters of a segmentation query, and divides its days into intervals."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from loadcheck.emulator.message import QueryError
from loadcheck.emulator.view import OPERATORS, Filter

Interval = Literal[-300000, -3600000, 1, 7, 30]
INTERVALS: tuple[Interval, ...] = (-300000, -3600000, 1, 7, 30)
_DAY = dt.timedelta(days=1)
_DAY_MS = 86_400_000
_MOST_INTERVALS = 100_000  # above what any window allows; for when windows are not enforced
_FIRST_YEAR, _LAST_YEAR = 1970, 9998  # a day earlier or later is still a date
_DAY_FORM = re.compile("[0-9]{8}")
# [D] Dashboard REST API and Limits; Limits says 1 day for real-time
_LONGEST_DAYS = {-300000: 2, -3600000: 7, 1: 365, 7: 52 * 7, 30: 36 * 31}


@dataclass(frozen=True, slots=True)
class Axis:
    """The intervals of a query.

    Attributes:
        bounds_ms: The start of each, and last the end of the last one, in ms since the epoch.
        labels: The label of each.
        days: How many days they span.
    """

    bounds_ms: tuple[int, ...]
    labels: tuple[str, ...]
    days: int


def zone(name: str) -> dt.tzinfo:
    """Return a time zone; UTC is known even without a time zone database."""
    return dt.UTC if name == "UTC" else zoneinfo.ZoneInfo(name)


def read_day(text: str, name: str) -> dt.date:
    """Return the day that a parameter names.

    Raises:
        QueryError: It is missing, or not YYYYMMDD.
    """
    if _DAY_FORM.fullmatch(text) and _FIRST_YEAR <= int(text[:4]) <= _LAST_YEAR:
        try:
            return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError:
            pass
    raise QueryError(f"{name} must be a date of the form YYYYMMDD")


def axis(
    start: dt.date,
    end: dt.date,
    interval: Interval,
    where: dt.tzinfo,
    *,
    enforce_windows: bool,
) -> Axis:
    """Cut the days from ``start`` to ``end``, both inclusive, into intervals.

    Days are those of the project's time zone: 23 to 25 hours long where clocks change.

    Raises:
        QueryError: The days are in the wrong order, or more than the interval allows.
    """
    days = (end - start).days + 1
    if days < 1:
        raise QueryError("end must not be before start")
    if enforce_windows and days > _LONGEST_DAYS[interval]:
        # the answer to an excess is [U]
        raise QueryError(f"at most {_LONGEST_DAYS[interval]} days with i={interval}")
    if days * _DAY_MS // abs(interval if interval < 0 else _DAY_MS) > _MOST_INTERVALS:
        raise QueryError(f"more than {_MOST_INTERVALS:,} intervals")
    first, last = _midnight_ms(start, where), _midnight_ms(end + _DAY, where)
    if interval < 0:
        starts = list(range(first, last, -interval))
        form = "%Y-%m-%dT%H:%M:00"  # without a zone [U-obs]
        labels = [dt.datetime.fromtimestamp(begin / 1000, where).strftime(form) for begin in starts]
        return Axis((*starts, last), tuple(labels), days)
    dates = _dates(start, end, interval)
    # the first week or month counts only from the start day on [U]
    starts = [first, *(_midnight_ms(date, where) for date in dates[1:])]
    return Axis((*starts, last), tuple(date.isoformat() for date in dates), days)


def _dates(start: dt.date, end: dt.date, interval: Interval) -> list[dt.date]:
    """Return the day on which each interval begins: days, weeks from Monday on, or months."""
    if interval == 1:
        return [start + _DAY * number for number in range((end - start).days + 1)]
    dates = []
    date = start - _DAY * start.weekday() if interval == 7 else start.replace(day=1)  # noqa: PLR2004
    while date <= end:
        dates.append(date)
        if interval == 7:  # noqa: PLR2004
            date += 7 * _DAY
        else:
            date = (date + 31 * _DAY).replace(day=1)
    return dates


def _midnight_ms(date: dt.date, where: dt.tzinfo) -> int:
    midnight = dt.datetime.combine(date, dt.time(), where)
    return int(midnight.timestamp() * 1000)


Metric = Literal["uniques", "totals", "average", "pct_dau", "sums", "value_avg", "histogram"]
METRICS = ("uniques", "totals", "average", "pct_dau", "sums", "value_avg", "histogram")
PROPERTY_METRICS = ("sums", "value_avg", "histogram")
_MAX_GROUPS = 2
_DEFAULT_LIMIT = 100
_MAX_LIMIT = 1000  # [D] Dashboard REST API; other pages say 10,000 and 20,000
_UNSUPPORTED_TYPES = ("revenue_amount", "verified_revenue", "unverified_revenue")
_UNSUPPORTED = ("formula", "rollingWindow", "rollingAverage")


@dataclass(frozen=True, slots=True)
class EventQuery:
    """One event: its type, the filters on it, and the properties that split it."""

    event_type: str
    filters: tuple[Filter, ...] = ()
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Performed:
    """The users who performed an event a number of times: the second form of a segment."""

    event: EventQuery
    op: str
    times: float


@dataclass(frozen=True, slots=True)
class Segment:
    """The users, or rather their events, that a query is about."""

    filters: tuple[Filter, ...] = ()
    performed: tuple[Performed, ...] = ()

    @property
    def clauses(self) -> int:
        """How many clauses it has, for the cost."""
        return len(self.filters) + len(self.performed)


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A segmentation query.

    Attributes:
        events: One or two.
        metric: What is counted.
        active_only: Whether only users with an active event in the interval count.
        start: First day.
        end: Last day, inclusive.
        interval: Length of an interval as the API writes it.
        segments: At least one; by default everybody.
        group_by: Property keys that split every event (``g``, ``g2``).
        limit: Maximum number of groups.
    """

    events: tuple[EventQuery, ...]
    metric: Metric
    active_only: bool
    start: dt.date
    end: dt.date
    interval: Interval
    segments: tuple[Segment, ...]
    group_by: tuple[str, ...]
    limit: int

    @property
    def cost(self) -> int:
        """Cost as documented: days x conditions x cost of the query type [D]."""
        days = (self.end - self.start).days + 1
        conditions = (
            len(self.segments)
            + sum(segment.clauses for segment in self.segments)
            + 4 * len(self.group_by)
        )
        return days * conditions * sum(1 + 4 * len(event.group_by) for event in self.events)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the properties it reads."""
        filters = [entry for event in self.events for entry in event.filters]
        groups = [*self.group_by, *(key for event in self.events for key in event.group_by)]
        for segment in self.segments:
            filters += segment.filters
            filters += [entry for clause in segment.performed for entry in clause.event.filters]
        return frozenset(entry.key for entry in filters) | frozenset(groups)


def read_segmentation(query: Mapping[str, str]) -> Segmentation:
    """Read the parameters of a segmentation query.

    Raises:
        QueryError: One of them is missing or malformed.
    """
    for name in _UNSUPPORTED:
        if name in query:
            raise QueryError(f"{name} is not available in this emulator")
    if "e" not in query:
        raise QueryError("missing required parameter e")
    events = tuple(_event(query[name], name) for name in ("e", "e2") if name in query)
    metric = query.get("m", "uniques")
    if metric not in METRICS:
        raise QueryError(f"invalid m: {metric}")
    if metric in PROPERTY_METRICS and not all(event.group_by for event in events):
        raise QueryError(f"m={metric} needs a group_by in e")
    who = query.get("n", "any")
    if who not in ("any", "active"):
        raise QueryError(f"invalid n: {who}")
    interval = _whole(query.get("i", "1"), "i")
    if interval not in INTERVALS:
        raise QueryError(f"invalid i: {interval}")
    segments = _segments(query["s"]) if "s" in query else ()
    group_by = tuple(_user_key(query[name]) for name in ("g", "g2") if query.get(name))
    if group_by and len(segments) > 1:
        raise QueryError("g needs a single segment")
    limit = _whole(query.get("limit", str(_DEFAULT_LIMIT)), "limit")
    if not 1 <= limit <= _MAX_LIMIT:
        raise QueryError(f"limit must be from 1 to {_MAX_LIMIT}")
    return Segmentation(
        events=events,
        metric=cast("Metric", metric),
        active_only=who == "active",
        start=read_day(query.get("start", ""), "start"),
        end=read_day(query.get("end", ""), "end"),
        interval=interval,
        segments=segments or (Segment(),),
        group_by=group_by,
        limit=limit,
    )


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise QueryError(f"{name} must be a whole number") from None


def _json(text: str, name: str, kind: type) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise QueryError(f"{name} is not valid JSON") from None
    if type(value) is not kind:
        raise QueryError(f"{name} must be a JSON {'object' if kind is dict else 'array'}")
    return value


def _event(text: str, name: str) -> EventQuery:
    return _event_of(_json(text, name, dict), name)


def _event_of(content: dict[str, Any], name: str) -> EventQuery:
    event_type = content.get("event_type")
    if type(event_type) is not str or not event_type:
        raise QueryError(f"{name} has no event_type")
    if event_type in _UNSUPPORTED_TYPES:  # sums of money, not counts: better none than a wrong one
        raise QueryError(f"{event_type} is not available in this emulator")
    groups = _tables(content.get("group_by"), f"group_by of {name}")
    if len(groups) > _MAX_GROUPS:
        raise QueryError(f"at most {_MAX_GROUPS} group_by in {name}")
    filters = _tables(content.get("filters"), f"filters of {name}")
    return EventQuery(
        event_type,
        tuple(_filter(entry, name) for entry in filters),
        tuple(_key(entry.get("type"), entry.get("value"), name) for entry in groups),
    )


def _tables(value: Any, name: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if type(value) is list and all(type(entry) is dict for entry in value):
        return cast("list[dict[str, Any]]", value)
    raise QueryError(f"{name} must be a list of objects")


def _filter(entry: dict[str, Any], name: str) -> Filter:
    return _checked(
        _key(entry.get("subprop_type"), entry.get("subprop_key"), name),
        entry.get("subprop_op"),
        entry.get("subprop_value"),
    )


def _checked(key: str, op: Any, values: Any) -> Filter:
    if op not in OPERATORS:
        raise QueryError(f"invalid operator: {op}")
    if type(values) is not list:
        values = [values]
    return Filter(key, op, tuple(_text(value) for value in values))


def _text(value: Any) -> str:
    return value if type(value) is str else orjson.dumps(value).decode()


def _key(kind: Any, name: Any, where: str) -> str:
    if type(name) is not str or not name:
        raise QueryError(f"{where} names no property")
    if kind == "user":
        return _user_key(name)
    if kind == "event":
        return f"e:{name}"
    if kind == "group":
        return f"g:{name}"
    raise QueryError(f'the type of property {name} must be "event" or "user"')


# the Dashboard API's names for fields of the ingestion API; other fields have the same name
_BUILT_IN = {
    "version": "app_version",
    "os": "os_name",
    "device": "device_model",
    "device_type": "device_model",
    "ip_address": "ip",
    "DMA": "dma",
}
_FIELDS = (
    "app_version platform os_name os_version device_brand device_manufacturer device_model "
    "carrier country region city dma language ip idfa idfv adid library"
)


def _user_key(name: str) -> str:
    """Return the key of a user property: built-in, or with ``gp:`` the project's own [D]."""
    if name.startswith("gp:"):
        return f"u:{name[3:]}"
    if name in ("user_id", "device_id"):
        return name
    field = _BUILT_IN.get(name, name)
    return f"f:{field}" if field in _FIELDS.split() else f"u:{name}"


def _segments(text: str) -> tuple[Segment, ...]:
    """Read ``s``: a list of conditions that all hold, or a list of such lists, one a segment."""
    content = _json(text, "s", list)
    if content and all(type(entry) is list for entry in content):
        return tuple(_segment(_tables(entry, "s")) for entry in content)
    return (_segment(_tables(content, "s")),)


def _segment(clauses: list[dict[str, Any]]) -> Segment:
    filters = []
    performed = []
    for clause in clauses:
        if clause.get("type") == "event":
            performed.append(_performed(clause))
        else:
            name = clause.get("prop")
            if type(name) is not str or not name:
                raise QueryError("a condition of s names no prop")
            filters.append(_checked(_user_key(name), clause.get("op"), clause.get("values")))
    return Segment(tuple(filters), tuple(performed))


def _performed(clause: dict[str, Any]) -> Performed:
    op = clause.get("op", ">=")
    if op not in ("is", "is not", "=", "!=", "<", "<=", ">", ">=", *OPERATORS[4:8]):
        raise QueryError(f"invalid operator: {op}")
    try:
        times = float(clause.get("value", 1))
    except (TypeError, ValueError):
        raise QueryError("value of a condition of s must be a number") from None
    return Performed(_event_of(clause, "s"), op, times)
