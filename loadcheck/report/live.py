"""A run in progress: a few lines that are redrawn continually, or one plain line.

Drawn four times a second beside the load, so this is string formatting only, and slower parts (the
histogram, the thresholds) are updated once a second: a table library would block the event loop for
milliseconds, which would show as latency.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.cells import cell_len, get_character_cell_size

from loadcheck.errors import many, printable
from loadcheck.measure.histogram import SIGNIFICANT_DIGITS, Histogram, layout
from loadcheck.report import words
from loadcheck.secrets import cover
from loadcheck.verify.progress import Progress
from loadcheck.verify.thresholds import Judged

PLAIN_WIDTH = 100
"""Maximum number of columns of a line for a log."""
_BAR = 30
_SHORTEST_BAR = 8
_TRACE = 40
"""Maximum number of seconds in a sparkline."""
_COLUMNS = 40
"""Maximum number of columns of the histogram."""
_LABEL = 13
_MOST_THRESHOLDS = 6
_DIM, _BOLD, _OFF = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_RED, _YELLOW, _GREEN = "\x1b[31m", "\x1b[33m", "\x1b[32m"
_STYLE = re.compile("\x1b\\[\\d+m")
_ODD = re.compile("[^ -~▁-█━╌✓✗µ–]")
"""Characters that may take no column, or two: looked up one by one, which takes longer."""
_MARKS = {"pass": ("✓", _GREEN), "fail": ("✗", _RED), "unknown": ("?", _DIM)}
_STAGES = {"starting": "starting", "settle": "waiting for the count", "done": "done"}


class LiveView:
    """Draws a run; caches what is updated only once a second.

    Args:
        run: The run.
        color: Whether to use terminal colours.
    """

    def __init__(self, run: Progress, *, color: bool) -> None:
        self._run = run
        self._paint = _Paint(color)
        self._second = -1
        self._judged: Sequence[Judged] = ()
        self._bins: _Bins | None = None
        self._whole: list[str] = []
        self._cpu: float | None = None

    def rows(self, width: int, height: int) -> list[str]:
        """Return the lines: at most ``height``, none longer than ``width``."""
        self._look()
        run, room = self._run, max(0, width - _LABEL)
        # the number is a rank: rows with the highest are dropped first if the terminal is low
        rows = [
            (self._title(width), 0),
            (self._row("rate", self._rate(room)), 3),
            (self._row("copies", self._copies(room)), 1),
            (self._row("outcomes", self._outcomes(room)), 1),
            (self._row("latency", self._latency(room)), 2),
            *((self._row("workflow", text), 4) for text in self._whole),
            (self._row("histogram", self._histogram(room)), 5),
            (self._row("visible", self._visible(room)), 1),
            *((row, 4) for row in self._limits(room)),
            (self._row("generator", self._generator(room)), 3),
        ]
        if run.news:
            rows.append((self._row("workers", self._paint(_YELLOW, _said(run.news[-1]))), 1))
        if run.trouble:
            trouble = self._paint(_YELLOW, f"last query: {_said(run.trouble)}")
            rows.append((self._row("", trouble), 2))
        if run.signals:
            rows.append((self._paint(_YELLOW, f" {interruption(run)}"), 0))
        kept = sorted(range(len(rows)), key=lambda index: (rows[index][1], index))[: max(1, height)]
        return [_clip(rows[index][0], width) for index in sorted(kept)]

    def _look(self) -> None:
        """Update the slower parts, once a second."""
        second = int(self._run.elapsed_s)
        if second == self._second:
            return
        self._second = second
        self._judged = self._run.thresholds()
        self._bins = _binned(self._run.times)
        whole = getattr(self._run.record, "workflow", None)
        if whole is not None and whole.response_time.count:
            found = whole.response_time.percentiles_ms((50, 99))
            pairs = zip(("p50", "p99"), map(words.duration, found), strict=True)
            parts = [f"{name} {time}" for name, time in pairs]
            self._whole = ["   ".join([*parts, "from due to the end, so far"])]
        self._cpu = self._run.cpu_share()

    # the rows

    def _row(self, label: str, text: str) -> str:
        return f" {self._paint(_DIM, f'{label:<{_LABEL - 1}}')}{text}"

    def _title(self, width: int) -> str:
        run = self._run
        stage = run.part if run.stage == "load" and run.part else _STAGES.get(run.stage, run.stage)
        left = "" if run.left_s is None else f", {words.clock(run.left_s)} left"
        if run.stage == "settle" and left:
            left = f", at most {left[2:]}"
        time = f"{words.clock(run.elapsed_s)}{left}"
        name = printable(run.outline.name)
        rest = 1 + cells(name) + 2 + len(stage) + 2 + 2 + len(time)
        wide = min(_BAR, width - rest)
        bar = ""
        if wide >= _SHORTEST_BAR:
            bar = f"{self._bar(round(wide * _done(run)), wide)}  "
        return f" {self._paint(_BOLD, name)}  {stage}  {bar}{time}"

    def _rate(self, room: int) -> str:
        run = self._run
        parts = [f"achieved {words.rate(run.latest('started'))}"]
        if run.asked_rate is not None:
            parts.insert(0, f"target {words.rate(run.asked_rate)}")
        return self._with_trace(parts, "started", room)

    def _copies(self, room: int) -> str:
        run = self._run
        total = "" if run.outline.planned is None else f" of {words.count(run.outline.planned)}"
        sent = f"{words.count(run.record.started)}{total} sent"
        return _fit([sent, f"{run.record.in_flight:,} in flight"], room)

    def _outcomes(self, room: int) -> str:
        record = self._run.record
        named = [
            (record.rejected, "rejected"),
            (record.indeterminate, "indeterminate"),
            (record.skipped, "skipped"),
            (record.retries, "retries"),
        ]
        bad = [f"{words.count(number)} {name}" for number, name in named if number]
        good = [f"{words.count(number)} {name}" for number, name in named if not number]
        parts = [f"{words.count(record.acknowledged)} acknowledged", *bad, *good]
        shown = _fit(parts, room).split("   ")
        return "   ".join(self._paint(_YELLOW if part in bad else "", part) for part in shown)

    def _latency(self, room: int) -> str:
        run = self._run
        parts = [f"{name} {words.duration(run.latest(f'{name}_ms'))}" for name in ("p50", "p99")]
        return self._with_trace(parts, "p99_ms", room)

    def _histogram(self, room: int) -> str:
        bins = self._bins
        if bins is None:
            return self._paint(_DIM, "no response yet")
        low, high = words.duration(bins.low_ms), words.duration(bins.high_ms)
        columns = min(_COLUMNS, room - len(low) - len(high) - 2)
        return f"{self._paint(_DIM, low)} {bins.drawn(columns)} {self._paint(_DIM, high)}"

    def _visible(self, room: int) -> str:
        run = self._run
        if not run.outline.checked:
            return self._paint(_DIM, "verification: disabled")
        counted, acknowledged = run.record.uniques, run.acknowledged_users
        # workers report once a second: what they have sent since may be visible already
        least = "≥ " if run.is_shared and (counted or 0) > acknowledged else ""
        text = f"{words.count(counted)} of {least}{words.count(acknowledged)} acknowledged"
        if counted is None or not acknowledged:
            return text
        share = min(1.0, counted / acknowledged)
        # rounded down: 100 % only when no user is missing
        text += f"   {math.floor(100 * share)} %"
        asked = _spent(run)
        if asked and len(text) + len(asked) + 3 <= room:
            text += f"   {asked}"
        wide = min(_BAR, room - len(text) - 3)
        if wide < _SHORTEST_BAR:
            return text
        filled = math.floor(wide * share)
        return f"{text}   {self._bar(filled, wide)}"

    def _limits(self, room: int) -> list[str]:
        """Return a row per threshold; of many the first ones, broken before others, and counts."""
        judged = self._judged
        if not judged:
            return []
        order = {"fail": 0, "unknown": 1, "pass": 2}
        if len(judged) > _MOST_THRESHOLDS:
            order = {"fail": 0, "pass": 1, "unknown": 2}
        ranked = sorted(judged, key=lambda each: order[each.verdict.value])
        rest = ranked[_MOST_THRESHOLDS:]
        shown = ranked[:_MOST_THRESHOLDS] if len(judged) > _MOST_THRESHOLDS else judged
        longest = max(len(each.threshold.check) for each in shown)
        wide = max(1, min(longest, room - 12))
        rows = []
        for index, each in enumerate(shown):
            mark, style = _MARKS[each.verdict.value]
            text = f"{each.threshold.check:<{wide}}  {_value(each)}"
            rows.append(
                self._row("" if index else "thresholds", f"{self._paint(style, mark)} {text}")
            )
        if rest:
            counts = [
                f"{sum(each.verdict.value == verdict for each in rest)} {what}"
                for verdict, what in (("fail", "broken"), ("pass", "hold"), ("unknown", "no data"))
                if any(each.verdict.value == verdict for each in rest)
            ]
            rows.append(self._row("", self._paint(_DIM, f"and {', '.join(counts)}")))
        return rows

    def _generator(self, room: int) -> str:
        run = self._run
        parts = [f"lateness p99 {words.duration(run.latest('lateness_p99_ms'))}"]
        if self._cpu is not None:
            whose = "busiest worker" if run.is_shared else "CPU"
            parts.append(f"{whose} {100 * self._cpu:.0f} % of a core")
        return _fit(parts, room)

    def _bar(self, filled: int, wide: int) -> str:
        return self._paint(_GREEN, "━" * filled) + self._paint(_DIM, "╌" * (wide - filled))

    def _with_trace(self, parts: Sequence[str], column: str, room: int) -> str:
        """Return parts and, in the remaining room, a sparkline of a column's last seconds."""
        text = _fit(parts, room)
        seconds = min(_TRACE, room - len(text) - 3)
        if seconds < _SHORTEST_BAR:
            return text
        return f"{text}   {words.sparkline(self._run.recent(column, seconds))}".rstrip()


@dataclass(frozen=True, slots=True)
class _Bins:
    """Samples by the logarithm of their duration.

    Attributes:
        places: Position of each bucket between the shortest, 0, and the longest, 1.
        counts: Number of samples in each.
        low_ms: The shortest duration.
        high_ms: The longest duration.
    """

    places: Any
    counts: Any
    low_ms: float
    high_ms: float

    def drawn(self, columns: int) -> str:
        """Return a sparkline of this many columns; one with any sample is never empty."""
        if columns <= 0:
            return ""
        at = np.minimum((self.places * columns).astype(np.int64), columns - 1)
        return words.sparkline(np.bincount(at, weights=self.counts, minlength=columns).tolist())


def _binned(times: Histogram) -> _Bins | None:
    counts = times.counts()
    filled = np.flatnonzero(counts)
    if not filled.size:
        return None
    ends_us = np.maximum(layout(SIGNIFICANT_DIGITS).highest_us[filled], 1)
    low_us, high_us = int(ends_us[0]), int(ends_us[-1])
    span = math.log(high_us / low_us) or 1.0
    places = np.log(ends_us / low_us) / span
    return _Bins(places, counts[filled], low_us / 1e3, high_us / 1e3)


def interruption(run: Progress) -> str:
    """Return what happens after a signal, and what another signal would do."""
    if run.signals > 1:
        return "Interrupted again: saving what is known."
    return "Interrupted: waiting for the count. Ctrl-C again: save at once."


def news_since(run: Progress, seen: int) -> list[str]:
    """Return the news after the first ``seen`` ones, a line each, for logs."""
    time = words.clock(run.elapsed_s)
    return [f"{time:>7}  {'workers':<8}  {_said(news)}" for news in run.news[seen:]]


def _spent(run: Progress) -> str:
    """Return the number and the cost of queries so far; "" if there were none."""
    spent = run.spent()
    queries, cost = spent.get("queries", 0), spent.get("query_cost", 0)
    if not queries:
        return ""
    return many(queries, "queries") + (f", cost {words.count(cost)}" * (cost != queries))


def line(run: Progress) -> str:
    """Return the state of a run in one plain line of at most 100 columns, for logs."""
    record = run.record
    head = f"{words.clock(run.elapsed_s):>7}  {run.stage:<8}"
    bad = [
        f"{number:,} {name}"
        for number, name in (
            (record.rejected, "rejected"),
            (record.indeterminate, "indeterminate"),
            (record.skipped, "skipped"),
        )
        if number
    ]
    parts = [
        f"{record.acknowledged:,} of {record.started:,} acknowledged",
        *bad,
        f"p99 {words.duration(run.latest('p99_ms'))}",
        *([f"{words.count(record.uniques)} visible"] if run.outline.checked else []),
        *([_spent(run)] if _spent(run) else []),
        *([f"({_said(run.trouble)})"] if run.trouble else []),
        f"{record.in_flight:,} in flight",
    ]
    room = PLAIN_WIDTH - len(head) - 2
    shown = _fit(parts, room, gap="  ")
    return _clip(f"{head}  {shown}", PLAIN_WIDTH)


def together_line(run: Progress, width: int) -> str:
    """Return the state of the thresholds of all flows of a mix in one plain line, for logs.

    "" if there are none, or another flow shows them.
    """
    judged = run.together()
    if not judged:
        return ""
    head = f"{words.clock(run.elapsed_s):>7}  {run.stage:<8}"
    ranked = sorted(judged, key=lambda each: ["fail", "pass", "unknown"].index(each.verdict.value))
    broken = sum(each.verdict.value == "fail" for each in ranked)
    parts = [
        f"{broken or 'none'} of {many(len(ranked), 'thresholds')} broken so far",
        *(f"{each.threshold.check} ({_value(each)})" for each in ranked),
    ]
    return _clip(f"{head}  {_fit(parts, width - len(head) - 2, gap='  ')}", width)


def probe_line(number: int, rate: str, run: Progress, width: int) -> str:
    """Return the state of a probe of a capacity search in one line."""
    parts = [
        f"{number:>3}  {rate:>16}  {run.stage:<8}",
        words.clock(run.elapsed_s),
        f"p99 {words.duration(run.latest('p99_ms'))}",
        f"{run.record.in_flight:,} in flight",
    ]
    return _clip(printable(_fit(parts, width, gap="  ")), width)


def _value(judged: Judged) -> str:
    """Return the present value of a threshold, in words."""
    value = judged.value
    if value is None:
        return "no data"
    return words.in_unit(value, judged.threshold.unit) if math.isfinite(value) else "unbounded"


def _said(trouble: str) -> str:
    """Return a message without secrets, and without what would control a terminal."""
    return printable(cover(trouble))


class _Paint:
    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if self._color and style and text else text


def _done(run: Progress) -> float:
    if run.outline.duration_s:
        return min(1.0, run.elapsed_s / run.outline.duration_s)
    if run.outline.planned:
        return min(1.0, (run.record.started + run.record.skipped) / run.outline.planned)
    return 0.0


def _fit(parts: Sequence[str], room: int, gap: str = "   ") -> str:
    """Return the first part, and those of the others that fit."""
    text = parts[0]
    for part in parts[1:]:
        if cells(text) + len(gap) + cells(part) <= room:
            text += gap + part
    return text


def cells(row: str) -> int:
    """Return the columns that a row takes; escape sequences take none."""
    text = _STYLE.sub("", row) if "\x1b" in row else row
    return len(text) if _ODD.search(text) is None else cell_len(text)


def _clip(text: str, width: int) -> str:
    """Cut a line to the terminal's width; escape sequences take no room."""
    if cells(text) <= width:
        return text
    room, shown, escape = width, [], False
    for character in text:
        if character == "\x1b":
            escape = True
        if escape:
            shown.append(character)
            escape = character != "m"
            continue
        room -= get_character_cell_size(character)
        if room >= 0:
            shown.append(character)
    return "".join(shown)
