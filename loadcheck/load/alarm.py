"""A timer as exact as the kernel's, for waits that an event loop rounds to a millisecond.

A single process turns its loop for the rest of a wait instead: it is some 50 µs nearer then, and
keeps a core busy. Several that did so would take it from their target and from each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

_ABSOLUTE = 1
_S = 1_000_000_000


class Alarm:
    """Wakes one task of an asyncio loop at instants of the monotonic clock.

    Args:
        fd: A timer of the kernel's, which becomes readable when it rings.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._settime = ctypes.CDLL(None).timerfd_settime
        self._times = (ctypes.c_long * 4)()
        self._rung: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def sleep_until(self, instant_ns: int) -> None:
        """Return at an instant, or when the other tasks have had a turn if it has passed."""
        times = self._times
        times[2], times[3] = divmod(max(1, instant_ns), _S)
        self._settime(self._fd, _ABSOLUTE, times, None)
        self._rung = self._loop.create_future()
        await self._rung

    def ring(self) -> None:
        """Wake the task that waits."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        if self._rung is not None and not self._rung.done():
            self._rung.set_result(None)


@contextmanager
def open_alarm() -> Iterator[Alarm | None]:
    """Open a timer for the running loop; None where the system has none (it is Linux's)."""
    create = getattr(ctypes.CDLL(None), "timerfd_create", None)
    fd = -1 if create is None else create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        yield None
        return
    loop, alarm = asyncio.get_running_loop(), Alarm(fd)
    loop.add_reader(fd, alarm.ring)
    try:
        yield alarm
    finally:
        loop.remove_reader(fd)
        os.close(fd)
