"""Results are kept for a while, and asked-for counts then stand still [D] Chart basics."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime as dt

    from loadcheck.emulator.query.parameters import Segmentation

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
