"""The emulator's clock: real time, shifted by what a test has moved it."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds since the epoch, never going backwards but by :meth:`set_to`.

    The wall clock is read once; from then on the monotonic clock counts, so that a step of the
    machine's clock in the middle of a run does not make events appear late or early.
    """

    __slots__ = ("_origin_ns",)

    def __init__(self) -> None:
        self._origin_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Return the emulated time."""
        return (self._origin_ns + time.monotonic_ns()) // 1_000_000

    def advance(self, ms: float) -> None:
        """Move the time forward."""
        self._origin_ns += int(ms * 1_000_000)

    def set_to(self, epoch_ms: int) -> None:
        """Make it ``epoch_ms`` now."""
        self._origin_ns = epoch_ms * 1_000_000 - time.monotonic_ns()
