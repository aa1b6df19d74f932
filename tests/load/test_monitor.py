from __future__ import annotations

import contextlib
import gc
import os
import platform
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest

from loadcheck.load.monitor import Monitor, take_short_turns
from loadcheck.measure.changes import moving, still


@pytest.mark.anyio
async def test_a_loop_that_is_held_up_shows_as_lag() -> None:
    monitor = Monitor()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.watch_loop)
        await anyio.sleep(0.05)
        time.sleep(0.2)  # noqa: ASYNC251  # the fault that is to be seen
        await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()
    assert (monitor.loop_lag.percentile_ms(100) or 0) > 150
    assert monitor.loop_lag.count >= 3


def test_passes_of_the_collector_and_the_processor_are_timed() -> None:
    monitor = Monitor()
    callbacks = list(gc.callbacks)
    with monitor.measuring():
        gc.collect()
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
    assert monitor.gc_pauses.count >= 1
    assert monitor.cpu_s >= 0.05
    assert monitor.watched_s >= 0.05
    assert gc.callbacks == callbacks


@pytest.mark.skipif(sys.platform != "linux", reason="the scheduler is Linux's")
def test_what_is_reported_meanwhile_holds_the_processors_time_so_far() -> None:
    monitor = Monitor()
    seen = []
    with monitor.measuring():
        for _ in range(2):
            busy_until = time.process_time() + 0.02
            while time.process_time() < busy_until:
                pass
            seen.append(moving(still(monitor)))
    seen.append(monitor)
    assert 0.02 <= seen[0].cpu_s <= seen[1].cpu_s - 0.02 <= seen[2].cpu_s - 0.02
    assert 0 < seen[0].watched_s < seen[1].watched_s <= seen[2].watched_s
    ended = monitor.cpu_s, monitor.watched_s
    again = moving(still(monitor))
    assert (again.cpu_s, again.watched_s) == ended


def test_short_turns_are_asked_for_and_nothing_else_changes() -> None:
    found: list[tuple[bool, int, int, int]] = []

    def ask() -> None:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        asked = take_short_turns()
        found.append((asked, before, os.getpriority(os.PRIO_PROCESS, 0), _slice_ns()))

    # what a thread asks for is for itself
    whole_ns = _slice_ns()
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    ((asked, before, after, slice_ns),) = found
    assert after == before
    assert _slice_ns() == whole_ns
    release = tuple(map(int, platform.release().split(".")[:2]))
    if asked and slice_ns and release >= (6, 12):
        assert slice_ns == 100_000


def _slice_ns() -> int:
    """Return how long a turn of this thread is; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/thread-self/sched").read_text().splitlines():
            if line.startswith("se.slice"):
                return int(line.split(":")[1])
    return 0
