"""The emulator's clock: real time, until somebody moves it."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds since the epoch.

    The wall clock is read once; from then on the monotonic clock counts, so that a step of the
    machine's clock in the middle of a run does not make events appear late or early.
    """

    __slots__ = ("_origin_ns", "_since_ns", "_speed", "_stopped_ms")

    def __init__(self) -> None:
        self._since_ns = time.monotonic_ns()
        self._origin_ns = time.time_ns()
        self._speed = 1.0
        self._stopped_ms: int | None = None

    def now_ms(self) -> int:
        """Return the emulated time."""
        if self._stopped_ms is not None:
            return self._stopped_ms
        passed_ns = time.monotonic_ns() - self._since_ns
        if self._speed != 1.0:
            passed_ns = int(passed_ns * self._speed)
        return (self._origin_ns + passed_ns) // 1_000_000

    @property
    def speed(self) -> float:
        """Emulated seconds in a real one."""
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Let time pass faster, or slower, from now on; delays of answers stay real."""
        now_ms, self._speed = self.now_ms(), speed
        self.set_to(now_ms)

    @property
    def stopped(self) -> bool:
        """Whether time passes only when it is moved."""
        return self._stopped_ms is not None

    def stop(self) -> None:
        """Stand still until moved or started."""
        self._stopped_ms = self.now_ms()

    def start(self) -> None:
        """Go on from the present emulated time."""
        now_ms, self._stopped_ms = self.now_ms(), None
        self.set_to(now_ms)

    def advance(self, ms: float) -> None:
        """Move the time forward."""
        self.set_to(self.now_ms() + int(ms))

    def set_to(self, epoch_ms: int) -> None:
        """Make it ``epoch_ms`` now."""
        if self._stopped_ms is not None:
            self._stopped_ms = epoch_ms
        self._origin_ns, self._since_ns = epoch_ms * 1_000_000, time.monotonic_ns()
