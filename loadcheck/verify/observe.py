"""Asks the observer step what the service has counted, during the load and after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio

from loadcheck.verify.query_client import QueryClient
from loadcheck.workflow.runtime.plan import Query

_MAX_BACKOFF_S = 30.0
_TOTALS_EVERY = 5
"""Of the questions during the load, how many go without asking for the events as well."""
_TOTALS_TRIES = 5
"""Disagreeing answers tolerated before the event total counts as unstable."""
_REFUSED_TRIES = 24
"""So many questions for events may be refused before they are called unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One answer to the observer step.

    Attributes:
        asked_ns: Monotonic instant before the query was sent.
        answered_ns: Monotonic instant at which the answer was complete.
        as_of_ns: The answer reflects the service's state at or after this instant. Absence counts
            only for what was acknowledged before it. Earlier than ``asked_ns`` if the answer came
            from a cache.
        uniques: Users counted; None if the answer is no evidence.
        totals: Events counted; None if not asked for, or no evidence.
        error: Why the answer is no evidence; "" if it is.
    """

    asked_ns: int
    answered_ns: int
    as_of_ns: int
    uniques: int | None = None
    totals: int | None = None
    error: str = ""

    @property
    def is_evidence(self) -> bool:
        """Whether the service told a count."""
        return self.uniques is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleResult:
    """How the wait for the count ended.

    Attributes:
        last: The last observation that is evidence and tells a state after the last
            acknowledgement; None if there is none.
        settled: Whether the count reached the upper bound, or stood still for the quiet period.
        waited_s: From the last acknowledgement to the end of the wait.
        error: Why the last answer that is no evidence is none; "" if all were.
        adrift: Whether events are counted, but no two answers in a row agreed on them and on the
            users: then ``last`` tells nothing of them.
        blank: Whether no user of the run, nor a control user, was ever visible: then it
            may show nobody yet.
    """

    last: Observation | None
    settled: bool
    waited_s: float
    error: str = ""
    adrift: bool = False
    blank: bool = False


class Observer:
    """Asks one question at a time and keeps every answer.

    Args:
        uniques: The compiled query for unique users.
        totals: The compiled query for events; None if the service has no such count.
        asker: Sends the questions.
        cost: What each costs.
        every_s: Pause between two questions.
        seen: Called with each observation.
    """

    def __init__(
        self,
        *,
        uniques: Query,
        totals: Query | None,
        asker: QueryClient,
        every_s: float,
        seen: Callable[[Observation], None],
        cost: int = 1,
    ) -> None:
        self._uniques = uniques
        self._totals = totals
        self._asker = asker
        self._cost = cost
        self._every_s = every_s
        self._seen = seen
        self._failed = 0
        self.observations: list[Observation] = []

    def ask_by(self, uniques: Query, totals: Query | None, cost: int) -> None:
        """Ask by other queries from now on."""
        self._uniques, self._totals, self._cost = uniques, totals, cost

    async def ask(self, *, totals: bool = False) -> Observation:
        """Ask once for the uniques, and with ``totals`` for the events as well."""
        reply = await self._asker.ask(self._uniques, self._cost)
        count, error = reply.count("uniques")
        events: int | None = None
        as_of_ns, answered_ns = reply.as_of_ns, reply.answered_ns
        if totals and self._totals is not None and not error:
            second = await self._asker.ask(self._totals, self._cost)
            events, error = second.count("totals")
            as_of_ns, answered_ns = min(as_of_ns, second.as_of_ns), second.answered_ns
        observation = Observation(
            asked_ns=reply.asked_ns,
            answered_ns=answered_ns,
            as_of_ns=as_of_ns,
            uniques=None if error else count,
            totals=events,
            error=error,
        )
        self.note(observation)
        return observation

    def note(self, observation: Observation) -> None:
        """Keep an observation, also one that somebody else made."""
        self._failed = self._failed + 1 if observation.error else 0
        self.observations.append(observation)
        self._seen(observation)

    async def watch(self) -> None:
        """Ask again and again; runs until cancelled."""
        number = 0
        while True:
            number += 1
            await self.ask(totals=number % _TOTALS_EVERY == 0)
            await anyio.sleep(self._pause_s())

    async def settle(
        self,
        *,
        lower: int,
        upper: int,
        since_ns: int,
        quiet_s: float,
        deadline_s: float,
        short: Callable[[], Awaitable[object]] | None = None,
    ) -> SettleResult:
        """Ask until the count has settled or the deadline has passed.

        Settled means: it is the upper bound, or it has not moved for ``quiet_s`` in answers that
        tell a state after the last acknowledgement. Users who are missing get until the deadline
        all the same: nothing but time tells the late from the lost.

        Args:
            lower: The fewest users that must have arrived, on top of what was counted before.
            upper: The most that can have.
            since_ns: Instant of the last acknowledgement.
            quiet_s: How long the count must stand still.
            deadline_s: When to stop waiting, counted from ``since_ns``.
            short: Called once when users have been missing for a while, at the deadline at the
                latest.
        """
        clock = self._asker.clock
        last: Observation | None = None
        moved_ns = since_ns
        settled = False
        error = ""
        while True:
            observation = await self.ask()
            error = observation.error or error
            now = clock()
            waited_s = (now - since_ns) / 1e9
            if observation.uniques is not None and observation.as_of_ns >= since_ns:
                if last is None or observation.uniques != last.uniques:
                    moved_ns = observation.as_of_ns
                last = observation
                quiet = observation.as_of_ns - moved_ns >= quiet_s * 1e9
                settled = observation.uniques == upper or quiet
            missing = last is None or last.uniques is None or last.uniques < lower
            over = waited_s >= deadline_s or (settled and not missing)
            late = over or waited_s >= min(quiet_s, deadline_s / 3)
            if short is not None and missing and late:
                # also at the deadline, should an answer have taken until then
                await short()
                short = None
            if over:
                break
            await anyio.sleep(min(self._pause_s(), max(0.0, deadline_s - waited_s)))
        adrift = False
        if last is not None and self._totals is not None:
            last, adrift = await self.with_totals(last)
        waited_s = (clock() - since_ns) / 1e9
        return SettleResult(
            last=last, settled=settled, waited_s=waited_s, error=error, adrift=adrift
        )

    async def confirm(
        self, settlement: SettleResult, uniques: Query, totals: Query | None
    ) -> SettleResult:
        """Ask once more, with queries that get past the service's cache, and from now on by them.

        Somebody is to be accused by what was counted: a cache that says it is fresh and is not
        must not be the only witness.
        """
        self._uniques, self._totals = uniques, totals
        if settlement.last is None:
            return settlement
        last, adrift = await self.with_totals(settlement.last)
        return replace(settlement, last=last, adrift=adrift)

    async def with_totals(self, last: Observation) -> tuple[Observation, bool]:
        """Ask once more; for the events as well where they are counted, until two in a row agree.

        Events are asked for after users, so events that become visible in between would look like
        duplicates. An answer that is no evidence agrees and disagrees with nothing.

        Args:
            last: The last answer that is evidence.

        Returns:
            The last answer, and whether no two agreed: then it says nothing of events.
        """
        if self._totals is None:
            found = await self.ask()
            return (found if found.is_evidence and found.as_of_ns >= last.as_of_ns else last), False
        before: Observation | None = None
        tries, refused = _TOTALS_TRIES, _REFUSED_TRIES
        while tries and refused:
            found = await self.ask(totals=True)
            if found.is_evidence and found.as_of_ns >= last.as_of_ns:
                last = found
                if before is not None and (before.uniques, before.totals) == (
                    found.uniques,
                    found.totals,
                ):
                    return last, False
                before = found
                tries -= 1
            else:
                refused -= 1
            await anyio.sleep(min(self._pause_s(), 1.0))
        return replace(last, totals=None), True

    def _pause_s(self) -> float:
        """Return the pause before the next question: longer after each refusal in a row."""
        return min(self._every_s * 2.0**self._failed, max(self._every_s, _MAX_BACKOFF_S))
