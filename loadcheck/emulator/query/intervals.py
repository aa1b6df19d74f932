"""The x axis: which interval of the project's time an event belongs to."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass
from typing import Literal

from loadcheck.emulator.http.message import QueryError

Interval = Literal[-300000, -3600000, 1, 7, 30]
INTERVALS: tuple[Interval, ...] = (-300000, -3600000, 1, 7, 30)
_DAY = dt.timedelta(days=1)
_DAY_MS = 86_400_000
_MOST_INTERVALS = 100_000  # more than any window allows, where windows are not enforced
_FIRST_YEAR, _LAST_YEAR = 1970, 9998  # a day more or less is still a date
_DAY_FORM = re.compile("[0-9]{8}")
# [D] Dashboard REST API and Limits; Limits says 1 day for real-time
_LONGEST_DAYS = {-300000: 2, -3600000: 7, 1: 365, 7: 52 * 7, 30: 36 * 31}


@dataclass(frozen=True, slots=True)
class Axis:
    """The intervals of a query.

    Attributes:
        bounds_ms: Where they begin, and at last where the last one ends.
        labels: What each is called.
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

    A day has the length it has in the project's time zone: 23 to 25 hours where clocks change.

    Raises:
        QueryError: The days are in the wrong order, or more than the interval allows.
    """
    days = (end - start).days + 1
    if days < 1:
        raise QueryError("end must not be before start")
    if enforce_windows and days > _LONGEST_DAYS[interval]:
        # how an excess is answered is [U]
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
    # the first week or month counts only from the day asked for [U]
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
