"""One load, put together from pure data: here, or in another process."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import pickle
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from loadcheck import scenario as scenarios
from loadcheck.load.engine import Listener, LoadSpec, open_engine
from loadcheck.load.runner import Begin
from loadcheck.measure.record import Record
from loadcheck.pipeline.labels import new_run
from loadcheck.pipeline.prepare import compile_scenario
from loadcheck.pipeline.target import Address, addressed, emulator_for

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
OPEN = "load={model='open', rate=200, duration='500ms'}"
CLOSED = "load={model='closed', concurrency=4, copies=60}"


def spec_of(load: str, address: Address) -> LoadSpec:
    scenario = scenarios.load(SCENARIOS / "smoke.toml", overrides=[load, "thresholds=[]"])
    run = new_run(scenario, datetime.now(UTC), address.supplied, seed=1)
    return compile_scenario(scenario, run, address, seed=1).load


async def sent(spec: LoadSpec) -> Record:
    async with open_engine(spec) as engine:
        engine.record.timeline.keeps_samples = True
        await engine.warm()
        await engine.run(Listener(), None)
    engine.record.close()
    return engine.record


def sent_from_here(packed: bytes) -> Record:
    return anyio.run(functools.partial(sent, pickle.loads(packed)))


@pytest.mark.anyio
async def test_another_process_sends_the_load_and_hands_its_record_back() -> None:
    smoke = scenarios.load(SCENARIOS / "smoke.toml")
    with addressed(smoke) as address:
        async with emulator_for(smoke, address, 1):
            packed = pickle.dumps(spec_of(OPEN, address))
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                there = await anyio.to_thread.run_sync(pool.submit(sent_from_here, packed).result)
    assert (there.started, there.acknowledged) == (100, 100)
    assert (there + there).acknowledged == 200, "it adds up with the record of another"


@pytest.mark.anyio
@pytest.mark.parametrize("load", [OPEN, CLOSED])
async def test_a_load_begins_at_the_instant_that_is_given(load: str) -> None:
    smoke, heard = scenarios.load(SCENARIOS / "smoke.toml"), []
    with addressed(smoke) as address:
        async with emulator_for(smoke, address, 1):
            spec = spec_of(load, address)
            async with open_engine(spec) as engine:
                await engine.warm()
                begin = Begin(time.monotonic_ns() + 2_000_000_000, 1_700_000_000_000)
                listener = Listener(began=lambda: heard.append(time.monotonic_ns()))
                await engine.run(listener, begin)
    assert engine.begin_ns == begin.ns
    assert len(heard) == 1
    record = engine.record
    assert record.acknowledged == record.started
    assert record.started + record.skipped > 0, "who comes late skips what is past"
    dispatched, latest = engine.record.dispatch_lag.percentile_ms(0), time.monotonic_ns()
    assert dispatched is None or dispatched >= 0, "nobody was started ahead of it"
    assert engine.record.load_ns <= latest - begin.ns


@pytest.mark.anyio
async def test_a_load_that_is_stopped_follows_its_copies_to_their_end() -> None:
    smoke = scenarios.load(SCENARIOS / "smoke.toml")
    with addressed(smoke) as address:
        async with emulator_for(smoke, address, 1):
            spec = spec_of("load={model='open', rate=100, duration='60s'}", address)
            async with open_engine(spec) as engine:
                await engine.run(Listener(second=lambda _: engine.stop()))
    record = engine.record
    assert record.started == record.acknowledged > 0
    assert record.started < 6000


@pytest.mark.anyio
async def test_the_collector_is_kept_away_until_the_last_of_several_loads_ends() -> None:
    smoke, before = scenarios.load(SCENARIOS / "smoke.toml"), gc.get_threshold()
    frozen, seen = gc.get_freeze_count(), []
    with addressed(smoke) as address:
        async with emulator_for(smoke, address, 1), AsyncExitStack() as stack:
            long = "load={model='open', rate=20, duration='60s'}"
            first, last = [
                await stack.enter_async_context(open_engine(spec_of(load, address)))
                for load in (CLOSED, long)
            ]
            async with anyio.create_task_group() as loads:
                ended = anyio.Event()

                async def wait() -> None:
                    await ended.wait()
                    seen.append((gc.get_threshold(), gc.get_freeze_count() > frozen))
                    last.stop()

                loads.start_soon(wait)
                loads.start_soon(last.run, Listener())
                await first.run(Listener())
                ended.set()
    (during,) = seen
    assert during[0][0] > before[0]
    assert during[1]
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
