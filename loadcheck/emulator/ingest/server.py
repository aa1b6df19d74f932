"""A planted capacity: uploads are served one after the other, each for as long as the last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadcheck.emulator.http.message import Answer, Request

_TIMER_MS = 0.5
"""Timers are good to a millisecond: what would round to none is not waited for."""


class SingleServer:
    """One server with a queue before it that has no end, and a service time that never varies.

    Below its rate nobody waits; above it the queue grows by the difference, second after second.

    Args:
        rate: Uploads that are served in a second, over all endpoints it is put before.
        clock: Monotonic nanoseconds; real time, because delays are.
    """

    def __init__(self, rate: float, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._each_ns = 1e9 / rate
        self._clock = clock
        self._free_ns = 0.0

    def wait_ms(self) -> float:
        """Queue one upload; return how long it takes until it has been served."""
        now_ns = self._clock()
        self._free_ns = max(float(now_ns), self._free_ns) + self._each_ns
        return (self._free_ns - now_ns) / 1e6

    def before(self, application: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        """Return an application whose answers leave when they have been served."""

        def answer(request: Request) -> Answer:
            answered = application(request)
            wait_ms = self.wait_ms()
            if wait_ms >= _TIMER_MS:
                answered.delay_ms += wait_ms
            return answered

        return answer
