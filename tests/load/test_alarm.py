from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import anyio
import pytest

from loadcheck.load.engine import Alarm, open_alarm

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel's timer is Linux's"),
]


async def waited(alarm: Alarm, for_ns: int) -> int:
    """Return how long after the instant a wait ended."""
    instant = time.monotonic_ns() + for_ns
    await alarm.follow(iter((instant,)))
    return time.monotonic_ns() - instant


async def test_no_wait_ends_before_its_instant() -> None:
    with open_alarm() as alarm:
        assert alarm is not None
        assert all([await waited(alarm, us * 1000) >= 0 for us in range(0, 3000, 100)])


async def test_an_instant_that_has_passed_is_no_wait() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1

    with open_alarm() as alarm:
        assert alarm is not None
        other = asyncio.ensure_future(turn())
        await alarm.follow(iter((-5, 0)))
        assert (turns, other.done()) == (1, True), "others had a turn"


async def test_a_wait_that_is_given_up_leaves_nothing_behind() -> None:
    with open_alarm() as alarm:
        assert alarm is not None
        for _ in range(3):
            with anyio.move_on_after(0.001):
                await alarm.follow(iter((time.monotonic_ns() + 60_000_000_000,)))
            # an alarm of before must not end this one
            assert await waited(alarm, 3_000_000) >= 0


async def test_what_goes_wrong_between_two_instants_is_raised_where_it_is_waited_for() -> None:
    def instants() -> Iterator[int]:
        yield 0
        raise OSError("no more")

    with open_alarm() as alarm:
        assert alarm is not None
        with pytest.raises(OSError, match="no more"):
            await alarm.follow(instants())
        assert await waited(alarm, 3_000_000) >= 0


async def test_what_falls_due_within_a_tenth_of_a_millisecond_goes_together() -> None:
    for_ns, asked = 20_000_000, 0

    def instants() -> Iterator[int]:
        nonlocal asked
        end_ns = time.monotonic_ns() + for_ns
        while (now_ns := time.monotonic_ns()) < end_ns:
            asked += 1
            yield now_ns + 1000

    with open_alarm() as alarm:
        assert alarm is not None
        await alarm.follow(instants())
    assert 0 < asked <= for_ns // 100_000 + 1
