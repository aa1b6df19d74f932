"""Copies that take their time: that think between their steps, or upload more than once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from loadcheck.data.visits import Visits
from loadcheck.load.slices import Copies
from loadcheck.workflow.exchange import Gap, Request, Think
from loadcheck.workflow.runtime.batch import Refuse
from loadcheck.workflow.runtime.program import Flow, RetryPolicy

Wait = Callable[[int, int], float]
"""Gives the seconds of a wait from the copy's number and how often it has waited before."""


class ThinkingPlan:
    """A plan whose copies wait before each step but the first.

    Args:
        plan: What they do otherwise.
        think: How long they wait.
    """

    def __init__(self, plan: Copies, think: Wait) -> None:
        self._plan = plan
        self._think = think

    def copy(self, number: int, time_ms: int, retry: RetryPolicy, /) -> Flow[bool]:
        """Return the flow of a copy."""
        return _thinking(self._plan.copy(number, time_ms, retry), self._think, number)

    def batch(
        self, numbers: Sequence[int], time_ms: int, retry: RetryPolicy, refuse: Refuse, /
    ) -> Flow[bool]:
        """Return the flow of copies that share requests: they have one step."""
        return self._plan.batch(numbers, time_ms, retry, refuse)


def _thinking(flow: Flow[bool], think: Wait, number: int) -> Flow[bool]:
    """Run a flow with a wait before each request of another step than the one before."""
    exchange, step, turn = None, -1, 0
    try:
        while True:
            try:
                effect = flow.send(exchange)  # type: ignore[arg-type]  # None starts it
            except StopIteration as ended:
                result: bool = ended.value
                return result
            if isinstance(effect, Request) and effect.step != step:
                if step >= 0:
                    # judged before the wait: nobody needs the answer meanwhile
                    exchange = None
                    yield Think(think(number, turn))
                    turn += 1
                step = effect.step
            exchange = yield effect
    finally:
        flow.close()


class SessionPlan:
    """A plan whose copies run it several times, each time as another upload of one user.

    Args:
        plan: What they do each time, by the number of the upload.
        visits: How often, and how long they wait between.
    """

    def __init__(self, plan: Copies, visits: Visits) -> None:
        self._plan = plan
        self._visits = visits

    def copy(self, number: int, time_ms: int, retry: RetryPolicy, /) -> Flow[bool]:
        """Return the flow of a copy."""
        visits, plan = self._visits, self._plan
        first = number * visits.most
        success = yield from plan.copy(first, time_ms, retry)
        for turn in range(1, visits.uploads(number)):
            yield Gap(visits.gap(number, turn))
            now_ms = time.time_ns() // 1_000_000
            success &= yield from plan.copy(first + turn, now_ms, retry)
        return success

    def batch(
        self, numbers: Sequence[int], time_ms: int, retry: RetryPolicy, refuse: Refuse, /
    ) -> Flow[bool]:
        """Return the flow of copies that share requests: they upload once."""
        return self._plan.batch(numbers, time_ms, retry, refuse)
