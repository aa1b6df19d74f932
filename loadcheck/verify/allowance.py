"""What may still be asked: the service's query budget, kept on our side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from anyio import sleep


class Allowance:
    """A sum of costs in a sliding window, kept so that the service need not refuse.

    Others may draw on the same budget, so a refusal can come all the same.

    Args:
        cost: The most that all queries of a window may cost.
        window_s: Its length.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self, cost: int, window_s: float, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._limit = cost
        self._window_ns = int(window_s * 1e9)
        self._clock = clock
        self._spent: deque[tuple[int, int]] = deque()
        self._total = 0

    async def spend(self, cost: int) -> None:
        """Wait until so much may be spent, and spend it."""
        while True:
            wait_s = self.wait_s(cost)
            if wait_s <= 0:
                break
            await sleep(wait_s)
        self._spent.append((self._clock(), cost))
        self._total += cost

    def wait_s(self, cost: int) -> float:
        """Return how long to wait before so much may be spent; 0 if it may be now.

        What costs more than a whole window allows waits for an empty one.
        """
        now = self._clock()
        while self._spent and self._spent[0][0] <= now - self._window_ns:
            self._total -= self._spent.popleft()[1]
        excess = self._total + cost - max(self._limit, cost)
        for at, paid in self._spent:
            if excess <= 0:
                break
            excess -= paid
            if excess <= 0:
                return (at + self._window_ns - now) / 1e9
        return 0.0

    def pace_s(self, cost: int, *, span_s: float, reserve: int) -> float:
        """Return the shortest even pause between queries that keeps within the budget.

        Args:
            cost: What each of them costs.
            span_s: How long they go on; infinity if that is not known.
            reserve: What is kept back for others, at most half of the budget.
        """
        left = self._limit - min(reserve, self._limit // 2)
        return min(span_s, self._window_ns / 1e9) * cost / max(left, 1)
