"""How many workers share a load, where they run, and what each is told."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from loadcheck.errors import InputError, Problem
from loadcheck.load.slices import Slice
from loadcheck.pipeline.shards.bundle import Bundle, bundle
from loadcheck.pipeline.shards.coordinator import ShardedEngine
from loadcheck.pipeline.shards.dask import DaskEngine
from loadcheck.pipeline.shards.remote import Engine, Local, Message
from loadcheck.pipeline.shards.spec import (
    ShardSpec,
    fingerprint,
    inline_secrets,
    mark,
    refuse_too_few,
    variables,
)
from loadcheck.pipeline.target import Address
from loadcheck.scenario.model import Scenario
from loadcheck.verify.compiled import CompiledScenario

_Started = TypeVar("_Started")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Where workers run, and what is done when one is lost.

    Attributes:
        scheduler: Address of a Dask scheduler whose workers they run on; None: they are processes
            that we start.
        keep_going: Go on with the others when one is lost.
        environment: Where the scenario's variables are.
    """

    scheduler: str | None = None
    keep_going: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def wanted(self, scenario: Scenario) -> bool:
        """Return whether the load is shared at all."""
        load = scenario.load
        return load.workers is not None or bool(load.prefixes) or self.scheduler is not None

    def check(self, scenario: Scenario) -> None:
        """See that what is asked for can be, as far as that is known before anything starts.

        Raises:
            InputError: It cannot.
        """
        load = scenario.load
        if self.scheduler is not None and load.prefixes:
            message = "contradicts --scheduler: its workers are the cluster's"
            remedy = "leave one of them out"
            raise InputError(scenario.problem("load.prefixes", message, remedy))
        if self.scheduler is None and self.wanted(scenario):
            refuse_too_few(scenario, count(scenario))


def count(scenario: Scenario) -> int:
    """Return how many processes of ours share a load."""
    load = scenario.load
    if load.workers is None:
        return max(1, len(load.prefixes))
    if load.workers:
        return load.workers
    return max(1, cores() - (scenario.target.kind == "emulator"))


def cores() -> int:
    """Return how many cores this process may use; two threads of one core are one."""
    try:
        usable = os.sched_getaffinity(0)
    except AttributeError:
        return os.cpu_count() or 1
    found = set()
    for cpu in usable:
        siblings = str(cpu)
        with suppress(OSError):
            path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
            siblings = path.read_text(encoding="ascii").strip()
        found.add(siblings)
    return len(found)


@asynccontextmanager
async def open_workers(
    compiled: CompiledScenario,
    workers: Workers,
    address: Address,
    signals: AsyncIterator[signal.Signals],
) -> AsyncIterator[ShardedEngine]:
    """Start the workers of a load; they are let go of when the block ends.

    Args:
        compiled: What to do.
        workers: Where they run.
        address: Where requests go.
        signals: What ends the waiting for them.

    Raises:
        InputError: One cannot do its part; nothing was sent.
        KeyboardInterrupt: A signal came first; nothing was sent.
    """
    scenario = compiled.scenario
    engine: Engine
    if workers.scheduler is None:
        number = count(scenario)
        engine = Local([shlex.split(prefix) for prefix in scenario.load.prefixes])
    else:
        engine = DaskEngine(workers.scheduler)
        number = await _unless(signals, engine.connect(scenario.load.workers or None))
    sharded = ShardedEngine(compiled.load, compiled.plan, engine, keep_going=workers.keep_going)
    try:
        refuse_too_few(scenario, number)
        specs = _specs(compiled, engine, address, number, workers)
        await _unless(signals, sharded.open(specs, fingerprint(compiled)))
        yield sharded
    finally:
        await sharded.shut()


async def _unless(
    signals: AsyncIterator[signal.Signals], starting: Coroutine[Any, Any, _Started]
) -> _Started:
    """Wait for what starts.

    Raises:
        KeyboardInterrupt: A signal came first.
    """
    start, heard = asyncio.ensure_future(starting), asyncio.ensure_future(_next(signals))
    try:
        await asyncio.wait({start, heard}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            raise KeyboardInterrupt
        return start.result()
    finally:
        for task in (start, heard):
            task.cancel()
        await asyncio.wait({start, heard})


async def _next(signals: AsyncIterator[signal.Signals]) -> signal.Signals:
    return await anext(signals)


def _specs(
    compiled: CompiledScenario, engine: Engine, address: Address, number: int, workers: Workers
) -> list[Message]:
    """Return what each worker is told.

    Raises:
        InputError: Secrets would travel where others can read them, or a file cannot be read.
    """
    known = variables(compiled.scenario, workers.environment)
    if compiled.run.target and not engine.private:
        message = "the credentials of the embedded emulator would travel in the clear"
        remedy = 'take a scheduler on tls://, or target.kind = "live"'
        raise InputError(Problem(key="--scheduler", message=message, remedy=remedy))
    if compiled.setup is not None and not engine.private:
        message = "what the set-up gives would travel in the clear"
        remedy = "take a scheduler on tls://, or leave [setup] out"
        raise InputError(Problem(key="--scheduler", message=message, remedy=remedy))
    found = [] if engine.private else [*inline_secrets(compiled.scenario)]
    if found:
        message = "is written in the scenario, which would travel in the clear"
        remedy = 'take a scheduler on tls://, or { env = "NAME" }, set on its workers'
        raise InputError([compiled.scenario.problem(key, message, remedy) for key in found])
    together = compiled.load.load.copies_per_request
    specs = [
        ShardSpec(
            document=compiled.scenario.document,
            file=str(Path(compiled.scenario.file).absolute()),
            run=compiled.run,
            servers=address.servers,
            seed=compiled.seed,
            consent=compiled.load.transport.consent,
            part=Slice(index=index, of=number, together=together),
            # where nobody else can read them; else each must have them of its own
            environment=known if engine.private else None,
            marks={name: mark(compiled.run.id, value) for name, value in known.items()},
        )
        for index in range(number)
    ]
    files = Bundle()
    if engine.foreign:
        files = bundle(replace(specs[0], environment=known), private=engine.private)
    return [{**spec.message(), "files": files.message()} for spec in specs]
