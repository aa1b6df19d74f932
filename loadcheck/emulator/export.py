"""``GET /api/2/export``: a ZIP of gzipped JSON lines, by server upload time in UTC [D].

``GET /api/2/events/list``.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import io
import re
import zipfile

import numpy as np
import orjson

from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.message import Answer, QueryError, Request, json_answer
from loadcheck.emulator.protocol import Clock
from loadcheck.emulator.query.dashboard import Budget, parameters
from loadcheck.emulator.query.parameters import zone
from loadcheck.emulator.store import EventStore, Taxonomy, record
from loadcheck.emulator.users import UserDirectory

_HOUR_MS = 3_600_000
_HOUR_FORM = re.compile("[0-9]{8}T[0-9]{2}")
_LONGEST_DAYS = 365
_LARGEST_BYTES = 4 * 10**9
_LINES_PER_FILE = 100_000
_PROJECT = "1"
_NOT_FOUND = 404


class Export:
    """Hands out the events of whole hours."""

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
            QueryError: A parameter is malformed, the range is too long, or nothing is there.
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
                # not merged, as raw data is [U]
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
    """Lists the event types and how often each came this week, which begins on Monday [U]."""

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
