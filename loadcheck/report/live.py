"""A run while it goes on: a few lines that are drawn again and again, or one plain line.

Drawn four times a second beside the load, so this is string formatting only: a table library
would hold up the event loop for milliseconds, and they would show as latency.
"""

from __future__ import annotations

from typing import Protocol

from loadcheck.escaping import printable
from loadcheck.report import words
from loadcheck.secrets import cover

_BAR = 30
_DIM, _BOLD, _OFF = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_YELLOW, _GREEN = "\x1b[33m", "\x1b[32m"


class Recorded(Protocol):
    """The counters that are shown."""

    started: int
    skipped: int
    acknowledged: int
    rejected: int
    indeterminate: int
    retries: int
    in_flight: int
    uniques: int | None


class Running(Protocol):
    """The state of a run, as the pipeline keeps it."""

    name: str
    planned: int | None
    duration_s: float | None
    signals: int

    async def wait(self, seconds: float) -> None:
        """Return after a time, or at once when a signal comes."""

    @property
    def stage(self) -> str:
        """Where it is, in a word."""

    @property
    def record(self) -> Recorded:
        """What has been counted."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load began."""

    @property
    def asked_rate(self) -> float | None:
        """What the schedule asks for now, per second; None for a closed load."""

    @property
    def trouble(self) -> str:
        """Why the last query had no answer; "" if it had one."""

    def latest(self, column: str) -> float | None:
        """Return a timeline column's value in the last full second."""


def lines(run: Running, *, color: bool, width: int) -> list[str]:
    """Return the live view: five lines and after a signal a sixth; none longer than ``width``."""
    record = run.record
    paint = _Paint(color)
    filled = round(_BAR * _done(run))
    bar = paint(_GREEN, "━" * filled) + paint(_DIM, "╌" * (_BAR - filled))
    total = "" if run.planned is None else f" of {words.count(run.planned)}"
    asked = "" if run.asked_rate is None else f", asked {words.rate(run.asked_rate)}"
    rate = f"rate {words.rate(run.latest('started'))}{asked}"
    flight = f"{record.in_flight:,} in flight"
    bad = (
        f"{words.count(record.rejected)} rejected   {words.count(record.indeterminate)}"
        f" indeterminate   {words.count(record.skipped)} skipped"
    )
    if record.rejected or record.indeterminate or record.skipped:
        bad = paint(_YELLOW, bad)
    acknowledged = f"{words.count(record.acknowledged)} acknowledged"
    percentiles = " ".join(f"{p} {words.duration(run.latest(f'{p}_ms'))}  " for p in ("p50", "p99"))
    said = _said(run.trouble)
    trouble = f"   {paint(_YELLOW, said)}" if said else ""
    rows = [
        f"{paint(_BOLD, run.name)}  {bar}  {run.stage}  {words.clock(run.elapsed_s)}",
        f"  sent       {words.count(record.started)}{total}   {flight}   {rate}",
        f"  outcomes   {acknowledged}   {bad}   {words.count(record.retries)} retries",
        f"  latency    {percentiles}{paint(_DIM, 'in the last second')}",
        f"  counted    {words.count(record.uniques)} unique users of {acknowledged}{trouble}",
    ]
    if run.signals:
        rows.append(paint(_YELLOW, f"  {interruption(run)}"))
    return [_clip(row, width) for row in rows]


def interruption(run: Running) -> str:
    """Return what happens now that a signal has come, and what another one does."""
    if run.signals > 1:
        return "Interrupted again: saving what is known."
    return "Interrupted: waiting for the count. Ctrl-C again: save at once."


def line(run: Running) -> str:
    """Return the state of a run in one plain line, for logs."""
    record = run.record
    return (
        f"{words.clock(run.elapsed_s):>7}  {run.stage:<6}  started {record.started:,}"
        f"  in flight {record.in_flight:,}  acknowledged {record.acknowledged:,}"
        f"  rejected {record.rejected:,}  indeterminate {record.indeterminate:,}"
        f"  skipped {record.skipped:,}  p50 {words.duration(run.latest('p50_ms'))}"
        f"  p99 {words.duration(run.latest('p99_ms'))}  counted {words.count(record.uniques)}"
        + (f"  ({_said(run.trouble)})" if run.trouble else "")
    )


def _said(trouble: str) -> str:
    """Return what the service said, without secrets and without what would act on a terminal."""
    return printable(cover(trouble))


class _Paint:
    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if self._color and style else text


def _done(run: Running) -> float:
    if run.duration_s:
        return min(1.0, run.elapsed_s / run.duration_s)
    if run.planned:
        return min(1.0, (run.record.started + run.record.skipped) / run.planned)
    return 0.0


def _clip(text: str, width: int) -> str:
    """Cut a line to the terminal's width; escape sequences take no room."""
    room, shown, escape = width, [], False
    for character in text:
        if character == "\x1b":
            escape = True
        if escape:
            shown.append(character)
            escape = character != "m"
        elif room > 0:
            shown.append(character)
            room -= 1
    return "".join(shown)
