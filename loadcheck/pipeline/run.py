"""One run, from a scenario to a verdict that is on disk."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Self

import anyio

from loadcheck.emulator.process import Running
from loadcheck.load.monitor import raise_open_file_limit
from loadcheck.pipeline import warnings
from loadcheck.pipeline.destinations import destinations, require_consent
from loadcheck.pipeline.identity import (
    PLACEHOLDER_TARGET,
    PLACEHOLDER_URL,
    new_run,
    secret_values,
)
from loadcheck.pipeline.prepare import max_concurrent_requests, prepare
from loadcheck.pipeline.session import AbortPolicyFactory, CompletedRun, RunSession, Watch
from loadcheck.pipeline.target import check_tls, serving, supplied, transports
from loadcheck.result import ResultFile, default_name, document
from loadcheck.result.writer import ResultSink, ResultWriter
from loadcheck.scenario.model import Scenario
from loadcheck.secrets import redactor
from loadcheck.verify.abort import ThresholdAbort
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.query_client import QueryBudget

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The first ends the load, the second everything that still goes on."""
REPEATED_S = 0.5
"""The same signal again within this time is the same wish, sent by a terminal and by a parent."""
_SPARE_FILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Command-line options of a run.

    Attributes:
        results: Directory of the results file, if ``output`` does not name one.
        output: The results file.
        replace: Write over a results file that is there.
        seed: Overrules the scenario's.
        consent: The run may leave this machine.
        signals: Ctrl-C and its like end the load, and a second one what still goes on; else
            whoever called decides what they do.
    """

    results: Path = Path("results")
    output: Path | None = None
    replace: bool = False
    seed: int | None = None
    consent: bool = False
    signals: bool = True


async def run(scenario: Scenario, options: Options, watch: Watch) -> CompletedRun:
    """Run a scenario and save what came of it.

    1. Compile against a placeholder target, so that every input error is reported before anything
       starts.
    2. Start the embedded emulator, or take the live target; compile for good.
    3. Save the intent, before the first request.
    4. Ask for the count before the run.
    5. Start the copies when they are due; ask for the count meanwhile; save every second.
    6. Wait for the copies under way.
    7. Ask until the count has settled, or the deadline has passed.
    8. Put the count against the ledger, the figures against the thresholds.
    9. Save the verdict.

    Args:
        scenario: What to do.
        options: What the user says beside it.
        watch: Shows the progress; runs beside the load.

    Raises:
        InputError: Something in the input cannot be used; nothing was sent or written.
        TargetError: The embedded emulator did not start.
    """
    seed = seed_of(scenario, options.seed)
    now = datetime.now(UTC)
    rehearse(scenario, seed, consent=options.consent)
    async with serving(scenario, seed) as emulator:

        def place(run_id: str) -> ResultFile:
            path = options.output or options.results / default_name(scenario.name, now, run_id)
            return ResultFile(path, replace=options.replace)

        with open_signals() if options.signals else nullcontext(_no_signals()) as signals:
            work = await attempt(
                scenario,
                RunContext(emulator=emulator, seed=seed, signals=signals, consent=options.consent),
                place,
                watch,
            )
            # whatever signal comes now, what is known is saved
            return await work.finish()


@contextmanager
def open_signals() -> Iterator[AsyncIterator[signal.Signals]]:
    """Receive :data:`SIGNALS` for the length of a block; what was done about them before returns.

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


async def _no_signals() -> AsyncIterator[signal.Signals]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Resources shared by all runs against one target.

    Attributes:
        emulator: The embedded one, if it is the target.
        seed: Of everything random.
        signals: Received process signals, while the receiver is open.
        consent: Whether requests may leave this machine.
        allowance: The service's query budget, if they share it; None: each takes all of it.
    """

    emulator: Running | None
    seed: int
    signals: AsyncIterator[signal.Signals]
    consent: bool = False
    allowance: QueryBudget | None = None


def rehearse(
    scenario: Scenario,
    seed: int,
    *,
    consent: bool,
    copies: Callable[[CompiledScenario], int | None] = attrgetter("planned"),
) -> CompiledScenario:
    """Compile a scenario against a target that is not there yet, and see that it may be run.

    Args:
        scenario: What to do.
        seed: Seed of the arrivals.
        consent: Whether the user has said that this machine may be left.
        copies: Tells how many may be sent in all; None: there is no bound.

    Raises:
        InputError: Something cannot be used, or the run would leave this machine unasked.
    """
    emulated = scenario.target.kind == "emulator"
    target = PLACEHOLDER_TARGET if emulated else {}
    prepared = prepare(
        scenario,
        run=new_run(scenario, datetime.now(UTC), target, seed=seed),
        servers={"*": PLACEHOLDER_URL} if emulated else {},
        seed=seed,
        consent=consent,
    )
    found = destinations(scenario, prepared.plan.steps, metrics=True)
    require_consent(scenario, found, consent=consent, copies=copies(prepared))
    check_tls(scenario)
    raise_open_file_limit(max_concurrent_requests(scenario) + _SPARE_FILES)
    return prepared


async def attempt(
    scenario: Scenario,
    occasion: RunContext,
    place: Callable[[str], ResultSink],
    watch: Watch,
    watching: AbortPolicyFactory = ThresholdAbort,
) -> RunSession:
    """Do everything of one run that needs its target; what is left is to finish it.

    Args:
        scenario: What to do.
        occasion: The target, and what else runs share.
        place: Run id → where the results document is saved.
        watch: Shows the progress.
        watching: What may stop the load early.

    Raises:
        InputError: Something in the input cannot be used; nothing was sent or written.
    """
    emulator, seed = occasion.emulator, occasion.seed
    identity = new_run(scenario, datetime.now(UTC), supplied(emulator), seed=seed)
    servers = {"*": emulator.url} if emulator else {}

    def until(day: str) -> CompiledScenario:
        run = replace(identity, end_day=day)
        return prepare(scenario, run=run, servers=servers, seed=seed, consent=occasion.consent)

    prepared = until(identity.end_day)
    book = ResultWriter(
        place(identity.id),
        document.intent(scenario, prepared, identity, seed, warnings.of_intent(scenario, prepared)),
        redactor(secret_values(scenario, identity)),
    )
    work: RunSession | None = None
    try:
        async with transports(scenario, prepared.plan, consent=occasion.consent) as (
            transport,
            asking,
        ):
            work = RunSession(
                scenario,
                prepared,
                book,
                transport,
                asking,
                seed,
                identity.id,
                identity.copies,
                watching,
                occasion.allowance,
                until,
            )
            await work.through(watch, occasion.signals)
    except Exception as error:
        if work is None or not work.begun:
            book.file.close()
            raise
        work.fail("transport", error)
    except BaseException:
        book.file.close()
        raise
    if emulator is not None and not emulator.alive:
        book.trouble = "the embedded emulator ended before the run did"
    return work


def seed_of(scenario: Scenario, chosen: int | None) -> int:
    """Return the seed: the one chosen on the command line, the scenario's, or one drawn now."""
    for given in (chosen, scenario.seed):
        if given is not None:
            return given
    return secrets.randbits(32)
