"""Charts of acknowledged and counted users, and of the lag between the two."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

from loadcheck.report import words
from loadcheck.report.pages import Axis, Cell, Chart, Number, Series, Shape, Table, Unit
from loadcheck.report.pages.latency import GROUP, TIME
from loadcheck.report.pages.time_axis import Seconds, stage_marks, window_marks
from loadcheck.result import Document

_MAX_POINTS = 2400
_MAX_ROWS = 60

_T = TypeVar("_T")


def charts(document: Document, at_most: int = _MAX_POINTS) -> list[Chart]:
    """Return the two curves and the lag between them; none if nothing was counted."""
    seen, timeline = document.get("consistency"), document.get("timeline")
    if not seen or not timeline or not timeline["second"] or not seen["observations"]:
        return []
    seconds = Seconds(document, at_most)
    answers = [
        (_instant(answer), answer["uniques"] - (seen.get("baseline") or 0))
        for answer in seen["observations"]
        if answer["uniques"] is not None
    ]
    found = [_curves(document, seconds, answers)]
    lag = _lag(document, seconds, answers)
    return [*found, *([lag] if lag else [])]


def _curves(document: Document, seconds: Seconds, answers: Sequence[tuple[float, int]]) -> Chart:
    ends: list[float] = [0, *(start + seconds.every for start in seconds.begin)]
    acknowledged = [0, *seconds.total("acknowledged")]
    unsure = [0, *seconds.total("indeterminate")]
    last = max(ends[-1], *(instant for instant, _ in answers), 0) if answers else ends[-1]
    if last > ends[-1]:
        # the number of acknowledged users stays the same while waiting for the count
        ends, acknowledged, unsure = (
            [*ends, last],
            [*acknowledged, acknowledged[-1]],
            [*unsure, unsure[-1]],
        )
    upper = [a + b for a, b in zip(acknowledged, unsure, strict=True)]
    series = [Series(label="acknowledged", role="acknowledged", x=ends, y=acknowledged)]
    if any(unsure):
        series.insert(
            0,
            Series(
                label="plus indeterminate",
                role="indeterminate",
                x=ends,
                y=upper,
                low=acknowledged,
                shape=Shape.BAND,
            ),
        )
    if answers:
        series.append(
            Series(
                label="counted",
                role="counted",
                x=[instant for instant, _ in _thinned(answers)],
                y=[count for _, count in _thinned(answers)],
                marker="circle",
                dash="dash",
            )
        )
    failed = [a for a in document["consistency"]["observations"] if a["uniques"] is None]
    if failed:
        series.append(
            Series(
                label="query failed",
                role="failed",
                x=[_instant(answer) for answer in _thinned(failed)],
                y=[0 for _ in _thinned(failed)],
                shape=Shape.POINTS,
                marker="cross",
            )
        )
    return Chart(
        name="arrival",
        title="Acknowledged and counted",
        note="Acknowledged users, and users that the service counts. The gap is lag; a gap that "
        "remains at the end is loss.",
        x=TIME,
        y=Axis(label="users", unit=Unit.COUNT),
        series=series,
        marks=[*stage_marks(document), *window_marks(document)],
        group=GROUP,
        height=340,
        table=_observations(document),
    )


def _lag(
    document: Document, seconds: Seconds, answers: Sequence[tuple[float, int]]
) -> Chart | None:
    """Return the chart of the time until all users acknowledged by an instant were counted."""
    if not answers:
        return None
    missing = _missing_by(document)
    totals = seconds.total("acknowledged")
    # users counted beyond the acknowledged ones arrived without an answer, at an unknown time
    surplus = max(0, answers[-1][1] - (totals[-1] - len(missing)))
    known = _settled([count for _, count in answers])
    x: list[Number] = []
    high: list[Number] = []
    low: list[Number] = []
    before = 0
    for start, total in zip(seconds.begin, totals, strict=True):
        end = start + seconds.every
        wanted = total - bisect.bisect_right(missing, end - 1)
        if wanted <= before:
            continue
        before = wanted
        x.append(end)
        certain = bisect.bisect_left(known, wanted + surplus)
        possible = bisect.bisect_left(known, wanted)
        high.append(max(0.0, answers[certain][0] - end) if certain < len(known) else None)
        least = max(0.0, answers[possible - 1][0] - end) if possible else 0.0
        low.append(None if high[-1] is None else least)
    if not any(value is not None for value in high):
        return None
    return Chart(
        name="lag",
        title="Time to visibility",
        note="How long until all users acknowledged by then were counted"
        + (", without those known to be lost" if missing else "")
        + ". The band is the time between two polls: the true lag lies within it.",
        x=TIME,
        y=Axis(label="lag", unit=Unit.SECONDS),
        series=[
            Series(label="lag", role="counted", x=x, y=high, low=low, shape=Shape.BAND),
            Series(label="at most", role="counted", x=x, y=high, marker="circle"),
            Series(label="at least", role="counted", x=x, y=low, dash="dot", faint=True),
        ],
        marks=[*stage_marks(document), *window_marks(document)],
        group=GROUP,
        height=220,
        table=_lags(x, low, high),
    )


def _thinned(items: Sequence[_T]) -> list[_T]:
    """Thin the points to what the chart can resolve, keeping the last."""
    every = max(1, -(-len(items) // _MAX_POINTS))
    return [*items[:-1:every], items[-1]]


def _settled(counts: Sequence[int]) -> list[int]:
    """Return for each count the lowest from there on: users seen only for a while do not count."""
    return list(accumulate(reversed(counts), min))[::-1]


def _missing_by(document: Document) -> list[int]:
    """Return the seconds in which the users known to be lost were sent, in order."""
    localized = (document.get("consistency") or {}).get("localized") or {}
    return sorted(copy["second"] for copy in localized.get("lost", ()))


def _instant(answer: Mapping[str, Any]) -> float:
    """Return the instant whose state an answer reflects; not before the load."""
    return max(0.0, float(answer.get("as_of_s", answer["asked_s"])))


def _lags(x: Sequence[Number], low: Sequence[Number], high: Sequence[Number]) -> Table:
    every = max(1, -(-len(x) // _MAX_ROWS))
    return Table(
        columns=["acknowledged by", "lag at least", "lag at most"],
        rows=[
            [
                words.clock(x[place] or 0),
                words.duration(_ms(low[place])),
                "not counted" if high[place] is None else words.duration(_ms(high[place])),
            ]
            for place in range(0, len(x), every)
        ],
    )


def _ms(seconds: Number) -> float | None:
    return None if seconds is None else seconds * 1e3


def _observations(document: Document) -> Table:
    seen = document["consistency"]
    answers = seen["observations"]
    every = max(1, -(-len(answers) // _MAX_ROWS))
    # the last answer is the one that the verdict is based on
    chosen = [*answers[:-1:every], answers[-1]]
    baseline = seen.get("baseline") or 0
    return Table(
        columns=["asked at", "acknowledged", "counted", "events", "trouble"],
        rows=[
            [
                words.clock(max(0.0, answer["asked_s"])),
                words.count(answer.get("acknowledged")),
                words.count(None if answer["uniques"] is None else answer["uniques"] - baseline),
                words.count(answer["totals"]),
                Cell(text=answer["error"], role="fail" if answer["error"] else ""),
            ]
            for answer in chosen
        ],
        note="" if every == 1 else f"One response in {every} is shown, and the last.",
    )
