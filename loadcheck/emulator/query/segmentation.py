"""``GET /api/2/events/segmentation``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from loadcheck.emulator.query.count import Chart, Counter, Series
from loadcheck.emulator.query.intervals import axis, zone
from loadcheck.emulator.query.view import View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadcheck.emulator.config import EmulatorConfig
    from loadcheck.emulator.query.intervals import Axis
    from loadcheck.emulator.query.parameters import Segmentation
    from loadcheck.emulator.store.events import EventStore

_INLINE_EVENTS = 50_000  # fewer are counted faster than a thread is woken
_PROPERTY_UPDATES = ("$identify", "$groupidentify")


class Charts:
    """Answers segmentation queries from the store."""

    def __init__(self, config: EmulatorConfig, store: EventStore) -> None:
        self._config = config
        self._store = store
        self._zone = zone(config.time_zone)

    def axis(self, query: Segmentation) -> Axis:
        """Return the intervals of a query.

        Raises:
            QueryError: They are more than the API allows.
        """
        return axis(
            query.start,
            query.end,
            query.interval,
            self._zone,
            enforce_windows=self._config.queries.max_intervals,
        )

    async def chart(self, query: Segmentation, x_axis: Axis, seen_until_ms: int) -> dict[str, Any]:
        """Count, in a thread where it takes long, and return the ``data`` of the answer."""
        view = View(self._store, query.keys)
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
        if name not in ("_active", "_all"):
            return types == known.find(name)
        hidden = set(_PROPERTY_UPDATES)
        if name == "_active":
            hidden |= self._config.inactive_event_types
        return ~np.isin(types, [known.find(other) for other in hidden])

    def _shown(self, chart: Chart, query: Segmentation, x_axis: Axis) -> dict[str, Any]:
        series = chart.series
        if self._config.empty_result == "empty" and not any(line.collapsed for line in series):
            series = []
        grouped = any(line.label for line in series)
        labels: list[Any] = [
            [line.event, _joined(line)] if grouped else line.event if len(query.events) > 1 else 0
            for line in series
        ]
        return {
            "data": {
                "series": [line.values for line in series],
                # numbers and pairs as clients see them [U-obs]; the documents show texts
                "seriesLabels": labels,
                "seriesMeta": [
                    {"segmentIndex": line.segment, "eventIndex": line.event} for line in series
                ],
                "seriesCollapsed": [[{"setId": "", "value": line.collapsed}] for line in series],
                "xValues": list(x_axis.labels),
            },
            "prunedResult": chart.pruned,
        }


def _joined(line: Series) -> str:
    return "; ".join(line.label)  # how two properties are joined is [U]
