from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import anyio
import pytest

from loadcheck.load.engine import Alarm, apart_ns, open_alarm
from loadcheck.load.pacer import pacer_of
from loadcheck.load.slices import Slice, SlicedPacer
from loadcheck.scenario.model import OpenLoad, Stage

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


async def test_an_instant_far_away_is_asked_for_again_meanwhile() -> None:
    def instants() -> Iterator[int]:
        for _ in range(3):  # as a load does that may be stopped
            yield time.monotonic_ns() + 3_600_000_000_000

    with open_alarm() as alarm:
        assert alarm is not None
        with anyio.fail_after(60):
            await alarm.follow(instants())


@pytest.mark.parametrize("apart", [100_000, 250_000])
async def test_what_falls_due_meanwhile_goes_together(apart: int) -> None:
    for_ns, asked = 20_000_000, 0

    def instants() -> Iterator[int]:
        nonlocal asked
        end_ns = time.monotonic_ns() + for_ns
        while (now_ns := time.monotonic_ns()) < end_ns:
            asked += 1
            yield now_ns + 1000

    with open_alarm(apart) as alarm:
        assert alarm is not None
        await alarm.follow(instants())
    assert 0 < asked <= for_ns // apart + 1


def test_only_a_worker_of_a_fast_load_waits_for_several() -> None:
    def of(rate: float, workers: int = 1) -> SlicedPacer:
        stage = Stage(name="only", duration_s=1, rate=rate, end_rate=rate)
        load = OpenLoad(stages=(stage,))
        pacer = pacer_of(load, 1)
        assert pacer is not None
        return SlicedPacer.of(pacer, Slice(index=0, of=workers))

    assert apart_ns(of(15_999)) == apart_ns(of(16_000), 10) == apart_ns(None) == 100_000
    assert apart_ns(of(16_000)) == apart_ns(of(32_000, 2)) == 250_000
