from __future__ import annotations

import gc
import time

import anyio
import pytest

from loadcheck.load.monitor import Monitor


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
