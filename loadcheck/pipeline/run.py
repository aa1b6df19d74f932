"""One run, from a scenario to a verdict that is on disk."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loadcheck.load.limits import raise_open_file_limit
from loadcheck.pipeline import document
from loadcheck.pipeline.book import Book
from loadcheck.pipeline.prepare import (
    PLACEHOLDER_TARGET,
    PLACEHOLDER_URL,
    max_in_flight,
    new_run,
    prepare,
    require_consent,
    secret_values,
)
from loadcheck.pipeline.target import serving, supplied, transports
from loadcheck.pipeline.work import Finished, Watch, Work
from loadcheck.result import ResultFile, default_name
from loadcheck.scenario.model import Scenario

_SPARE_FILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user says beside the scenario.

    Attributes:
        results: Directory of the results file, if ``output`` does not name one.
        output: The results file.
        replace: Write over a results file that is there.
        seed: Overrules the scenario's.
        consent: The run may leave this machine.
    """

    results: Path = Path("results")
    output: Path | None = None
    replace: bool = False
    seed: int | None = None
    consent: bool = False


async def run(scenario: Scenario, options: Options, watch: Watch) -> Finished:
    """Run a scenario and save what came of it.

    1. Compile it against a target that is not there yet: whatever is wrong is told now.
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
    seed = _seed(scenario, options)
    now = datetime.now(UTC)
    emulated = scenario.target.kind == "emulator"
    target = PLACEHOLDER_TARGET if emulated else {}
    trial = prepare(
        scenario,
        run=new_run(scenario, now, target, seed=seed),
        servers={"*": PLACEHOLDER_URL} if emulated else {},
        seed=seed,
    )
    require_consent(scenario, trial, consent=options.consent or emulated)
    raise_open_file_limit(max_in_flight(scenario) + _SPARE_FILES)
    async with serving(scenario, seed) as emulator:
        identity = new_run(scenario, now, supplied(emulator), seed=seed)
        prepared = prepare(
            scenario, run=identity, servers={"*": emulator.url} if emulator else {}, seed=seed
        )
        path = options.output or options.results / default_name(scenario.name, now, identity.id)
        book = Book(
            ResultFile(path, replace=options.replace),
            document.intent(scenario, prepared, identity, seed),
            secret_values(scenario, identity),
        )
        async with transports(scenario) as (transport, asking):
            work = Work(
                scenario, prepared, book, transport, asking, seed, identity.id, identity.copies
            )
            await work.through(watch)
        if emulator is not None and not emulator.alive:
            book.trouble = "the embedded emulator ended before the run did"
    return await work.finish()


def _seed(scenario: Scenario, options: Options) -> int:
    for given in (options.seed, scenario.seed):
        if given is not None:
            return given
    return secrets.randbits(32)
