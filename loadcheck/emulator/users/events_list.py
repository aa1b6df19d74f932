"""``GET /api/2/events/list``."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np

from loadcheck.emulator.http.message import json_answer
from loadcheck.emulator.query.intervals import zone

if TYPE_CHECKING:
    from loadcheck.emulator.clock import Clock
    from loadcheck.emulator.config import EmulatorConfig
    from loadcheck.emulator.http.message import Answer, Request
    from loadcheck.emulator.query.budget import Budget
    from loadcheck.emulator.store.events import EventStore
    from loadcheck.emulator.store.taxonomy import Taxonomy


class EventsList:
    """Lists the event types and how often each came this week, which begins on Monday [U]."""

    def __init__(
        self,
        config: EmulatorConfig,
        *,
        store: EventStore,
        taxonomy: Taxonomy,
        clock: Clock,
        budget: Budget,
    ) -> None:
        self._inactive = config.inactive_event_types
        self._zone = zone(config.time_zone)
        self._store = store
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
