"""Users whose fate is known: sent ones must become visible, unsent ones must not.

A count that stands still below what was acknowledged may mean that users are lost, or that the
service has stopped to show new ones. So users of a sister run are sent after the last copy. If one
of them is counted, the service counts what came later than the missing, and the missing are lost;
if none is, it proves nothing. And the query for a run that never was must count nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anyio import sleep

from loadcheck.verify.query_client import QueryClient
from loadcheck.verify.verdict import Finding, Verdict
from loadcheck.workflow.exchange import Exchange, Pause, Request
from loadcheck.workflow.runtime.plan import Flow, Query

SENT = 3
"""Control users."""

Copy = Callable[[int], "Flow[bool]"]
Send = Callable[[Request], Awaitable[Exchange]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlResult:
    """What the controls showed. None means unknown.

    Attributes:
        acknowledged: Control users that were acknowledged; None if none were sent.
        visible: Those that the service counts.
        unsent: Users that it counts of a run that never was.
    """

    acknowledged: int | None = None
    visible: int | None = None
    unsent: int | None = None

    @property
    def silent(self) -> bool:
        """Whether control users were sent, and the service shows none of them."""
        return self.acknowledged is not None and not self.visible

    @property
    def leaking(self) -> bool:
        """Whether users are counted that were never sent."""
        return bool(self.unsent)


class Controls:
    """Sends control users and asks for them.

    Args:
        copy: The run of one control user, by number.
        ingest: Index of the step whose success is the acknowledgement.
        sent: The query for the users of the sister run.
        unsent: The query for those of a run that never was.
        asker: Sends the queries.
        send: Sends the control users.
        cost: What a query costs.
    """

    def __init__(
        self,
        *,
        copy: Copy,
        ingest: int,
        sent: Query,
        unsent: Query,
        asker: QueryClient,
        send: Send,
        cost: int,
    ) -> None:
        self._copy = copy
        self._ingest = ingest
        self._sent = sent
        self._unsent = unsent
        self._asker = asker
        self._send = send
        self._cost = cost
        self.acknowledged: int | None = None
        self.at_ns = 0

    async def send(self) -> None:
        """Send the control users."""
        acknowledged = 0
        for number in range(SENT):
            acknowledged += await self._run(self._copy(number))
        self.acknowledged = acknowledged
        self.at_ns = self._asker.clock()

    async def visible(self) -> int | None:
        """Return how many of them the service counts; None if it did not say."""
        reply = await self._asker.ask(self._sent, self._cost)
        return reply.count("uniques")[0]

    async def unsent(self) -> int | None:
        """Return how many users it counts that were never sent; None if it did not say."""
        reply = await self._asker.ask(self._unsent, self._cost)
        return reply.count("uniques")[0]

    async def _run(self, flow: Flow[bool]) -> bool:
        """Run one control user and return whether it was acknowledged."""
        exchange: Exchange | None = None
        acknowledged = False
        while True:
            try:
                effect = flow.send(exchange)  # type: ignore[arg-type]  # None starts it
            except StopIteration:
                effect = None
            if exchange is not None and exchange.request.step == self._ingest:
                acknowledged = acknowledged or exchange.success
            if effect is None:
                return acknowledged
            if isinstance(effect, Pause):
                exchange = None
                await sleep(effect.seconds)
            else:
                exchange = await self._send(effect)


def judge_controls(controlled: ControlResult) -> Finding | None:
    """Return what the controls say; None if there were none."""
    evidence = {
        "acknowledged": controlled.acknowledged,
        "visible": controlled.visible,
        "unsent": controlled.unsent,
    }
    if controlled.leaking:
        return Finding(
            check="controls",
            verdict=Verdict.UNKNOWN,
            summary=f"The query counts {controlled.unsent:,} users of a run that never was, so its "
            "filter for the run does not work and no count can be trusted: look at the overlay of "
            "the observer step.",
            evidence=evidence,
        )
    if controlled.acknowledged is None:
        if controlled.unsent is None:
            return None
        return Finding(
            check="controls",
            verdict=Verdict.PASS,
            summary="The query counts nobody of a run that never was.",
            evidence=evidence,
        )
    if controlled.silent:
        why = (
            "none of them is counted, so so it has stopped showing new users, or shows them later "
            "than verify.deadline"
            if controlled.acknowledged
            else "none of them was acknowledged"
        )
        return Finding(
            check="controls",
            verdict=Verdict.UNKNOWN,
            summary=f"To see whether the service still counts, {SENT} more users were sent after "
            f"the last copy: {why}. Ask again later with loadcheck reconcile.",
            evidence=evidence,
        )
    visible = controlled.visible or 0
    verdict = Verdict.PASS if visible >= controlled.acknowledged else Verdict.UNKNOWN
    return Finding(
        check="controls",
        verdict=verdict,
        summary=f"{visible:,} of {controlled.acknowledged:,} control users, sent after the last "
        "copy, are counted: the service does count what came later than the missing.",
        evidence=evidence,
    )
