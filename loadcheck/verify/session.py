"""The verification of a run: queries what the service counts, and which users are missing."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from pyroaring import BitMap

from loadcheck.data import Visits
from loadcheck.load.retry import Backoff
from loadcheck.scenario.model import Retry, Verify
from loadcheck.verify import Advice, Consistency, Finding, SentCounts
from loadcheck.verify.bucket_queries import Localizer, LocalizerConfig
from loadcheck.verify.controls import Candidates, ControlResult, Controls
from loadcheck.verify.evidence import (
    ControlEvidence,
    Observation,
    Standing,
    Terms,
    prove,
    standing,
)
from loadcheck.verify.findings import CountEvidence, conclude, unasked
from loadcheck.verify.localize import Localized, SentCopies, bucket_sizes
from loadcheck.verify.naming import SendTimes, UserNames, localized_to_json, ranks_of_lost
from loadcheck.verify.people import People
from loadcheck.verify.queries import Observer, ObserverQueries, QueryFactory
from loadcheck.verify.query_client import (
    BucketCounts,
    QueryBudget,
    QueryChannel,
    QueryClient,
    read_tally,
)
from loadcheck.verify.visibility import (
    AckCurve,
    KnownLosses,
    OrderCounts,
    SendOrder,
    Visibility,
    visibility,
)
from loadcheck.workflow.identity import SEQUENCE, Buckets, partitions, size
from loadcheck.workflow.runtime.plan import Plan, StepPlan

_SAMPLE_S = 0.05
"""Between two samples of how many copies have been acknowledged."""
_LEAST_SLACK_S = 5.0
"""Queries may go on after the deadline for this long, or two query timeouts if those are longer."""
_ORDER_EVERY_S = 2.0
"""Least seconds between two counts by send order; below, the least multiple of one's duration."""
_ORDER_SHARE = 20
_LAST_ORDER_S = 2.0
_ORDER_GROWTH = 0.25
"""With a budget, the pause as a share of the time for which such counts have been queried."""
_ORDER_COST_SHARE = 5
"""Such counts may cost one part in this many of the budget."""
_NO_ANSWER = Observation(asked_ns=0, answered_ns=0, as_of_ns=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """The result of a verification.

    Attributes:
        consistency: What the counts prove.
        findings: The findings that follow.
        visibility: The visibility lag; None if it is not known.
        localized: Which users are missing, as the results file holds it; None if not queried.
        controlled: What the control users showed.
        believed: Whether the answers agree with each other, so that they can show the lag.
    """

    consistency: Consistency
    findings: list[Finding]
    visibility: Visibility | None
    localized: dict[str, Any] | None
    controlled: ControlResult
    believed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationSpec:
    """How the service is queried about a run.

    Attributes:
        verify: What the scenario says about verification.
        plan: The workflow of copies and controls.
        ingest: The step whose outcome is the copy's.
        queries: The queries of the run.
        factory: Compiles the queries for later days, and for the controls.
        filtered: Whether the query separates this run's users from others'; else there are no
            controls.
        buckets: The run's partitions.
        retry: How a failed attempt of a control user is retried.
        seed: Random seed of the waits before retries.
        load_s: How long the load lasts, if that is known.
        lasting: Whether the service can be queried after the run.
    """

    verify: Verify
    plan: Plan
    ingest: StepPlan
    queries: ObserverQueries
    factory: QueryFactory
    filtered: bool
    buckets: Buckets
    retry: Retry
    seed: int
    load_s: float | None
    lasting: bool = True

    def until(self, day: str) -> VerificationSpec:
        """Return a specification whose queries reach to a later day.

        Raises:
            InputError: A file that the workflow needs is gone.
        """
        factory = self.factory.until(day)
        return replace(self, factory=factory, queries=factory.queries())


class Verification:
    """Queries the service before, during and after a load.

    Args:
        spec: How the service is queried.
        channel: How queries, and control users, reach the service.
        seen: Called with each observation.
    """

    def __init__(
        self,
        spec: VerificationSpec,
        channel: QueryChannel,
        seen: Callable[[Observation], None] = lambda _: None,
    ) -> None:
        verify = self._verify = spec.verify
        self._spec = spec
        budget = verify.budget
        if channel.budget is None and budget is not None:
            channel = replace(channel, budget=QueryBudget(budget.cost, budget.window_s))
        self._channel = channel
        self._asker = QueryClient(channel, absent=verify.absent, approximate=verify.approximate)
        self.observer = Observer(spec.queries.counts, self._asker, every_s=self.pause_s, seen=seen)
        self.acks = AckCurve()
        self.shows_lag = True
        self.baseline: int | None = None
        self.terms: Terms | None = None
        self.controlled = ControlResult()
        self.localized: Localized | None = None
        self._acknowledged = BitMap()
        self._controls: Controls | None = None
        self._blank = False
        self._end_ns = 0
        self._ordered: list[OrderCounts] = []
        self._people: People | None = None
        self._polling_ns = 0
        self._names = UserNames(spec.plan, spec.ingest, verify.user)

    async def ask_until(self, day: str) -> None:
        """Use queries that reach to a later day from now on.

        Raises:
            InputError: A file that the workflow needs is gone.
        """
        self._spec = await anyio.to_thread.run_sync(self._spec.until, day)
        self.observer.ask_by(self._spec.queries.counts)

    @property
    def observations(self) -> Sequence[Observation]:
        """All answers of the observer step, in order."""
        return self.observer.observations

    def name(self, number: int) -> str:
        """Return the user id that a copy sent, by the copy's number."""
        return self._names.of(number)

    # the phases of a run

    async def ask_baseline(self) -> None:
        """Query the count before anything was sent: no user of this run may be counted."""
        observation = await self.observer.ask()
        self.baseline = observation.uniques

    async def sample_acks(self, totals: Callable[[], tuple[int, int, int]]) -> None:
        """Sample how far the copies have come, repeatedly; runs until cancelled.

        Args:
            totals: Returns the copies acknowledged, able to have arrived, and begun or skipped.
        """
        self.acks.begin(time.monotonic_ns())
        while True:
            self.acks.add(time.monotonic_ns(), *totals())
            await anyio.sleep(_SAMPLE_S)

    async def poll_order(self) -> None:
        """Count by bucket in send order repeatedly, for the lag; runs until cancelled."""
        if not self._orders:
            return
        took_s, self._polling_ns = 0.0, self._polling_ns or time.monotonic_ns()
        while True:
            so_far_s = (time.monotonic_ns() - self._polling_ns) / 1e9
            pause_s = order_pause_s(self._spec, self._channel.budget, so_far_s)
            await anyio.sleep(max(pause_s, _ORDER_SHARE * took_s))
            took_s = await self._ask_order()

    async def end_order(self) -> None:
        """Count by bucket in send order a last time, now that the count has settled."""
        if self._orders and self._ordered:
            left_s = (self._end_ns - time.monotonic_ns()) / 1e9
            with anyio.move_on_after(min(_LAST_ORDER_S, left_s)):
                await self._ask_order()

    @property
    def _orders(self) -> bool:
        return self._verify.localizes and self._filters

    async def _ask_order(self) -> float:
        """Count by bucket in send order; return how long it took, in seconds."""
        query, split = self._spec.queries.split(SEQUENCE, "uniques"), self._verify.split
        assert split is not None
        reply = await self._asker.ask(query, self._spec.queries.split_cost)
        tally = reply.error or read_tally(SEQUENCE, reply.values, limit=split.limit)
        if isinstance(tally, BucketCounts):
            as_of_ns, answered_ns = reply.as_of_ns, reply.answered_ns
            self._ordered.append(
                OrderCounts(as_of_ns=as_of_ns, answered_ns=answered_ns, counts=tally.counts)
            )
        return (reply.answered_ns - reply.asked_ns) / 1e9

    async def settle_and_localize(self, sent: SentCounts, people: People, last_ack_ns: int) -> None:
        """Query until the count has settled; then, by bucket, which users are in it.

        All of this ends two query timeouts, or at least five seconds, after the deadline, whatever
        the service does: only what was answered by then is used.
        """
        since_ns = last_ack_ns or time.monotonic_ns()
        self._people = people
        self.acks.add(since_ns, sent.acknowledged, sent.possible)
        deadline_ns = since_ns + int(self._verify.deadline_s * 1e9)
        terms = self._make_terms(sent, since_ns, deadline_ns)
        with self._no_longer_than(max(deadline_ns, time.monotonic_ns())):
            filtered = self._filters
            await self.observer.settle(
                terms, on_shortfall=self._send_controls if filtered else None
            )
            await self._confirm(terms)
            if not filtered or self._standing().final is None:
                return
            await self._ask_controls(terms, deadline_ns)
            if not self._verify.localizes:
                return
            await self.localize(people, terms)
            hidden = self.localized is not None and self.localized.lost_at_least
            if hidden and not self._standing().short:
                # users hidden by others that arrived also get until the deadline
                if self._controls is None:
                    await self._send_controls()
                while time.monotonic_ns() < deadline_ns:
                    left_s = (deadline_ns - time.monotonic_ns()) / 1e9
                    await anyio.sleep(max(0.0, min(self.pause_s, left_s)))
                    await self.observer.ask()
                await self._ask_controls(terms, deadline_ns)
                await self.localize(people, terms)

    async def reask(
        self,
        sent: SentCounts,
        people: People,
        controls: ControlResult | None,
        *,
        ago_s: float,
        shown: bool,
    ) -> None:
        """Query a run that ended a while ago.

        Args:
            sent: The ledger's numbers.
            people: The users that were sent.
            controls: What the run's own controls showed; None if it sent none.
            ago_s: Seconds since the last acknowledgement.
            shown: Whether the service has counted any user of the run before.
        """
        verify, now_ns = self._verify, time.monotonic_ns()
        since_ns = now_ns - int(ago_s * 1e9)
        deadline_ns = since_ns + int(verify.deadline_s * 1e9)
        until_ns = max(deadline_ns, now_ns + int((1.5 * verify.quiet_s + 2 * self.pause_s) * 1e9))
        terms = self._make_terms(sent, since_ns, deadline_ns)
        with self._no_longer_than(until_ns):
            await self.observer.settle(terms, until_ns=until_ns)
            await self._confirm(terms)
            final = self._standing().final
            if not self._filters or final is None:
                return
            self._blank = not shown and controls is None and final.uniques == terms.before
            if controls is not None and self._spec.filtered:
                self._controls = self._new_controls()
                self._controls.result = replace(controls, unsent=None)
                self._controls.at_ns = since_ns
            await self._ask_controls(terms, until_ns)
            if self._verify.localizes:
                await self.localize(people, terms)

    async def localize(self, people: People, terms: Terms) -> None:
        """Query by bucket which users are missing, and which were counted twice."""
        self._acknowledged = people.ledger.acknowledged
        self.localized = await self._locate(people, terms)

    async def _locate(self, people: People, terms: Terms) -> Localized:
        split = self._verify.split
        assert split is not None
        ledger = people.ledger
        copies = SentCopies(
            self._spec.buckets,
            acknowledged=ledger.acknowledged,
            indeterminate=ledger.indeterminate | ledger.open(),
            rejected=ledger.rejected,
            uploads=people,
        )
        config = LocalizerConfig(
            query=self._spec.queries.split,
            partitions=self._verify.partitions,
            limit=split.limit,
            cost=self._spec.queries.split_cost,
            events_per_copy=terms.sent.events_per_copy,
            pause_s=min(1.0, self._verify.every_s),
        )
        stands = self._standing()
        base = stands.final
        if base is not None:
            base = replace(base, totals=stands.totals)
        localizer = Localizer(copies, self.observer, self._asker, config)
        return await localizer.run(since_ns=terms.since_ns, base=base)

    def conclude(self, sent: SentCounts, moments: SendTimes) -> VerificationResult:
        """Return what all answers together prove."""
        if self.terms is None:
            return VerificationResult(
                consistency=Consistency.unasked(sent),
                findings=[unasked(sent)],
                visibility=None,
                localized=None,
                controlled=self.controlled,
                believed=False,
            )
        terms, located, answers = replace(self.terms, sent=sent), self.localized, self.observations
        if located is not None:
            missing = set(located.lost)
            still = sum(number in missing for number in self.controlled.paired_copies)
            self.controlled = replace(self.controlled, still=still)
        groups = None if located is None else located.groups
        proof = prove(terms, answers, groups, self._control_evidence())
        named = lost = found = None
        if located is not None:
            found = located.proven_by(proof)
            named = localized_to_json(found, self.name, self._spec.buckets, moments)
            lost = ranks_of_lost(located, self._spec.buckets, self._acknowledged, moments)
        consistency, findings = conclude(
            CountEvidence(
                terms=terms,
                proof=proof,
                controlled=self.controlled,
                error=next((seen.error for seen in reversed(answers) if seen.error), ""),
                localized=found,
                named=named,
                overtaken=self._overtaken(),
            )
        )
        lag, believed = None, not proof.contradicted
        if consistency.uniques is not None and self.shows_lag and believed:
            lag = visibility(
                self.acks,
                answers,
                acknowledged=sent.acknowledged,
                baseline=self.baseline or 0,
                lost=KnownLosses(ranks=lost, number=consistency.lost_at_least or 0),
                order=self._order(),
            )
        return VerificationResult(
            consistency=consistency,
            findings=findings,
            visibility=lag,
            localized=named,
            controlled=self.controlled,
            believed=believed,
        )

    # parts of the phases

    def _make_terms(self, sent: SentCounts, since_ns: int, deadline_ns: int) -> Terms:
        verify = self._verify
        self.terms = Terms(
            sent=sent,
            since_ns=since_ns,
            deadline_ns=deadline_ns,
            quiet_ns=int(verify.quiet_s * 1e9),
            baseline=self.baseline,
            isolation="filter" if self._spec.filtered else "baseline",
            approximate=verify.approximate or 0.0,
            splits=verify.split is not None and verify.approximate is None,
            counts_events=self._spec.queries.counts.totals is not None,
            advice=Advice.of(verify, lasting=self._spec.lasting),
        )
        return self.terms

    def _order(self) -> SendOrder | None:
        """Return the counts by send order, with what was sent; None if there are none."""
        if self._people is None or not self._ordered:
            return None
        ledger, buckets = self._people.ledger, self._spec.buckets
        unclear = ledger.indeterminate | ledger.open()
        lost = BitMap() if self.localized is None else BitMap(self.localized.lost)
        acknowledged = bucket_sizes(buckets, ledger.acknowledged, SEQUENCE)

        return SendOrder(
            answers=self._ordered,
            first=np.array([buckets.first(at) for at in range(size(SEQUENCE))], dtype=np.int64),
            acknowledged=acknowledged,
            possible=acknowledged + bucket_sizes(buckets, unclear, SEQUENCE),
            lost=bucket_sizes(buckets, lost, SEQUENCE),
        )

    @property
    def _filters(self) -> bool:
        """Whether the query separates this run's users from all others."""
        return self._spec.filtered and not self.baseline

    def _standing(self) -> Standing:
        assert self.terms is not None
        return standing(self.terms, self.observations)

    @contextlib.contextmanager
    def _no_longer_than(self, deadline_ns: int) -> Iterator[None]:
        """Cancel the queries within, :func:`slack_s` after the deadline."""
        self._end_ns = deadline_ns + int(slack_s(self._verify) * 1e9)
        with anyio.move_on_after((self._end_ns - time.monotonic_ns()) / 1e9):
            yield

    async def _confirm(self, terms: Terms) -> None:
        """Query past the service's cache before any user is called missing, or counted twice."""
        stands = self._standing()
        uncached, final = self._spec.queries.uncached, stands.final
        if uncached is None or final is None or final.uniques is None:
            return
        counted = final.uniques - terms.before
        full = counted == terms.upper and not terms.sent.rejected
        sent = terms.sent
        events = sent.events_per_copy * counted if sent.events is None else sent.events.possible
        if not full or (stands.totals is not None and stands.totals != events):
            # a stale cache that claims to be fresh must not be the only witness
            self.observer.ask_by(uncached)
            await self.observer.settle_totals(terms)

    def _control_evidence(self) -> ControlEvidence:
        found = self.controlled
        counted: bool | None = bool(found.overtaken)
        if found.acknowledged is None and self._controls is None:
            counted = False if self._blank else None
        # without a filter for the run there is nothing to leak
        unknown = self._spec.filtered and found.unsent is None
        return ControlEvidence(
            counted=counted,
            proven=found.proven,
            alone=found.alone,
            leaking=None if unknown else self._spec.filtered and found.filter_broken,
            inflated=bool(found.excess),
        )

    def _overtaken(self) -> bool | None:
        if self.controlled.acknowledged is not None:
            return not self.controlled.none_visible
        return False if self._blank else None

    async def _send_controls(self) -> None:
        """Send the control users, fresh and paired, because users are missing."""
        people, terms = self._people, self.terms
        if not self._spec.filtered or people is None or terms is None:
            return
        most_s = slack_s(self._verify)
        self._controls = controls = self._new_controls()
        candidates = Candidates(unnamed="the counts by bucket took too long")
        with anyio.move_on_after(most_s):
            candidates = await self._candidates(people, terms)
        counted = (self._standing().final or _NO_ANSWER).uniques
        short = terms.lower - max(0, (counted or 0) - terms.before)
        share = max(0, short, candidates.at_least) / max(1, terms.lower)
        with anyio.move_on_after(most_s):
            await controls.pair(candidates)
        with anyio.move_on_after(most_s):
            await controls.send(people.ledger.end, share)
        self.controlled = controls.result

    async def _candidates(self, people: People, terms: Terms) -> Candidates:
        """Return the users that can be sent a second event: those missing by now, and others."""
        if not self._verify.localizes:
            none = self._verify.split is None
            why = "the workflow's profile has no buckets" if none else "verify.localize is off"
            return Candidates(unnamed=f"{why}, so no missing user can be named")
        found = self.localized or await self._locate(people, terms)
        ledger = people.ledger
        missing = BitMap(found.lost)
        if not missing:
            # if no user of a window is counted, all of them are missing
            for window in found.windows:
                if window.lost == window.sent:
                    first = self._spec.buckets.first(window.first)
                    missing |= BitMap(range(first, self._spec.buckets.first(window.last + 1)))
            missing &= ledger.acknowledged
        present = ledger.acknowledged - missing if found.exact else BitMap()
        return Candidates(
            missing=missing,
            present=present,
            at_least=found.lost_at_least,
            unnamed=found.trouble,
        )

    def _new_controls(self) -> Controls:
        retry = Backoff(self._spec.retry, self._spec.seed)
        return Controls(self._spec.factory, self._names, self._asker, self._channel.send, retry)

    async def _ask_controls(self, terms: Terms, deadline_ns: int) -> None:
        """Query the control users; they get as long to become visible as the others had."""
        verify = self._verify
        if not self._spec.filtered:
            return
        controls = self._controls or self._new_controls()
        if self._controls is not None:
            # as long as the others had, if the time allows it
            until_ns = min(
                controls.at_ns + int(verify.deadline_s * 1e9),
                deadline_ns + int(slack_s(verify) / 2 * 1e9),
            )
            while True:
                await controls.ask()
                self.controlled = controls.result
                if controls.complete or time.monotonic_ns() >= until_ns:
                    break
                await anyio.sleep(min(self.pause_s, 1.0))
        await controls.ask_unsent()
        self.controlled = controls.result
        if self._controls is not None:
            # users that became visible while the controls were awaited are not missing
            await self.observer.settle_totals(terms)

    @property
    def pause_s(self) -> float:
        """The pause between two queries, in seconds."""
        return pace_s(self._spec, self._channel.budget)

    @property
    def asked(self) -> tuple[int, int]:
        """How many queries were sent, and their total cost."""
        return self._asker.queries, self._asker.cost

    @property
    def controls_sent(self) -> int:
        """How many control events were sent, under new user ids or those of the run."""
        return 0 if self._controls is None else self._controls.sent


def pace_s(spec: VerificationSpec, budget: QueryBudget | None) -> float:
    """Return the pause, in seconds, that keeps the queries of a whole run within the budget."""
    verify, queries = spec.verify, spec.queries
    if budget is None:
        return verify.every_s
    span_s = math.inf if spec.load_s is None else spec.load_s + verify.deadline_s
    splits = 2 * len(partitions(verify.partitions)) if verify.localizes else 0
    reserve = splits * queries.split_cost + 10 * queries.counts.cost
    if verify.localizes:
        reserve += budget.most // _ORDER_COST_SHARE
    even_s = budget.pace_s(queries.counts.cost, span_s=span_s, reserve=reserve)
    return max(verify.every_s, even_s)


def slack_s(verify: Verify) -> float:
    """Return how many seconds after the deadline queries may go on."""
    return max(_LEAST_SLACK_S, 2 * verify.timeout_s)


def order_pause_s(spec: VerificationSpec, budget: QueryBudget | None, so_far_s: float) -> float:
    """Return the shortest pause before the next count by send order.

    Args:
        spec: How the service is queried.
        budget: The service's query budget; None if it has none.
        so_far_s: Seconds for which such counts have been queried. The budget's share is for a whole
            window, but most runs are shorter, so the pauses are short at first.
    """
    least_s = max(_ORDER_EVERY_S, 2 * spec.verify.every_s)
    most_s = 0.0
    if budget is not None:
        most_s = budget.share_s(spec.queries.split_cost, 1 / _ORDER_COST_SHARE)
    return max(least_s, min(most_s, _ORDER_GROWTH * so_far_s))


def moments(
    due: Sequence[float | None], began_at: str | None, visits: Visits | None = None
) -> SendTimes:
    """Return when copies were sent, from the timeline's column of copies due."""
    began = None if began_at is None else datetime.fromisoformat(began_at)
    return SendTimes(
        due=[[int(copies or 0) for copies in due]],
        began_at=began,
        uploads=1 if visits is None else visits.most,
    )
