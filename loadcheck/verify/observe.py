"""Asks the observer step what the service has counted, during the load and after it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from loadcheck.workflow.exchange import Exchange, Pause, Request

if TYPE_CHECKING:
    from loadcheck.workflow.plan import Answer, Query

_MAX_BACKOFF_S = 30.0

Send = Callable[[Request], Awaitable[Exchange]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One answer to the observer step.

    Attributes:
        asked_ns: Monotonic instant before the query was sent. Absence counts only for what was
            acknowledged before it.
        answered_ns: Monotonic instant at which the answer was complete.
        uniques: Users counted; None if the answer is no evidence.
        totals: Events counted; None if not asked for, or no evidence.
        error: Why the answer is no evidence; "" if it is.
    """

    asked_ns: int
    answered_ns: int
    uniques: int | None = None
    totals: int | None = None
    error: str = ""

    @property
    def is_evidence(self) -> bool:
        """Whether the service told a count."""
        return self.uniques is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How the wait for the count ended.

    Attributes:
        last: The last observation that is evidence and was asked after the last acknowledgement;
            None if there is none.
        settled: Whether the count reached the upper bound, or stood still for the quiet period.
        waited_s: From the last acknowledgement to the end of the wait.
        error: Why the last answer that is no evidence is none; "" if all were.
    """

    last: Observation | None
    settled: bool
    waited_s: float
    error: str = ""


class Observer:
    """Asks one question at a time and keeps every answer.

    Args:
        uniques: The compiled query for unique users.
        totals: The compiled query for events; None if the service has no such count.
        send: Sends one request; never raises for the network's sake.
        every_s: Pause between two questions.
        seen: Called with each observation.
        sent: Called with each exchange, for the step's histograms.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self,
        *,
        uniques: Query,
        totals: Query | None,
        send: Send,
        every_s: float,
        seen: Callable[[Observation], None],
        sent: Callable[[Exchange], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._uniques = uniques
        self._totals = totals
        self._send = send
        self._every_s = every_s
        self._seen = seen
        self._sent = sent
        self._clock = clock
        self._number = 0
        self._failed = 0
        self.observations: list[Observation] = []

    async def ask(self, *, totals: bool = False) -> Observation:
        """Ask once for the uniques, and with ``totals`` for the events as well."""
        asked_ns = self._clock()
        count, error = await self._count(self._uniques, "uniques")
        events: int | None = None
        if totals and self._totals is not None and not error:
            events, error = await self._count(self._totals, "totals")
        observation = Observation(
            asked_ns=asked_ns,
            answered_ns=self._clock(),
            uniques=None if error else count,
            totals=events,
            error=error,
        )
        self._failed = self._failed + 1 if error else 0
        self.observations.append(observation)
        self._seen(observation)
        return observation

    async def watch(self) -> None:
        """Ask again and again; runs until cancelled."""
        while True:
            await self.ask()
            await anyio.sleep(self._pause_s())

    async def settle(
        self, *, upper: int, since_ns: int, quiet_s: float, deadline_s: float
    ) -> Settlement:
        """Ask until the count has settled or the deadline has passed.

        Settled means: it is the upper bound, or it has not moved for ``quiet_s`` in answers to
        questions asked after the last acknowledgement.

        Args:
            upper: The most users that can have arrived, on top of what was counted before.
            since_ns: Instant of the last acknowledgement.
            quiet_s: How long the count must stand still.
            deadline_s: When to stop waiting, counted from ``since_ns``.
        """
        last: Observation | None = None
        moved_ns = since_ns
        settled = False
        error = ""
        while True:
            observation = await self.ask()
            error = observation.error or error
            now = self._clock()
            if observation.is_evidence and observation.asked_ns >= since_ns:
                if last is None or observation.uniques != last.uniques:
                    moved_ns = observation.asked_ns
                last = observation
                at_upper = observation.uniques == upper
                settled = at_upper or observation.asked_ns - moved_ns >= quiet_s * 1e9
            waited_s = (now - since_ns) / 1e9
            if settled or waited_s >= deadline_s:
                break
            await anyio.sleep(min(self._pause_s(), max(0.0, deadline_s - waited_s)))
        if last is not None and self._totals is not None:
            with_totals = await self.ask(totals=True)
            if with_totals.is_evidence:
                last = with_totals
        waited_s = (self._clock() - since_ns) / 1e9
        return Settlement(last=last, settled=settled, waited_s=waited_s, error=error)

    def _pause_s(self) -> float:
        """Return the pause before the next question: longer after each refusal in a row."""
        return min(self._every_s * 2.0**self._failed, max(self._every_s, _MAX_BACKOFF_S))

    async def _count(self, query: Query, name: str) -> tuple[int | None, str]:
        """Return a count and "", or None and why the answer is no evidence."""
        self._number += 1
        answer = await self._run(query)
        if not answer.success:
            return None, answer.exchange.reason or f"status {answer.exchange.status}"
        value = answer.values.get(name)
        count = _whole(value)
        if count is None:
            found = "nothing" if value is None else repr(value)[:60]
            return None, f"the answer holds no number of {name} where verify.{name} says: {found}"
        return count, ""

    async def _run(self, query: Query) -> Answer:
        flow = query.run(self._number)
        exchange: Exchange | None = None
        while True:
            try:
                effect = flow.send(exchange)  # type: ignore[arg-type]  # None starts it
            except StopIteration as stop:
                answer: Answer = stop.value
                self._sent(answer.exchange)
                return answer
            if exchange is not None:
                self._sent(exchange)
            if isinstance(effect, Pause):
                exchange = None
                await anyio.sleep(effect.seconds)
            else:
                exchange = await self._send(effect)


def _whole(value: Any) -> int | None:
    """Return a JSON value as a count; None if it is no whole number of zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value < 0 or value != int(value):
        return None
    return int(value)
