"""``[guard]``: limits of a run, checked before it starts and every second while it sends.

A broken rule stops the load in the same way as a threshold that aborts.

How many queries a run will send is known beforehand, within bounds. Some are sent in every run; how
often the count is polled depends on how soon it settles, and missing users are searched for only if
there are any. So there are three figures: the fewest of a run that passes, the usual number if
every query is answered at once, and the most that anything can lead to.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from loadcheck.documents.files import NO_PATH, exists, reason_of
from loadcheck.errors import Problem
from loadcheck.measure.record import Record
from loadcheck.scenario.model import ClosedLoad, Guard, Scenario
from loadcheck.verify.bucket_queries import ROUNDS
from loadcheck.verify.controls import MOST_FRESH, PAIRED
from loadcheck.verify.queries import TOTALS_EVERY, TRIES
from loadcheck.verify.query_client import QueryBudget
from loadcheck.verify.session import VerificationSpec, order_pause_s, pace_s, slack_s
from loadcheck.verify.thresholds import Aborted
from loadcheck.workflow.identity import SEQUENCES, partitions

_FEWEST: Final = 10
"""The fewest attempts for which a share is computed."""
_THROTTLED: Final = re.compile(r'"throttled_[a-z_]+"\s*:\s*(?:\[\s*[^\]\s]|\{\s*[^}\s]|[1-9])')
_DAY: Final = 24 * 60
_PERCENT: Final = 100


def _now() -> datetime:
    return datetime.now().astimezone()


def clock_text(window: tuple[int, int]) -> str:
    """Return a window, in minutes of the day, as people write it: ``22:00-06:00``."""
    return "-".join(f"{at // 60 % 24:02}:{at % 60:02}" for at in window)


def is_within(window: tuple[int, int], now: datetime) -> bool:
    """Return whether an instant lies in a daily window, which may span midnight."""
    begin, end = window
    return (now.hour * 60 + now.minute - begin) % _DAY < (end - begin) % _DAY


class GuardMonitor:
    """Decides, every second, whether a load is to be stopped.

    Args:
        guard: The rules.
        folder: The folder to which the stop file's path is relative.
        now: Returns the local time.
    """

    def __init__(self, guard: Guard, folder: Path, now: Callable[[], datetime] = _now) -> None:
        self._guard = guard
        self._folder = folder
        self._now = now
        self._seen: deque[tuple[float, int, int, int]] = deque([(0.0, 0, 0, 0)])
        self.is_active = guard != Guard()

    def check(self, record: Record, elapsed_s: float) -> Aborted | None:
        """Return why the load is to be stopped now; None if it is to go on."""
        for rule, detail, measured in self._broken(record, elapsed_s):
            return Aborted(judged=None, at_s=elapsed_s, rule=rule, detail=detail, measured=measured)
        return None

    def _broken(self, record: Record, elapsed_s: float) -> Iterator[tuple[str, str, float | None]]:
        guard = self._guard
        now = self._now()
        if guard.window is not None and not is_within(guard.window, now):
            yield f'guard.window = "{clock_text(guard.window)}"', f"it is {now:%H:%M}", None
        if guard.stop_file and exists(self._folder / guard.stop_file):
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
            ("max_error_rate", guard.max_error_rate, (attempts - succeeded) / attempts, "failed"),
            ("max_throttled", guard.max_throttled, throttled / attempts, "were answered with 429"),
        )
        for name, most, share, what in shares:
            if most is not None and share > most:
                detail = f"{_PERCENT * share:.3g} % of attempts {what} over {guard.over_s:g} s"
                yield f'guard.{name} = "{_PERCENT * most:g}%"', detail, share


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLoad:
    """Upper bounds of what a run sends; None where they are not known beforehand.

    Attributes:
        users: Users that it sends for.
        events: Events that it sends.
        peak_rate: The highest rate, in copies per second.
    """

    users: int | None
    events: int | None
    peak_rate: float | None


def guard_problems(
    scenario: Scenario,
    load: PlannedLoad,
    hosts: list[str],
    *,
    search: bool = False,
    now: Callable[[], datetime] = _now,
) -> list[Problem]:
    """Return the problems for which a run may not be started.

    Args:
        scenario: The scenario, with its rules.
        load: The most that the run sends.
        hosts: The hosts that it would reach.
        search: Whether this is a capacity search.
        now: Returns the local time.
    """
    guard, problems = scenario.guard, []
    closed = isinstance(scenario.load, ClosedLoad)
    for name, most, planned, what in (
        ("max_users", guard.max_users, load.users, "users"),
        ("max_events", guard.max_events, load.events, "events"),
        ("max_rate", guard.max_rate, load.peak_rate, "copies a second"),
    ):
        if most is None or (planned is not None and planned <= most):
            continue
        if planned is None:
            message = f"allows {most:,.10g} {what}, but how many there are is not known beforehand"
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
    problems += _stop_file(scenario)
    return problems


def _stop_file(scenario: Scenario) -> Iterator[Problem]:
    """Yield a problem if the stop file exists, or if its appearing would go unnoticed."""
    name = scenario.guard.stop_file
    if not name:
        return
    try:
        (Path(scenario.file).parent / name).stat()
    except FileNotFoundError:
        return
    except NO_PATH as error:
        message = f"the file {name} cannot be looked for: {reason_of(error)}"
        remedy = "name a file that can appear, and that you may see"
        yield scenario.problem("guard.stop_file", message, remedy)
    else:
        message = f"the file {name} is there: no load may be sent"
        yield scenario.problem("guard.stop_file", message, "remove it to go on")


def _hosts(scenario: Scenario, hosts: list[str]) -> Iterator[Problem]:
    guard = scenario.guard
    for host in hosts:
        if guard.hosts and not any(fnmatchcase(host.lower(), each) for each in guard.hosts):
            message = f"does not have {host}, which this run would reach"
            yield scenario.problem("guard.hosts", message, "add it, or change the target")
    if guard.hosts and scenario.target.redirects:
        message = "cannot be held where redirects are followed: they may lead anywhere"
        yield scenario.problem("guard.hosts", message, "set target.redirects = false")


_BOTH = 2 * TRIES
"""The most queries for one count of users and events, retries included."""
_LOCATIONS, _BASES = 3, 2
"""Attempts to name the missing users, and ungrouped counts in a round of one."""
_REPEATS = 3
_MOST_POLLS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCounts:
    """Numbers of queries.

    Attributes:
        plain: Queries for a count.
        split: Queries for a count by bucket.
    """

    plain: int
    split: int

    def cost(self, spec: VerificationSpec) -> int:
        """Return the cost of all of them."""
        queries = spec.queries
        return self.plain * queries.counts.cost + self.split * queries.split_cost


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryForecast:
    """How many queries a run sends.

    Attributes:
        least: The fewest in a run that passes: the fixed part.
        usual: If all queries are answered at once and all users are counted soon; None as below.
        most: The most, whatever happens; None if nothing bounds how long the load lasts.
        pause_s: Seconds between two polls.
        span_s: Seconds for which queries are sent at most; None if nothing bounds them.
        controls: Events of control users at the most, sent if users are missing.
        new_users: New users among the control users, at the most.
    """

    least: QueryCounts
    usual: QueryCounts | None
    most: QueryCounts | None
    pause_s: float
    span_s: float | None
    controls: int
    new_users: int


def forecast_queries(
    spec: VerificationSpec, *, drain_s: float, events_per_copy: int
) -> QueryForecast:
    """Return how many queries a run will send.

    Args:
        spec: How the service is queried.
        drain_s: Seconds that copies in flight may take after the last one has started.
        events_per_copy: Events that each copy sends.
    """
    verify, load_s = spec.verify, spec.load_s
    pair = 1 if spec.queries.counts.totals is None else 2
    given = verify.budget
    budget = None if given is None else QueryBudget(given.cost, given.window_s)
    pause_s = pace_s(spec, budget)
    located = _located(spec, events_per_copy) if spec.filtered and verify.localizes else 0
    # one before the load, one during it, one settled count; the negative control
    fixed = 1 + 1 + pair + spec.filtered
    controls = MOST_FRESH + 2 * PAIRED if spec.filtered else 0
    usual = most = span_s = None
    if load_s is not None:
        usual = QueryCounts(
            plain=fixed - 1 + _watching(load_s, pause_s, 1, pair) + 1,
            split=located + _ordering(spec, budget, load_s + pause_s),
        )
        after_s = verify.deadline_s + slack_s(verify)
        span_s = load_s + drain_s + after_s
        polls = math.ceil(after_s / min(pause_s, 1.0)) + 1
        plain = 1 + _watching(load_s + drain_s, pause_s, 1, _BOTH) + _BOTH * (polls + _REPEATS)
        split = 0
        if spec.filtered:
            plain += 2 * (3 * (polls + 1) + 2) + 2 * _BOTH
        if spec.filtered and verify.localizes:
            rounds = _LOCATIONS * ROUNDS
            plain += rounds * _BASES * _BOTH
            split = rounds * len(partitions(verify.partitions)) * 2 * TRIES
            split += _ordering(spec, budget, span_s)
        most = QueryCounts(plain=plain, split=split)
    return QueryForecast(
        least=QueryCounts(plain=fixed, split=located),
        usual=usual,
        most=most,
        pause_s=pause_s,
        span_s=span_s,
        controls=controls,
        new_users=MOST_FRESH if spec.filtered else 0,
    )


def most_cost(
    spec: VerificationSpec, found: QueryForecast, within_s: float | None = None
) -> int | None:
    """Return the most that queries can cost, in all or within a time; None if unbounded."""
    budget = spec.verify.budget
    costs = [] if found.most is None else [found.most.cost(spec)]
    span_s = found.span_s if within_s is None else min(within_s, found.span_s or within_s)
    if budget is not None and span_s is not None:
        # a query that costs more than a window allows is sent in an empty window
        single = max(budget.cost, spec.queries.split_cost, spec.queries.counts.cost)
        costs.append(max(1, math.ceil(span_s / budget.window_s)) * single)
    return min(costs, default=None)


def _located(spec: VerificationSpec, events_per_copy: int) -> int:
    """Return the fewest counts by bucket that can show that no user is missing."""
    copies = spec.buckets.copies
    shared = copies is not None and copies > SEQUENCES
    return 1 + shared + (events_per_copy > 1 and spec.queries.counts.totals is not None)


def _watching(span_s: float, pause_s: float, single: int, both: int) -> int:
    """Return how many queries polling sends; each fifth poll counts users and events."""
    polls = math.floor(span_s / pause_s) + 1
    paired = polls // TOTALS_EVERY
    return (polls - paired) * single + paired * both


def _ordering(spec: VerificationSpec, budget: QueryBudget | None, span_s: float) -> int:
    """Return how many counts by send order there is time for, including the final one."""
    if not spec.filtered or not spec.verify.localizes:
        return 0
    number, so_far_s = 0, 0.0
    while number < _MOST_POLLS:
        so_far_s += order_pause_s(spec, budget, so_far_s)
        if so_far_s > span_s:
            break
        number += 1
    return number + (number > 0)
