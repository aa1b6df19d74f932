"""Wakes many who wait: one task and one heap, however many there are."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint

_T = TypeVar("_T")
_TICK_S = 0.002
"""Those who are to be woken within it are woken together: a timer each would cost more than all
else that a copy does."""
_AT_ONCE = 64
"""So many are woken before the loop has its turn."""


class WaitQueue(Generic[_T]):
    """Calls back at instants.

    Args:
        clock: Monotonic nanoseconds.
        wake: Called with whoever has waited.

    Attributes:
        serving: Whether somebody runs :meth:`serve`; for that one to say.
    """

    def __init__(self, clock: Callable[[], int], wake: Callable[[_T], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._waiting: list[tuple[int, int, _T]] = []
        self._count = 0
        self._changed = anyio.Event()
        self._until_ns = 0
        self.serving = False

    def add(self, at_ns: int, who: _T) -> None:
        """Wake somebody at an instant, or up to 2 ms later."""
        self._count += 1
        heapq.heappush(self._waiting, (at_ns, self._count, who))
        if at_ns < self._until_ns:
            self._changed.set()

    async def serve(self) -> None:
        """Wake whoever is to be woken; runs until cancelled."""
        while True:
            self._changed = anyio.Event()
            gap_s = self._ring()
            if gap_s is None:
                self._until_ns = 1 << 62
                await self._changed.wait()
            elif gap_s <= 0:
                await checkpoint()
            else:
                self._until_ns = self._waiting[0][0]
                with anyio.move_on_after(max(gap_s, _TICK_S)):
                    await self._changed.wait()
            self._until_ns = 0

    def _ring(self) -> float | None:
        """Wake some; return the seconds until the next is due, None if none waits."""
        waiting = self._waiting
        for _ in range(_AT_ONCE):
            if not waiting:
                return None
            gap_ns = waiting[0][0] - self._clock()
            if gap_ns > 0:
                return gap_ns / 1e9
            self._wake(heapq.heappop(waiting)[2])
        return 0.0
