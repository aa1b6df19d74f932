"""Asks for counts by bucket until they name the missing, or cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from anyio import sleep

from loadcheck.verify.bucket_counts import Tally, read_tally
from loadcheck.verify.group_testing import DuplicateAttribution
from loadcheck.verify.localize import (
    Localized,
    LossEstimate,
    SentCopies,
    conclude,
    countable,
    deduce_duplicated,
    deduce_lost,
)
from loadcheck.verify.observe import Observation, Observer
from loadcheck.verify.query_client import QueryClient
from loadcheck.workflow.identity import partitions
from loadcheck.workflow.runtime.plan import Query

_ROUNDS = 3
"""How often to begin again when the counts moved in between."""
_TRIES = 3
"""How often a single question is repeated that had no usable answer."""

Metric = Literal["uniques", "totals"]
SplitQuery = Callable[[str, Metric], "Query"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizerConfig:
    """How to ask.

    Attributes:
        query: Partition and count → the query grouped by that partition.
        partitions: How many hashed partitions there are.
        limit: The most rows that the service returns.
        cost: What a query costs that is grouped.
        events_per_copy: Events that every copy sent.
        pause_s: Before a question is repeated.
    """

    query: SplitQuery
    partitions: int
    limit: int
    cost: int
    events_per_copy: int = 1
    pause_s: float = 1.0


class _NoEvidenceError(Exception):
    """A question had no usable answer; the message says why."""


class Localizer:
    """One attempt to name who is missing and who was counted twice.

    Args:
        copies: What was sent.
        observer: Asks for counts without groups.
        asker: Asks for those by bucket.
        terms: How.
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

    async def run(self, *, since_ns: int) -> tuple[Localized, Observation | None]:
        """Return what the counts by bucket tell, and the count without groups that they rest on.

        Args:
            since_ns: Answers that tell an earlier state are no evidence.
        """
        trouble = ""
        for _ in range(_ROUNDS):
            try:
                return await self._round(since_ns)
            except _NoEvidenceError as error:
                trouble = str(error)
            await sleep(self._terms.pause_s)
        nothing = Localized(queries=self._queries, cost=self._cost, trouble=trouble)
        return nothing, None

    async def _round(self, since_ns: int) -> tuple[Localized, Observation]:
        base = await self._observer.ask(totals=True)
        if base.uniques is None or base.as_of_ns < since_ns:
            raise _NoEvidenceError(base.error or "the answer came from the service's cache")
        tallies: list[Tally] = []
        deduction: LossEstimate | None = None
        for name in self._names:
            tallies.append(await self._tally(name, "uniques", base.uniques, since_ns))
            deduction = deduce_lost(self._copies, tallies)
            if deduction.done:
                break
        assert deduction is not None
        lost = self._named(deduction)
        extras, totals = await self._duplicates(base, tallies, lost, since_ns)
        countables = countable(self._copies, lost)
        found = conclude(
            self._copies,
            deduction,
            extras,
            countables,
            partitions=max(len(tallies), totals),
            queries=self._queries,
            cost=self._cost,
        )
        return found, base

    async def _duplicates(
        self, base: Observation, tallies: list[Tally], lost: list[int], since_ns: int
    ) -> tuple[DuplicateAttribution | None, int]:
        """Return who was counted too often, and how many partitions were asked for that."""
        terms = self._terms
        assert base.uniques is not None
        if base.totals is None or base.totals <= terms.events_per_copy * base.uniques:
            return None, 0
        totals: list[Tally] = []
        extras: DuplicateAttribution | None = None
        for name in self._names:
            if name not in {tally.name for tally in tallies}:
                tallies.append(await self._tally(name, "uniques", base.uniques, since_ns))
            totals.append(await self._tally(name, "totals", base.totals, since_ns))
            extras = deduce_duplicated(
                self._copies, tallies, totals, lost, events_per_copy=terms.events_per_copy
            )
            if extras is None or not extras.unnamed:
                break
        return extras, len(totals)

    def _named(self, deduction: LossEstimate) -> list[int]:
        if deduction.elimination is None:
            return []
        named: list[int] = self._copies.acknowledged[deduction.elimination.lost].tolist()
        return named

    async def _tally(self, name: str, metric: Metric, total: int, since_ns: int) -> Tally:
        """Ask for the counts of one partition.

        Raises:
            _NoEvidenceError: There was no usable answer.
        """
        terms = self._terms
        query = terms.query(name, metric)
        error = ""
        for attempt in range(_TRIES):
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
            tally = read_tally(
                name,
                reply.values.get("labels"),
                reply.values.get("values"),
                limit=terms.limit,
                total=total,
                expected=self._copies.sent(name),
            )
            if isinstance(tally, Tally):
                return tally
            raise _NoEvidenceError(f"the count by {name} is no evidence: {tally}")
        raise _NoEvidenceError(f"the count by {name} is no evidence: {error}")
