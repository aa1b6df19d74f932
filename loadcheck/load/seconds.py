"""Calls back once a second while a run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio


async def each_second(
    begin_ns: int,
    close: Callable[[int], None],
    clock: Callable[[], int] = time.monotonic_ns,
) -> None:
    """Call ``close(i)`` when second ``i`` since ``begin_ns`` is over; runs until cancelled.

    When the loop was held up for longer than a second, only the latest second is told.
    """
    second = -1
    while True:
        gap_ns = begin_ns + (second + 2) * 1_000_000_000 - clock()
        await anyio.sleep(max(0.0, gap_ns / 1e9))
        passed = (clock() - begin_ns) // 1_000_000_000 - 1
        if passed > second:
            second = passed
            close(second)
