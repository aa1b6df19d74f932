"""The program: scenario → plan → load → observe → reconcile → result."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Self

import anyio

from loadcheck.errors import innermost
from loadcheck.load.engine import LoadEngine, open_engine
from loadcheck.load.monitor import raise_open_file_limit
from loadcheck.load.pacer import max_requests
from loadcheck.load.transport.httpx_ import httpx_transport
from loadcheck.pipeline import deletion, warnings
from loadcheck.pipeline import plan as plans
from loadcheck.pipeline.labels import new_run, with_facts
from loadcheck.pipeline.prepare import compile_scenario
from loadcheck.pipeline.session import CompletedRun, RunContext, RunSession
from loadcheck.pipeline.shards import Workers, open_workers
from loadcheck.pipeline.shards.coordinator import ShardedEngine
from loadcheck.pipeline.target import (
    Address,
    addressed,
    destinations,
    emulator_for,
    require_consent,
)
from loadcheck.result import document
from loadcheck.result.document import ResultSink, ResultWriter
from loadcheck.result.store import ResultFile, default_name
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import redactor
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.progress import ProgressView
from loadcheck.verify.query_client import QueryChannel

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The first ends the load, the second everything that still goes on."""
REPEATED_S = 0.5
"""A signal repeated within this time counts once: a terminal and a parent may both send it."""
_SPARE_FILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Command-line options of a run.

    Attributes:
        results: Directory of the results file, if ``output`` does not name one.
        output: The results file.
        replace: Overwrite an existing results file.
        seed: Overrides the scenario's seed.
        consent: The run may leave this machine.
        signals: The first Ctrl-C or the like ends the load, the second what still goes on; False:
            the caller decides what signals do.
        workers: The workers that send the load, if this process does not.
        approved: Digest of the approved plan; any other run is refused.
        force_limits: Exceed limits that the service documents.
        preflight: What the preflight just before has sent and queried, counted.
    """

    results: Path = Path("results")
    output: Path | None = None
    replace: bool = False
    seed: int | None = None
    consent: bool = False
    signals: bool = True
    workers: Workers = field(default_factory=Workers)
    approved: str | None = None
    force_limits: bool = False
    preflight: Mapping[str, int] = field(default_factory=dict)


async def run(scenario: Scenario, options: Options, watch: ProgressView) -> CompletedRun:
    """Run a scenario and save its result.

    In :func:`opened`: 1. compile; 2. start the embedded emulator. In :func:`execute`: 3. save the
    intent; 4. reach the target, run the set-up; 5. query the count before; 6. send the load;
    7. query until the count has settled; 8. judge; 9. save the verdict; 10. delete the users. The
    flows of a mix share 1 and 2, and take the others side by side.

    Args:
        scenario: The scenario.
        options: Options of the command line.
        watch: Shows the progress; runs beside the load.

    Raises:
        InputError: Something in the input cannot be used; nothing was sent or written.
        TargetError: The embedded emulator did not start.
    """
    scenario = await anyio.to_thread.run_sync(with_facts, scenario)
    now = datetime.now(UTC)
    async with opened(scenario, [scenario], options) as ((compiled,), context):
        path = options.output
        if path is None:
            path = options.results / default_name(scenario.name, now, compiled.run.id)
        return await execute(compiled, ResultFile(path, replace=options.replace), watch, context)


@asynccontextmanager
async def opened(
    scenario: Scenario, flows: Sequence[Scenario], options: Options
) -> AsyncIterator[tuple[list[CompiledScenario], RunContext]]:
    """Compile a run, and start what it needs, for the length of a block.

    Args:
        scenario: The scenario.
        flows: Its flows, if it is a mix; else itself alone.
        options: Options of the command line.

    Raises:
        InputError: Something in the input cannot be used; nothing was sent or written.
        TargetError: The embedded emulator did not start.
    """
    seed = seed_of(scenario, options)
    with addressed(flows[0]) as address:
        # 1. compile: every error in the input is found before anything starts
        sources, workers, consent = plans.Sources(), options.workers, options.consent
        workers.check_use(flows)
        with sources.noted():
            compiled = [
                prepare_run(flow, address, plans.flow_seed(seed, place), workers, consent=consent)
                for place, flow in enumerate(flows)
            ]
        plans.require_plan(
            scenario,
            compiled,
            sources,
            seed=scenario.seed if options.seed is None else options.seed,
            approved=options.approved,
            forced=options.force_limits,
        )
        if len(flows) > 1:
            raise_open_file_limit(sum(max_requests(flow.load) for flow in flows) + _SPARE_FILES)
        # 2. start the embedded emulator, if it is the target
        async with emulator_for(flows[0], address, seed) as emulator:
            with open_signals() if options.signals else nullcontext(no_signals()) as signals:
                yield (
                    compiled,
                    RunContext(
                        emulator=emulator,
                        signals=signals,
                        address=address,
                        workers=workers,
                        preflight=options.preflight,
                    ),
                )


async def execute(
    compiled: CompiledScenario, sink: ResultSink, watch: ProgressView, context: RunContext
) -> CompletedRun:
    """Carry out a run against its target, and save its result.

    Args:
        compiled: The compiled scenario.
        sink: Where the results document is saved.
        watch: Shows the progress.
        context: The target, and what else runs share.

    Raises:
        InputError: The intent could not be saved, or a worker cannot do its part; nothing was
            sent.
    """
    said = warnings.of_intent(compiled)
    writer = ResultWriter(sink, document.intent(compiled, said), redactor(compiled.secrets))
    session: RunSession | None = None
    load: AbstractAsyncContextManager[LoadEngine | ShardedEngine] = (
        open_workers(compiled, context.workers, context.address, context.signals)
        if context.workers.wanted(compiled.scenario)
        else open_engine(compiled.load, compiled.plan, context.waiting)
    )
    try:
        async with httpx_transport(compiled.asking) as asking, load as engine:
            channel = QueryChannel(
                send=asking.send, sent=engine.record.record_query, budget=context.allowance
            )
            session = RunSession(compiled, writer, engine, channel, context)
            if context.opened is not None:  # what another flow lacks leaves no file of this one
                await context.opened()
            # 3. save the intent, before the first request
            await session.save_intent()
            # whatever breaks now, the run is judged and saved; a second signal ends 4 to 7
            async with session.attended(watch, context.signals):
                # 4. check that the target takes connections, and run the set-up
                if await session.reaches_target() and await session.set_up():
                    async with session.renewing():
                        # 5. query the count before the run
                        await session.attempt("asking", session.ask_before)
                        # 6. send every copy when it is due, and await those in flight; query
                        # meanwhile
                        await session.attempt("load", session.send)
                        # 7. query until the count has settled, or the deadline has passed
                        await session.attempt("asking", session.settle)
    except Exception as error:
        if session is None or not session.begun:
            sink.close()
            if isinstance(error, ExceptionGroup):  # by the transport's task group
                raise innermost(error) from None
            raise
        session.fail("transport", error)
    except BaseException:
        if session is not None:
            with anyio.CancelScope(shield=True):
                await session.tear_down()
        sink.close()
        raise
    await session.tear_down(context.signals)
    if context.emulator is not None and not context.emulator.alive:
        writer.target_error = "the embedded emulator ended before the run did"
    # 8. compare the counts with the ledger, and the figures with the thresholds
    figures, verified, judgement = session.judge()
    # 9. save the verdict
    finished = await session.save(figures, verified, judgement)
    if compiled.scenario.deletes and not writer.target_error:
        # 10. delete the users of the run
        finished = await deletion.at_end(
            compiled, finished, context.signals, kept=isinstance(sink, ResultFile)
        )
    return finished


def prepare_run(
    scenario: Scenario,
    address: Address,
    seed: int,
    workers: Workers | None = None,
    *,
    consent: bool,
    copies: Callable[[CompiledScenario], int | None] = attrgetter("planned"),
) -> CompiledScenario:
    """Compile a scenario as a new run, and check that it may be run.

    Args:
        scenario: The scenario.
        address: Where its requests go.
        seed: Random seed.
        workers: The workers that send the load, if this process does not.
        consent: Whether the user lets the run leave this machine.
        copies: Returns how many copies may be sent in all; None: any number.

    Raises:
        InputError: Something cannot be used, or the run would leave this machine without consent.
    """
    identity = new_run(scenario, datetime.now(UTC), address.supplied, seed=seed)
    compiled = compile_scenario(scenario, identity, address, seed=seed, consent=consent)
    found = destinations(scenario, compiled.steps, metrics=True)
    require_consent(scenario, found, consent=consent, copies=copies(compiled))
    if scenario.deletes:
        deletion.check(compiled)
    if workers is not None and workers.wanted(scenario):
        workers.check(scenario)
    else:
        raise_open_file_limit(max_requests(scenario.load) + _SPARE_FILES)
    return compiled


@contextmanager
def open_signals() -> Iterator[AsyncIterator[signal.Signals]]:
    """Receive :data:`SIGNALS` for the length of a block, then restore their previous handlers.

    A hang-up that the process was started to ignore, by ``nohup``, stays ignored.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]
    try:
        with anyio.open_signal_receiver(*before) as received:
            yield Distinct(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


async def no_signals() -> AsyncIterator[signal.Signals]:
    """Yield no signal, ever."""
    await anyio.sleep_forever()
    yield signal.SIGINT


class Distinct:
    """Signals without those that repeat one within :data:`REPEATED_S`."""

    def __init__(
        self,
        received: AsyncIterator[signal.Signals],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._received = received
        self._clock = clock
        self._counted: dict[signal.Signals, float] = {}

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> signal.Signals:
        while True:
            number = await anext(self._received)
            now = self._clock()
            if now - self._counted.get(number, -REPEATED_S) >= REPEATED_S:
                self._counted[number] = now
                return number


def seed_of(scenario: Scenario, options: Options) -> int:
    """Return the seed: that of the options, the scenario or the plan, or one drawn now.

    Raises:
        InputError: The digest of the plan is malformed.
    """
    planned = None if options.approved is None else plans.seed_of_digest(options.approved)
    for given in (options.seed, scenario.seed, planned):
        if given is not None:
            return given
    return secrets.randbits(32)
