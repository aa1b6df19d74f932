"""``GET /api/2/events/segmentation``: budget, cache, the count itself, and the answer's shape.

Results are cached, so counts lag behind until they expire [D] Chart basics.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.faults import Injector
from loadcheck.emulator.limits import Budget, parameters
from loadcheck.emulator.message import Answer, Request, json_answer
from loadcheck.emulator.parameters import (
    PROPERTY_METRICS,
    Axis,
    EventQuery,
    Performed,
    Segment,
    Segmentation,
    axis,
    read_segmentation,
    zone,
)
from loadcheck.emulator.protocol import Clock
from loadcheck.emulator.store import Taxonomy
from loadcheck.emulator.view import Groups, View, group

Rows = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
TypeMask = Callable[[str, NDArray[np.int32]], Mask]


_TIMES: dict[str, np.ufunc] = {
    "is": np.equal,
    "=": np.equal,
    "is not": np.not_equal,
    "!=": np.not_equal,
    "<": np.less,
    "less": np.less,
    "<=": np.less_equal,
    "less or equal": np.less_equal,
    ">": np.greater,
    "greater": np.greater,
    ">=": np.greater_equal,
    "greater or equal": np.greater_equal,
}
"""The comparisons with a number of times in the second form of a segment."""
Number = int | float


@dataclass(frozen=True, slots=True)
class Series:
    """One line of the chart.

    Attributes:
        segment: Index of its segment.
        event: Index of its event.
        label: Values of the properties that split it; () if none does.
        values: One per interval.
        collapsed: Over the whole range; for users not the sum of ``values``.
    """

    segment: int
    event: int
    label: tuple[str, ...]
    values: list[Number]
    collapsed: Number


@dataclass(frozen=True, slots=True)
class Chart:
    """The result of a query, and whether groups were left out of it."""

    series: list[Series]
    pruned: bool


class Counter:
    """Counts one query on one view.

    Args:
        view: The events.
        axis: The intervals.
        seen_until_ms: Events that become visible later are ignored.
        is_type: Returns which events an event type means, ``_active`` and ``_all`` included.
    """

    def __init__(self, view: View, axis: Axis, seen_until_ms: int, is_type: TypeMask) -> None:
        self._view = view
        self._axis = axis
        self._bounds = np.array(axis.bounds_ms, dtype=np.int64)
        self._is_type = is_type
        inside = (view.times >= self._bounds[0]) & (view.times < self._bounds[-1])
        self._rows: Rows = np.flatnonzero(inside & (view.visible <= seen_until_ms))

    def chart(self, query: Segmentation) -> Chart:
        """Return the result of a query."""
        found: list[Series] = []
        pruned = False
        for segment_number, segment in enumerate(query.segments):
            members = self._members(segment)
            for number, event in enumerate(query.events):
                # with a group_by in the event a segment has no effect [U-obs]
                asked = self._rows if event.group_by else members
                rows = self._of_event(event, asked)
                if query.active_only:
                    rows = self._active_only(rows)
                lines, cut = self._lines(rows, event, query, asked)
                found += [
                    Series(segment_number, number, label, values, collapsed)
                    for label, values, collapsed in lines
                ]
                pruned = pruned or cut
        return Chart(found, pruned)

    # ---- which events

    def _members(self, segment: Segment) -> Rows:
        """Return the events that a segment selects, by properties and by what their users did."""
        rows = self._rows
        for entry in segment.filters:
            column = self._view.columns[entry.key]
            rows = rows[entry.mask(column, column.codes[rows])]
        for clause in segment.performed:
            rows = rows[self._performed(clause)[self._view.people[rows]]]
        return rows

    def _performed(self, clause: Performed) -> Mask:
        """Return for every user whether they performed an event as often as a clause asks."""
        rows = self._of_event(clause.event, self._rows)
        times = np.bincount(self._view.people[rows], minlength=self._view.population)
        wanted: Mask = _TIMES[clause.op](times, clause.times)
        return wanted

    def _of_event(self, event: EventQuery, rows: Rows) -> Rows:
        rows = rows[self._is_type(event.event_type, self._view.types[rows])]
        for entry in event.filters:
            column = self._view.columns[entry.key]
            rows = rows[entry.mask(column, column.codes[rows])]
        return rows

    def _active_only(self, rows: Rows) -> Rows:
        """Keep the events of users with an active event in the same interval."""
        active = self._rows[self._is_type("_active", self._view.types[self._rows])]
        span = self._view.population
        wanted = self._steps(active) * span + self._view.people[active]
        return rows[np.isin(self._steps(rows) * span + self._view.people[rows], wanted)]

    def _steps(self, rows: Rows) -> Rows:
        """Return the index of each event's interval."""
        return np.searchsorted(self._bounds, self._view.times[rows], side="right") - 1

    # ---- how many

    def _lines(
        self, rows: Rows, event: EventQuery, query: Segmentation, members: Rows
    ) -> tuple[list[tuple[tuple[str, ...], list[Number], Number]], bool]:
        keys = (*event.group_by, *query.group_by)
        measured = None
        if query.metric in PROPERTY_METRICS and query.metric != "histogram":
            measured, keys = keys[0], keys[1:]
        groups = group(self._view, rows, keys)
        size = len(groups.labels)
        collapsed = self._measure(groups, query, measured, members, by_interval=False)[:, 0]
        order = np.lexsort((np.arange(size), -collapsed))
        kept = order[: query.limit]
        groups = groups.only(kept)  # cells for every interval only of the groups that are shown
        values = self._measure(groups, query, measured, members, by_interval=True)
        whole = query.metric not in ("average", "pct_dau", "sums", "value_avg")
        lines = [
            (label, _plain(line, whole), _plain(collapsed[[place]], whole)[0])
            for label, place, line in zip(groups.labels, kept.tolist(), values, strict=True)
        ]
        return lines, len(kept) < size

    def _measure(
        self,
        groups: Groups,
        query: Segmentation,
        measured: str | None,
        members: Rows,
        *,
        by_interval: bool,
    ) -> NDArray[np.float64]:
        """Return the values of each group: by interval, or over all of them."""
        rows, cells, size, length = groups.rows, groups.codes, len(groups.labels), 1
        if by_interval:
            length = len(self._axis.labels)
            cells = cells * length + self._steps(rows)
        if query.metric in ("totals", "histogram"):
            return _sums(cells, None, size, length)
        if measured is not None:
            weights = self._numbers(measured, rows)
            sums = _sums(cells, weights, size, length)
            if query.metric == "sums":
                return sums
            counted = cells[~np.isnan(weights)]
            return _ratio(sums, _sums(counted, None, size, length))
        people = self._view.people[rows]
        uniques = self._distinct(cells, people, size * length).reshape(size, length)
        if query.metric == "average":
            return _ratio(_sums(cells, None, size, length), uniques)
        if query.metric == "pct_dau":
            active = members[self._is_type("_active", self._view.types[members])]
            when = self._steps(active) if by_interval else np.zeros(len(active), np.int64)
            present = self._distinct(when, self._view.people[active], length)
            return 100 * _ratio(uniques, np.broadcast_to(present, uniques.shape))
        return uniques

    def _distinct(self, cells: Rows, people: Rows, size: int) -> NDArray[np.float64]:
        """Return how many different people there are in each cell.

        By sorting: ``np.unique`` hashes, which takes ten times as long.
        """
        span = max(self._view.population, 1)
        pairs = cells.astype(np.int64) * span + people
        pairs.sort()
        first = np.ones(len(pairs), dtype=bool)
        first[1:] = pairs[1:] != pairs[:-1]
        counts = np.bincount(pairs[first] // span, minlength=size)
        return counts.astype(np.float64)

    def _numbers(self, key: str, rows: Rows) -> NDArray[np.float64]:
        """Return a property as numbers, NaN where it is not one."""
        column = self._view.columns[key]
        codes = column.codes[rows]
        distinct, places = np.unique(codes, return_inverse=True)
        numbers = [
            _number(column.value(code)) if code >= 0 else np.nan for code in distinct.tolist()
        ]
        return np.array(numbers, dtype=np.float64)[places]


def _sums(
    cells: Rows, weights: NDArray[np.float64] | None, size: int, length: int
) -> NDArray[np.float64]:
    if weights is not None:
        weights = np.nan_to_num(weights)
    sums = np.bincount(cells, weights, minlength=size * length)
    return sums.astype(np.float64).reshape(size, length)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotient, 0 where the divisor is 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else float("nan")
    except ValueError:
        return float("nan")


def _plain(values: NDArray[np.float64], whole: bool) -> list[Number]:
    if whole:
        return [int(value) for value in values]
    return [float(value) for value in values]


_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_MOST = 1000
_WEEK, _MONTH = 7, 30


@dataclass(frozen=True, slots=True)
class Cached:
    """A result and when it was computed."""

    computed_ms: int
    content: dict[str, Any]


class ResultCache:
    """The latest results, by query."""

    def __init__(self) -> None:
        self._results: OrderedDict[Segmentation, Cached] = OrderedDict()

    def get(self, query: Segmentation) -> Cached | None:
        """Return the result kept for a query, however old."""
        return self._results.get(query)

    def put(self, query: Segmentation, now_ms: int, content: dict[str, Any]) -> None:
        """Keep a result, and drop the oldest ones beyond the maximum."""
        self._results[query] = Cached(now_ms, content)
        self._results.move_to_end(query)
        while len(self._results) > _MOST:
            self._results.popitem(last=False)


def lifetime_ms(query: Segmentation, today: dt.date) -> int:
    """Return how long a result is served from the cache [D].

    For weekly and monthly charts only the span of lifetimes is documented; which range gets which
    is [U]: the shortest one where it begins within the last 30 days, else the longest.
    """
    if query.interval < 0:
        return 5 * _MINUTE_MS
    age = (today - query.start).days
    if query.interval == _WEEK:
        return (6 if age < _MONTH else 48) * _HOUR_MS
    if query.interval == _MONTH:
        return (18 if age < _MONTH else 96) * _HOUR_MS
    if age < _WEEK:
        return _HOUR_MS
    return (6 if age < _MONTH else 18) * _HOUR_MS


_INLINE_EVENTS = 50_000  # fewer are counted faster than a thread is woken
_PROPERTY_UPDATES = ("$identify", "$groupidentify")


class SegmentationEndpoint:
    """Answers segmentation queries from the store, or from the cache."""

    def __init__(
        self,
        config: EmulatorConfig,
        taxonomy: Taxonomy,
        *,
        clock: Clock,
        injector: Injector,
        budget: Budget,
    ) -> None:
        self._config = config
        self._store = taxonomy.store
        self._taxonomy = taxonomy
        self._clock = clock
        self._injector = injector
        self._budget = budget
        self._zone = zone(config.time_zone)
        self._cache = ResultCache()

    async def __call__(self, request: Request) -> Answer:
        """Answer a query.

        Raises:
            QueryError: It is malformed, or over a limit.
        """
        query = read_segmentation(parameters(request))
        x_axis = axis(
            query.start,
            query.end,
            query.interval,
            self._zone,
            enforce_windows=self._config.queries.max_intervals,
        )
        self._budget.spend(query.cost)
        now_ms = self._clock.now_ms()
        cached = self._cache.get(query)
        stale = self._injector.serves_stale(now_ms)
        if cached is not None and (
            stale or (self._config.cache and now_ms - cached.computed_ms < self._lifetime_ms(query))
        ):
            return _answer(query, cached.content, cached.computed_ms, now_ms, cached=True)
        seen_until_ms = self._injector.seen_until_ms(now_ms)
        content = await self._count(query, x_axis, seen_until_ms)
        self._cache.put(query, now_ms, content)
        return _answer(query, content, now_ms, now_ms, cached=False)

    def _lifetime_ms(self, query: Segmentation) -> int:
        now = dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, self._zone)
        return lifetime_ms(query, now.date())

    async def _count(self, query: Segmentation, x_axis: Axis, seen_until_ms: int) -> dict[str, Any]:
        """Return the result of a query, counted in a thread if there are many events."""
        view = View(self._store, query.keys, self._taxonomy)
        counter = Counter(view, x_axis, seen_until_ms, self._is_type)
        if len(view.types) < _INLINE_EVENTS:
            chart = counter.chart(query)
        else:
            loop = asyncio.get_running_loop()
            chart = await loop.run_in_executor(None, counter.chart, query)
        return self._shown(chart, query, x_axis)

    def _is_type(self, name: str, types: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which of these event types a query means by ``name``."""
        known = self._store.types
        shown: NDArray[np.bool_]
        if name not in ("_active", "_all"):
            custom = name.removeprefix("ce:")
            names = (name,) if custom == name else self._config.custom_events.get(custom, ())
            numbers = [known.find(entry) for entry in names]
            shown = np.isin(types, [n for n in numbers if self._taxonomy.queryable_type(n)])
            return shown
        hidden = set(_PROPERTY_UPDATES)
        if name == "_active":
            hidden |= self._config.inactive_event_types
        shown = ~np.isin(types, [known.find(other) for other in hidden])
        return shown

    def _shown(self, chart: Chart, query: Segmentation, x_axis: Axis) -> dict[str, Any]:
        series = chart.series
        if self._config.empty_result == "empty" and not any(line.collapsed for line in series):
            series = []
        grouped = bool(query.group_by) or any(event.group_by for event in query.events)
        return {
            "data": {
                "series": [line.values for line in series],
                # numbers and pairs as clients see them [U-obs]; the documentation shows strings.
                # How two properties are joined is [U].
                "seriesLabels": [
                    [line.event, "; ".join(line.label)] if grouped else line.event
                    for line in series
                ],
                "seriesMeta": [
                    {"segmentIndex": line.segment, "eventIndex": line.event} for line in series
                ],
                "seriesCollapsed": [[{"setId": "", "value": line.collapsed}] for line in series],
                "xValues": list(x_axis.labels),
            },
            "prunedResult": chart.pruned,
        }


def _answer(
    query: Segmentation, content: dict[str, Any], computed_ms: int, now_ms: int, *, cached: bool
) -> Answer:
    """Return the answer, with the metadata of the computation that saved charts have [U-obs]."""
    return json_answer(
        200,
        content
        | {
            "timeComputed": computed_ms,
            "wasCached": cached,
            "cacheFreshness": "cached" if cached else "fresh",
            "millisSinceComputed": now_ms - computed_ms,
            "minSampleRate": 1.0,
            "novaCost": query.cost,
        },
    )
