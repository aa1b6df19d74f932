"""Watches the generator itself, so that its own delays are not mistaken for the target's.

It also requests from the operating system what a load needs (open files, which bound its
connections, and prompt turns on a CPU), and calls back once a second during a run.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio

from loadcheck.errors import InputError, Problem
from loadcheck.measure import Recorded
from loadcheck.measure.changes import register
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.record import StageRecord
from loadcheck.measure.timeline import PAUSE_NS, RESOLUTION_NS, Stalls

_EVERY_NS = 10_000_000


_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""Unlike the monotonic clock, it runs on while the machine sleeps; None if there is none."""


def _asleep_ns() -> int:
    """Return for how many ns the machine has slept since it was booted; 0 if unknown."""
    return 0 if _BOOT_CLOCK is None else time.clock_gettime_ns(_BOOT_CLOCK) - time.monotonic_ns()


@register
class Monitor(Recorded):
    """Self-measurements of the generator: loop lag, GC pauses, CPU.

    Args:
        stages: Stages of the load that are measured on their own.
        stalls: Receives the stretches of time in which the event loop was not served.
        asleep_ns: Returns for how long the machine has slept.

    Attributes:
        loop_lag: How much later than requested a sleeping task ran, beyond the millisecond to which
            timers are exact: as long may any response have waited to be read. A sample every 10 ms.
        stalls: When the event loop was not served.
        gc_pauses: Length of each pass of Python's garbage collector.
        watched_s: For how many seconds the generator was measured.
    """

    def __init__(
        self,
        stages: Iterable[StageRecord] = (),
        stalls: Stalls | None = None,
        asleep_ns: Callable[[], int] = _asleep_ns,
    ) -> None:
        self.loop_lag = Histogram()
        self.gc_pauses = Histogram()
        self._cpu_ns = 0
        self.watched_s = 0.0
        self._counted: tuple[int, float] | None = None
        self.stalls = Stalls() if stalls is None else stalls
        self._asleep_ns = asleep_ns
        self._stages = tuple(stages)
        self._pass_began_ns = 0

    async def watch_loop(self) -> None:
        """Sample the loop's lag; runs until cancelled."""
        try:
            await self._sample()
        finally:
            self.stalls.next_turn_ns = 0

    async def _sample(self) -> None:
        slept_ns = self._asleep_ns()
        while True:
            began_ns = time.monotonic_ns()
            self.stalls.next_turn_ns = began_ns + _EVERY_NS
            await anyio.sleep(_EVERY_NS / 1e9)
            now_ns = time.monotonic_ns()
            lag_ns = max(0, now_ns - began_ns - _EVERY_NS - RESOLUTION_NS)
            self.loop_lag.record(lag_ns)
            if lag_ns:
                self.stalls.add(self.stalls.next_turn_ns, now_ns)
            asleep_ns = self._asleep_ns()
            if asleep_ns - slept_ns >= PAUSE_NS:
                self.stalls.suspended(now_ns, asleep_ns - slept_ns)
                slept_ns = asleep_ns
            for stage in self._stages:
                if stage.contains(now_ns):
                    stage.loop_lag.record(lag_ns)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure garbage collection and CPU time for the length of a block."""
        self._counted = time.process_time_ns(), time.monotonic()
        gc.callbacks.append(self._collected)
        try:
            yield
        finally:
            gc.callbacks.remove(self._collected)
            self._count()
            self._counted = None

    def _count(self) -> None:
        """Count the CPU time used since the last call, while it is measured."""
        if self._counted is not None:
            cpu_ns, seconds = self._counted
            self._counted = time.process_time_ns(), time.monotonic()
            self._cpu_ns += self._counted[0] - cpu_ns
            self.watched_s += self._counted[1] - seconds

    def _collected(self, phase: str, _info: dict[str, int]) -> None:
        now_ns = time.monotonic_ns()
        if phase == "start":
            self._pass_began_ns = now_ns
        else:
            self.gc_pauses.record(now_ns - self._pass_began_ns)

    @property
    def cpu_s(self) -> float:
        """CPU time used while the generator was measured, in all threads."""
        return self._cpu_ns / 1e9

    def __getstate__(self) -> tuple[Any, ...]:
        self._count()  # a worker reports it every second
        return self.loop_lag, self.gc_pauses, self._cpu_ns, self.watched_s, self.stalls

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        Monitor.__init__(self)
        self.loop_lag, self.gc_pauses, self._cpu_ns, self.watched_s, self.stalls = state

    def __add__(self, other: Monitor) -> Monitor:
        """Return the measurements of both generators: their CPU times add up."""
        merged = Monitor(stalls=self.stalls + other.stalls)
        merged.loop_lag = self.loop_lag + other.loop_lag
        merged.gc_pauses = self.gc_pauses + other.gc_pauses
        merged._cpu_ns = self._cpu_ns + other._cpu_ns
        merged.watched_s = max(self.watched_s, other.watched_s)
        return merged


def raise_open_file_limit(needed: int) -> None:
    """Raise this process's limit on open files, if it is below what the load may need.

    Raises:
        InputError: The system does not allow as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InputError(
            Problem(
                key="load",
                message=f"needs {needed:,} open files; this process may have {hard:,}",
                remedy="lower load.max_in_flight (or load.concurrency), or raise `ulimit -n`",
            )
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The system call ``sched_setattr``."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
_SLICE_NS = 100_000
"""The shortest time slice that Linux grants."""


def take_short_turns() -> bool:
    """Ask the scheduler to run this thread as soon as it wakes, for a short while each time.

    It gets no more of a core than before. Where it shares one with the target, it would otherwise
    wait until the target has had its turn of some milliseconds. Linux grants this from 6.12 on, to
    any process; older versions ignore it.

    Returns:
        Whether the system call succeeded.
    """
    call = _SET_ATTRIBUTES.get(os.uname().machine) if sys.platform == "linux" else None
    if call is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    size, nice = _ATTRIBUTES.size, os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(size, os.SCHED_OTHER, 0, nice, 0, _SLICE_NS, 0, 0)
    return not ctypes.CDLL(None).syscall(call, 0, attributes, 0)


async def each_second(
    begin_ns: int,
    close: Callable[[int], None],
    clock: Callable[[], int] = time.monotonic_ns,
) -> None:
    """Call ``close(i)`` when second ``i`` since ``begin_ns`` is over; runs until cancelled.

    If the loop stalls for more than a second, only the latest one is reported.
    """
    second = -1
    while True:
        gap_ns = begin_ns + (second + 2) * 1_000_000_000 - clock()
        await anyio.sleep(max(0.0, gap_ns / 1e9))
        passed = (clock() - begin_ns) // 1_000_000_000 - 1
        if passed > second:
            second = passed
            close(second)
