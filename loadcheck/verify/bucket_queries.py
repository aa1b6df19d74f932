"""Queries counts by bucket until they name the missing users, or prove unable to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from anyio import sleep

from loadcheck.verify.evidence import Groups, Observation
from loadcheck.verify.localize import (
    Duplicates,
    EventCounts,
    Localized,
    LossEstimate,
    SentCopies,
    build_localized,
    compare_events,
    deduce_duplicated,
    deduce_lost,
)
from loadcheck.verify.queries import TRIES, Observer
from loadcheck.verify.query_client import BucketCounts, QueryClient, read_tally
from loadcheck.workflow.identity import partitions
from loadcheck.workflow.runtime.plan import Query

ROUNDS = 3
"""Rounds at the most: one without usable evidence, as when the counts moved, is repeated."""

Metric = Literal["uniques", "totals"]
SplitQuery = Callable[[str, Metric], "Query"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizerConfig:
    """How to query counts by bucket.

    Attributes:
        query: Partition and metric → the query grouped by that partition.
        partitions: How many hashed partitions there are.
        limit: The most rows that the service returns.
        cost: The cost of a grouped query.
        events_per_copy: Events that every copy sent.
        pause_s: The shortest pause before queries are repeated.
    """

    query: SplitQuery
    partitions: int
    limit: int
    cost: int
    events_per_copy: int = 1
    pause_s: float = 1.0


_FEWEST_BESIDE_REFUSED = 3
"""Partitions that must agree before refused copies count as without effect."""
_FEWEST_IN_CROWDS = 2
"""Partitions that must agree where copies share a bucket: one may take another's place there."""


class _NoEvidenceError(Exception):
    """A query had no usable answer; the message says why."""


class _ContradictionError(_NoEvidenceError):
    """The rows do not add up to the ungrouped count, which was the same before and after them."""


class Localizer:
    """One attempt to name the users that are missing or were counted twice.

    Args:
        copies: What was sent.
        observer: Queries ungrouped counts.
        asker: Queries counts by bucket.
        terms: How to query them.
    """

    def __init__(
        self, copies: SentCopies, observer: Observer, asker: QueryClient, terms: LocalizerConfig
    ) -> None:
        self._copies = copies
        self._observer = observer
        self._asker = asker
        self._terms = terms
        self._names = partitions(terms.partitions)
        self._queries = 0
        self._cost = 0
        self._as_of_ns = 0

    async def run(self, *, since_ns: int, base: Observation | None = None) -> Localized:
        """Return what the counts by bucket show.

        Args:
            since_ns: Answers that show a state before this instant are not evidence.
            base: The ungrouped count that the rows should add up to; None to query it.
        """
        trouble = contradiction = ""
        for attempt in range(ROUNDS):
            if attempt:
                await sleep(self._terms.pause_s)
                base = None
            try:
                return await self._round(since_ns, base)
            except _NoEvidenceError as error:
                trouble = str(error)
                contradiction = trouble if isinstance(error, _ContradictionError) else ""
        return Localized(
            queries=self._queries,
            cost=self._cost,
            trouble=trouble,
            groups=Groups(trouble=trouble, contradiction=contradiction),
        )

    async def _round(self, since_ns: int, base: Observation | None) -> Localized:
        if base is None:
            base = await self._observer.ask(totals=True)
        if base.uniques is None or base.as_of_ns < since_ns:
            raise _NoEvidenceError(base.error or "the answer came from the service's cache")
        self._as_of_ns = base.as_of_ns
        tallies: list[BucketCounts] = []
        deduction: LossEstimate | None = None
        for name in self._names:
            tallies.append(await self._tally(name, "uniques", base, since_ns))
            deduction = deduce_lost(self._copies, tallies)
            if deduction.done and len(tallies) >= self._fewest(self._names[0]):
                break
        assert deduction is not None
        lost = () if deduction.elimination is None else tuple(deduction.elimination.lost)
        events, extras, totals = await self._events(base, tallies, lost, since_ns)
        found = build_localized(
            self._copies,
            deduction,
            extras,
            Groups(
                uniques=base.uniques,
                totals=base.totals,
                as_of_ns=self._as_of_ns,
                duplicated=events.duplicated if events else 0,
                missing_events=events.missing if events else 0,
                hidden_events=events.hidden if events else 0,
                complete=events.complete if events else None,
                balanced=events is not None,
            ),
        )
        asked = max(len(tallies), totals)
        return replace(found, partitions=asked, queries=self._queries, cost=self._cost)

    def _fewest(self, name: str) -> int:
        """Return how many partitions must agree before no user is assumed to mask another."""
        if self._copies.rejected:
            return _FEWEST_BESIDE_REFUSED
        return 1 if self._copies.sent(name).max() <= 1 else _FEWEST_IN_CROWDS

    async def _events(
        self, base: Observation, tallies: list[BucketCounts], lost: Sequence[int], since_ns: int
    ) -> tuple[EventCounts | None, Duplicates | None, int]:
        """Return the sums of events by bucket, the duplicates by copy, and the partitions used."""
        terms = self._terms
        assert base.uniques is not None
        each = terms.events_per_copy
        alone = each == 1 and self._copies.people is None
        if base.totals is None or (alone and base.totals <= base.uniques):
            return None, None, 0  # with one event per user, no missing user can hide a duplicate
        totals: list[BucketCounts] = []
        events: EventCounts | None = None
        extras: Duplicates | None = None
        for name in self._names:
            if name not in {tally.name for tally in tallies}:
                tallies.append(await self._tally(name, "uniques", base, since_ns))
            totals.append(await self._tally(name, "totals", base, since_ns))
            if events is None:
                users = next(tally for tally in tallies if tally.name == name)
                events = compare_events(self._copies, users, totals[0], each)
            if not events.duplicated:
                break
            extras = deduce_duplicated(self._copies, tallies, totals, lost, events_per_copy=each)
            if extras is None or not extras.unnamed:
                break
        return events, extras, len(totals)

    async def _tally(
        self, name: str, metric: Metric, base: Observation, since_ns: int
    ) -> BucketCounts:
        """Query the counts of one partition.

        Raises:
            _NoEvidenceError: There was no usable answer.
        """
        terms = self._terms
        query = terms.query(name, metric)
        error = ""
        for attempt in range(TRIES):
            if attempt:
                await sleep(terms.pause_s * 2**attempt)
            reply = await self._asker.ask(query, terms.cost)
            self._queries += 1
            self._cost += terms.cost
            if reply.error:
                error = reply.error
                continue
            if reply.as_of_ns < since_ns:
                error = "the answer came from the service's cache"
                continue
            self._as_of_ns = min(self._as_of_ns, reply.as_of_ns)
            expected = self._copies.sent(name)
            tally = read_tally(name, reply.values, limit=terms.limit, expected=expected)
            if not isinstance(tally, BucketCounts):
                raise _NoEvidenceError(f"the count by {name} is not evidence: {tally}")
            total = base.uniques if metric == "uniques" else base.totals
            if tally.total != total:
                await self._compare(name, metric, tally.total, base)
            return tally
        raise _NoEvidenceError(f"the count by {name} is not evidence: {error}")

    async def _compare(self, name: str, metric: Metric, rows: int, base: Observation) -> None:
        """Query the ungrouped count again, to raise the error that fits: moved or contradictory.

        Raises:
            _NoEvidenceError: The ungrouped count has moved as well.
            _ContradictionError: It has not.
        """
        total = base.uniques if metric == "uniques" else base.totals
        text = (
            f"the count by {name} is not evidence: its rows add up to {rows:,}, "
            f"the count without groups is {total:,}"
        )
        again = await self._observer.ask(totals=metric == "totals")
        same = again.uniques if metric == "uniques" else again.totals
        raise (_ContradictionError if same == total else _NoEvidenceError)(text)
