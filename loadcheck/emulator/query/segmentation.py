"""``GET /api/2/events/segmentation``: budget, cache, count, and the answer's shape.

Results are kept for a while, and asked-for counts then stand still [D] Chart basics.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadcheck.emulator.clock import Clock
from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.faults import Injector
from loadcheck.emulator.message import Answer, Request, json_answer
from loadcheck.emulator.query.count import Chart, Counter
from loadcheck.emulator.query.dashboard import Budget, parameters
from loadcheck.emulator.query.parameters import Axis, Segmentation, axis, read_segmentation, zone
from loadcheck.emulator.query.view import View
from loadcheck.emulator.store import Taxonomy

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
        """Keep a result; the oldest ones make room."""
        self._results[query] = Cached(now_ms, content)
        self._results.move_to_end(query)
        while len(self._results) > _MOST:
            self._results.popitem(last=False)


def lifetime_ms(query: Segmentation, today: dt.date) -> int:
    """Return for how long a result is served again [D].

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
        """Count, in a thread where it takes long."""
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
                # numbers and pairs as clients see them [U-obs]; the documents show texts.
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
    """Return the answer with what saved charts say about their making [U-obs]."""
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
