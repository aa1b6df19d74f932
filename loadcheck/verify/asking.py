"""How much a run will ask: known before it, within bounds.

Some questions are asked in every run; how often the count is polled depends on how soon it settles,
and who is missing is looked for only if somebody is. So there are three figures: the least of a run
that passes, what one comes to that is answered at once, and the most that anything can lead to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from loadcheck.verify.bucket_queries import ROUNDS
from loadcheck.verify.controls import MOST_FRESH, PAIRED
from loadcheck.verify.observe import TOTALS_EVERY, TRIES
from loadcheck.verify.query_client import QueryBudget
from loadcheck.verify.session import VerificationSpec, order_pause_s, pace_s, slack_s
from loadcheck.workflow.identity import SEQUENCES, partitions

_BOTH = 2 * TRIES
"""Tries of users and events together."""
_LOCATIONS, _BASES = 3, 2
"""Attempts to name who is missing, and counts without groups in a round of one."""
_REPEATS = 3
_MOST_POLLS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A number of questions.

    Attributes:
        plain: Those for a count.
        split: Those for a count by bucket.
    """

    plain: int
    split: int

    def cost(self, spec: VerificationSpec) -> int:
        """Return what they cost."""
        queries = spec.queries
        return self.plain * queries.counts.cost + self.split * queries.split_cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How much a run asks.

    Attributes:
        least: The least of a run that passes: what is fixed.
        usual: Of one in which every answer comes at once and everybody is counted soon.
        most: The most, whatever happens; None: nothing bounds how long the load lasts.
        pause_s: Between two polls.
        span_s: How long questions are asked at the longest; None: nothing bounds it.
        controls: Events of control users at the most, sent if somebody is missing.
        new_users: New ones among these users.
    """

    least: Asked
    usual: Asked | None
    most: Asked | None
    pause_s: float
    span_s: float | None
    controls: int
    new_users: int


def asking(spec: VerificationSpec, *, drain_s: float, events_per_copy: int) -> Asking:
    """Return how much a run will ask.

    Args:
        spec: How the service is asked.
        drain_s: How long copies under way may take when the last has started.
        events_per_copy: Events that each copy sends.
    """
    verify, load_s = spec.verify, spec.load_s
    pair = 1 if spec.queries.counts.totals is None else 2
    given = verify.budget
    budget = None if given is None else QueryBudget(given.cost, given.window_s)
    pause_s = pace_s(spec, budget)
    located = _located(spec, events_per_copy) if spec.filtered and verify.localizes else 0
    # before the load, once during it, until the count has settled; the users who were never sent
    fixed = 1 + 1 + pair + spec.filtered
    controls = MOST_FRESH + 2 * PAIRED if spec.filtered else 0
    usual = most = span_s = None
    if load_s is not None:
        usual = Asked(
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
        most = Asked(plain=plain, split=split)
    return Asking(
        least=Asked(plain=fixed, split=located),
        usual=usual,
        most=most,
        pause_s=pause_s,
        span_s=span_s,
        controls=controls,
        new_users=MOST_FRESH if spec.filtered else 0,
    )


def most_cost(spec: VerificationSpec, found: Asking, within_s: float | None = None) -> int | None:
    """Return the most that questions can cost, in all or within a time; None: nothing bounds it."""
    budget = spec.verify.budget
    costs = [] if found.most is None else [found.most.cost(spec)]
    span_s = found.span_s if within_s is None else min(within_s, found.span_s or within_s)
    if budget is not None and span_s is not None:
        # one that costs more than a window allows is asked in an empty one
        single = max(budget.cost, spec.queries.split_cost, spec.queries.counts.cost)
        costs.append(max(1, math.ceil(span_s / budget.window_s)) * single)
    return min(costs, default=None)


def _located(spec: VerificationSpec, events_per_copy: int) -> int:
    """Return how many counts by bucket it takes at the least to see that nobody is missing."""
    copies = spec.buckets.copies
    crowded = copies is not None and copies > SEQUENCES
    return 1 + crowded + (events_per_copy > 1 and spec.queries.counts.totals is not None)


def _watching(span_s: float, pause_s: float, single: int, both: int) -> int:
    """Return how many questions polling comes to, each fifth poll for users and events."""
    polls = math.floor(span_s / pause_s) + 1
    paired = polls // TOTALS_EVERY
    return (polls - paired) * single + paired * both


def _ordering(spec: VerificationSpec, budget: QueryBudget | None, span_s: float) -> int:
    """Return how many counts by send order there is time for, and the one in the end."""
    if not spec.filtered or not spec.verify.localizes:
        return 0
    number, so_far_s = 0, 0.0
    while number < _MOST_POLLS:
        so_far_s += order_pause_s(spec, budget, so_far_s)
        if so_far_s > span_s:
            break
        number += 1
    return number + (number > 0)
