"""Asks the observer step what the service has counted, during the load and after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from loadcheck.verify.evidence import Observation, Standing, Terms, standing
from loadcheck.verify.queries import CountQueries
from loadcheck.verify.query_client import QueryClient, QueryResult
from loadcheck.workflow.runtime.plan import Query

_MAX_BACKOFF_S = 30.0
TOTALS_EVERY = 5
"""Of the questions during the load, how many go without asking for the events as well."""
TRIES = 3
"""So often is asked at the most for an answer that others are worth little without."""
_LAST_TRIES_S = 2.0
"""After the deadline: how long a last answer is sought if the service gives none."""
_PAIRS = 5
"""After the deadline: so many answers may disagree on users and events."""


class Observer:
    """Asks one question at a time and keeps every answer.

    Args:
        queries: The compiled questions.
        asker: Sends them.
        every_s: Pause between two questions.
        seen: Called with each observation.
    """

    def __init__(
        self,
        queries: CountQueries,
        asker: QueryClient,
        *,
        every_s: float,
        seen: Callable[[Observation], None],
    ) -> None:
        self._queries = queries
        self._asker = asker
        self._every_s = every_s
        self._seen = seen
        self._refused = 0
        self._events_first = False
        self.observations: list[Observation] = []

    def ask_by(self, queries: CountQueries) -> None:
        """Ask by other queries from now on."""
        self._queries = queries

    async def ask(self, *, totals: bool = False) -> Observation:
        """Ask once for the uniques, and with ``totals`` for the events as well.

        Which of the two is asked for first alternates: where answers come in turn from two
        replicas, neither count is always the same one's.
        """
        second: QueryResult | None = None
        if totals and self._queries.totals is not None:
            self._events_first = not self._events_first
            if self._events_first:
                second = await self._insist(self._queries.totals, "totals")
        reply = await self._insist(self._queries.uniques, "uniques", tries=TRIES if totals else 1)
        count, error = reply.count("uniques")
        if totals and self._queries.totals is not None and not self._events_first and not error:
            second = await self._insist(self._queries.totals, "totals")
        refused = reply.refused
        events, replies = None, [reply]
        if second is not None:
            events, why = second.count("totals")
            refused = refused or second.refused
            error = error or (f"no count of events: {why}" if why else "")
            if events is not None:
                replies.append(second)
        observation = Observation(
            asked_ns=min(each.asked_ns for each in replies),
            answered_ns=max(each.answered_ns for each in replies),
            as_of_ns=min(each.as_of_ns for each in replies),
            uniques=count,
            totals=events if count is not None else None,
            error=error,
        )
        self._refused = self._refused + 1 if refused else 0
        self.observations.append(observation)
        self._seen(observation)
        return observation

    async def _insist(self, query: Query, name: str, tries: int = TRIES) -> QueryResult:
        """Ask, and again if that gives no count: one of two is worth little without the other."""
        reply = await self._asker.ask(query, self._queries.cost)
        for _ in range(tries - 1):
            if reply.refused or reply.count(name)[0] is not None:
                break
            reply = await self._asker.ask(query, self._queries.cost)
        return reply

    async def watch(self) -> None:
        """Ask again and again; runs until cancelled."""
        number = 0
        while True:
            number += 1
            await self.ask(totals=number % TOTALS_EVERY == 0)
            await anyio.sleep(self._pause_s())

    async def settle(
        self,
        terms: Terms,
        *,
        until_ns: int | None = None,
        short: Callable[[], Awaitable[object]] | None = None,
    ) -> Standing:
        """Ask until no later answer is needed, or the deadline has passed.

        The count has settled when it is the upper bound, or has not moved for the quiet period.
        Users who are missing get until the deadline all the same: nothing but time tells the late
        from the lost. So do answers that contradict each other.

        Args:
            terms: What the answers are held against.
            until_ns: When to stop waiting; None: at the deadline.
            short: Called once when users have been missing for a while, at the deadline at the
                latest.
        """
        clock = self._asker.clock
        end_ns = terms.deadline_ns if until_ns is None else until_ns
        begin_ns = min(clock(), terms.since_ns) if until_ns is None else clock()
        late_ns = begin_ns + min(terms.quiet_ns, (end_ns - begin_ns) // 3)
        pairs = 0
        while True:
            stands = standing(terms, self.observations)
            paired = self._queries.totals is not None and (stands.settled or clock() >= end_ns)
            seen = await self.ask(totals=paired)
            stands = standing(terms, self.observations)
            agreed = self._queries.totals is None or stands.totals is not None
            if stands.enough and agreed:
                return stands
            now = clock()
            if short is not None and (stands.final is None or stands.short) and now >= late_ns:
                # also at the deadline, should an answer have taken until then
                await short()
                short, now = None, clock()
            if now >= end_ns:
                answered = seen.is_evidence and seen.as_of_ns >= end_ns
                pairs += answered
                if (
                    answered and (agreed or pairs >= _PAIRS)
                ) or now >= end_ns + _LAST_TRIES_S * 1e9:
                    return stands
            pause_s = self._pause_s()
            if now >= end_ns or (stands.settled and not stands.short):
                pause_s = min(pause_s, 1.0)
            left_s = (end_ns - now) / 1e9
            await anyio.sleep(min(pause_s, left_s) if left_s > 0 else pause_s)

    async def repeat(self, terms: Terms) -> Standing:
        """Ask until two answers agree on users and events; a few times at the most.

        Events are counted by another query than users, so events that become visible in between
        would look like duplicates. An answer that is no evidence agrees and disagrees with nothing.
        """
        begin_ns, answered = self._asker.clock(), 0
        while True:
            seen = await self.ask(totals=True)
            stands = standing(terms, self.observations)
            answered += seen.is_evidence
            agreed = stands.totals is not None or (
                self._queries.totals is None and seen.is_evidence
            )
            waited_s = (self._asker.clock() - begin_ns) / 1e9
            if (agreed and answered > 1) or answered >= _PAIRS or waited_s >= _LAST_TRIES_S:
                return stands
            if agreed and self._queries.totals is None:
                return stands
            await anyio.sleep(min(self._pause_s(), 1.0))

    def _pause_s(self) -> float:
        """Return the pause before the next question: longer after each refusal in a row."""
        return min(self._every_s * 2.0**self._refused, max(self._every_s, _MAX_BACKOFF_S))
