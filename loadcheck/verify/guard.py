"""``[guard]``: what a run may not do; seen to before it starts, and every second while it sends.

It ends a load by the same way as a threshold that aborts does.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from loadcheck.errors import Problem
from loadcheck.measure.record import Record
from loadcheck.scenario.model import ClosedLoad, Guard, Scenario
from loadcheck.verify.thresholds import Aborted

_FEWEST: Final = 10
"""Attempts without which no share is told."""
_THROTTLED: Final = re.compile(r'"throttled_[a-z_]+"\s*:\s*(?:\[\s*[^\]\s]|\{\s*[^}\s]|[1-9])')
_DAY: Final = 24 * 60
_PERCENT: Final = 100


def _now() -> datetime:
    return datetime.now().astimezone()


def clock_text(window: tuple[int, int]) -> str:
    """Return a window as people write it: ``22:00-06:00``."""
    return "-".join(f"{at // 60 % 24:02}:{at % 60:02}" for at in window)


def is_within(window: tuple[int, int], now: datetime) -> bool:
    """Return whether an instant lies in a window of the day; one may reach over midnight."""
    begin, end = window
    return (now.hour * 60 + now.minute - begin) % _DAY < (end - begin) % _DAY


class GuardWatch:
    """Looks every second whether a load is to be stopped.

    Args:
        guard: What it may not do.
        folder: Where the stop file's path begins.
        now: The local time.
    """

    def __init__(self, guard: Guard, folder: Path, now: Callable[[], datetime] = _now) -> None:
        self._guard = guard
        self._folder = folder
        self._now = now
        self._seen: deque[tuple[float, int, int, int]] = deque([(0.0, 0, 0, 0)])
        self.watches = guard != Guard()

    def look(self, record: Record, elapsed_s: float) -> Aborted | None:
        """Return why the load is to be stopped now; None if it is to go on."""
        for rule, told, measured in self._broken(record, elapsed_s):
            return Aborted(judged=None, at_s=elapsed_s, rule=rule, told=told, measured=measured)
        return None

    def _broken(self, record: Record, elapsed_s: float) -> Iterator[tuple[str, str, float | None]]:
        guard = self._guard
        now = self._now()
        if guard.window is not None and not is_within(guard.window, now):
            yield f'guard.window = "{clock_text(guard.window)}"', f"it is {now:%H:%M}", None
        if guard.stop_file and (self._folder / guard.stop_file).exists():
            yield f'guard.stop_file = "{guard.stop_file}"', "the file is there", None
        if guard.stop_on_throttled:
            for body in record.ingest.examples.values():
                if _THROTTLED.search(body):
                    yield "guard.stop_on_throttled = true", "an answer names who is throttled", None
        yield from self._shares(record, elapsed_s)

    def _shares(self, record: Record, elapsed_s: float) -> Iterator[tuple[str, str, float | None]]:
        guard, step, seen = self._guard, record.ingest, self._seen
        seen.append((elapsed_s, step.attempts, step.succeeded, step.throttled.count))
        if elapsed_s < guard.over_s:
            return
        while len(seen) > 1 and seen[1][0] <= elapsed_s - guard.over_s:
            seen.popleft()
        (_, attempts, succeeded, throttled), last = seen[0], seen[-1]
        attempts, succeeded, throttled = (
            last[1] - attempts,
            last[2] - succeeded,
            last[3] - throttled,
        )
        if attempts < _FEWEST:
            return
        shares = (
            ("max_error_rate", guard.max_error_rate, 1 - succeeded / attempts, "failed"),
            ("max_throttled", guard.max_throttled, throttled / attempts, "were answered with 429"),
        )
        for name, most, share, what in shares:
            if most is not None and share > most:
                told = f"{_PERCENT * share:.3g} % of attempts {what} over {guard.over_s:g} s"
                yield f'guard.{name} = "{_PERCENT * most:g}%"', told, share


def guard_problems(
    scenario: Scenario,
    *,
    users: int | None,
    events: int | None,
    peak_rate: float | None,
    hosts: list[str],
    search: bool = False,
    now: Callable[[], datetime] = _now,
) -> list[Problem]:
    """Return why a run may not be started.

    Args:
        scenario: What to do.
        users: How many it has at the most; None: nobody knows beforehand.
        events: How many it sends.
        peak_rate: Copies per second at the most.
        hosts: Whom it reaches.
        search: Whether its capacity is searched for.
        now: The local time.
    """
    guard, problems = scenario.guard, []
    closed = isinstance(scenario.load, ClosedLoad)
    for name, most, planned, what in (
        ("max_users", guard.max_users, users, "users"),
        ("max_events", guard.max_events, events, "events"),
        ("max_rate", guard.max_rate, peak_rate, "copies a second"),
    ):
        if most is None or (planned is not None and planned <= most):
            continue
        if planned is None:
            message = f"allows {most:,.10g} {what}, and nobody knows beforehand how many there are"
            remedy = 'model = "open"' if name == "max_rate" else "give load.copies"
            if search:
                remedy = f"give capacity.{'to' if name == 'max_rate' else 'budget'}"
            elif not closed:
                remedy = "plan fewer, so that they can be counted"
        else:
            message = f"allows {most:,.10g} {what}, and this run has {planned:,.10g}"
            remedy = "lower the load, or raise it"
        problems.append(scenario.problem(f"guard.{name}", message, remedy))
    problems += _hosts(scenario, hosts)
    if guard.window is not None and not is_within(guard.window, now()):
        message = f"it is {now():%H:%M} here, outside {clock_text(guard.window)}"
        problems.append(scenario.problem("guard.window", message, "start it within the window"))
    if guard.stop_file and (Path(scenario.file).parent / guard.stop_file).exists():
        message = f"the file {guard.stop_file} is there: no load may be sent"
        problems.append(scenario.problem("guard.stop_file", message, "remove it to go on"))
    return problems


def _hosts(scenario: Scenario, hosts: list[str]) -> Iterator[Problem]:
    guard = scenario.guard
    for host in hosts:
        if guard.hosts and not any(fnmatchcase(host.lower(), each) for each in guard.hosts):
            message = f"does not have {host}, which this run would reach"
            yield scenario.problem("guard.hosts", message, "add it, or change the target")
    if guard.hosts and scenario.target.redirects:
        message = "cannot be held where redirects are followed: they may lead anywhere"
        yield scenario.problem("guard.hosts", message, "set target.redirects = false")
