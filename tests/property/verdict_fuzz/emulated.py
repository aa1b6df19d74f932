"""Random mixes of the emulator's faults, loads and seeds, over real sockets.

What the verdict says is put against what is in the emulator's store.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import anyio

from loadcheck.emulator.config.faults import KINDS
from loadcheck.verify import Verdict
from tests.pipeline.in_process_run import JudgedRun, Mix, run_mix

AT_ONCE = 16
_VERDICTS = ("pass", "fail", "unknown")
_TRUTHS = ("clean", "late", "lost", "duplicated", "unexpected", "several")
_REFUSALS = (400, 503)
"""Answers that say that nothing was taken."""
_FOR_EVER = "1h"
"""A lag that no run waits for."""
_SILENT = {"late_ack", "slow", "stall", "truncated_json"}
"""Faults that can hold an attempt until its time is up; one copy after the other, for minutes."""
_ENOUGH_AT_ONCE = 12


def mix(seed: int) -> Mix:
    """Return the mix of a seed."""
    chance = random.Random(seed)
    kinds = chance.sample(sorted(KINDS), chance.choice([0, 1, 1, 1, 2, 2, 3]))
    each = chance.choice([1, 1, 1, 2, 3])
    load: dict[str, Any]
    if chance.random() < 0.6:
        copies = chance.randint(20, 150)
        load = {"model": "closed", "concurrency": chance.randint(1, 16), "copies": copies}
    else:
        rate, tenths = chance.randint(60, 250), chance.randint(3, 7)
        copies = rate * tenths // 10
        load = {
            "model": "open",
            "rate": rate,
            "duration": f"{tenths}00ms",
            "arrivals": chance.choice(["constant", "poisson"]),
        }
    if load["model"] == "closed" and _SILENT & set(kinds):
        load["concurrency"] = max(load["concurrency"], _ENOUGH_AT_ONCE)
    return Mix(
        emulator={
            "seed": seed,
            "visibility_delay": chance.choice(["0ms", "50ms", "150ms"]),
            "faults": {kind: _fault(kind, chance, copies) for kind in kinds},
        },
        load={**load, "events_per_copy": each},
        verify={
            "localize": chance.random() < 0.75,
            "cache": chance.choice(["bypass", "bypass", "respect"]),
        },
        retry={
            "attempts": chance.choice([1, 2, 3, 5]),
            "backoff": "10ms",
            "max_backoff": "50ms",
        },
        seed=seed,
    )


def _fault(name: str, chance: random.Random, copies: int) -> dict[str, Any]:
    kind = KINDS[name]
    window = {"after": f"{chance.randint(0, 400)}ms", "lasting": f"{chance.randint(50, 600)}ms"}
    fault: dict[str, Any]
    if kind.subject == "time":
        fault = chance.choice([window, window, {"after": window["after"]}])
    else:
        count = chance.randint(1, max(1, copies // 4))
        fault = chance.choice(
            [
                {"rate": chance.choice([0.02, 0.1, 0.3, 1.0])},
                {"count": count, "among": copies},
                {"count": count, "first": chance.randint(0, copies - count)},
                window,
            ]
        )
    if kind.on:
        fault = fault | {"on": chance.choice(["uploads", "uploads", "queries", "all"])}
    if name == "stall":
        fault = window | {"on": chance.choice(["uploads", "queries", "all"])}
    if name == "late_visibility":
        fault = fault | {"delay": chance.choice(["100ms", "300ms", _FOR_EVER])}
    elif name == "slow":
        fault = fault | {"delay": chance.choice(["5ms", "100ms", "400ms"])}
    elif name == "duplicate":
        fault = fault | {"copies": chance.randint(1, 2)}
    elif name == "miscount":
        fault = fault | {"events_ingested": chance.randint(0, 3)}
    elif name == "refuse":
        fault = fault | {"status": chance.choice([400, 401, 403, 413])}
    elif name == "error_after_commit":
        fault = fault | {"status": chance.choice([500, 500, 503, 400])}
    return fault


def truth(run: JudgedRun) -> str:
    """Return in a word what really happened."""
    late = {number for number in run.missing if run.truth.stored.get(number)}
    words = [
        word
        for word, true in (
            ("late", late),
            ("lost", run.missing - late or _fewer(run)),
            ("duplicated", run.surplus),
            ("unexpected", run.unexpected),
        )
        if true
    ]
    return "clean" if not words else words[0] if len(words) == 1 else "several"


def _each(run: JudgedRun) -> int:
    each: int = run.mix.load["events_per_copy"]
    return each


def _fewer(run: JudgedRun) -> set[int]:
    """Return the acknowledged copies of which some events can be seen, and some not."""
    each, visible = _each(run), run.truth.visible
    return {number for number in run.ledger.acknowledged if 0 < visible.get(number, 0) < each}


def contradictions(run: JudgedRun) -> Iterable[str]:
    """Say where the run claims what is not so.

    What it leaves open is judged where time is virtual: on a busy machine answers come late.
    """
    if run.consistent is Verdict.PASS:
        yield from _hidden(run)
    elif run.consistent is Verdict.FAIL:
        yield from _accused(run)
    yield from _misnamed(run)
    lies = run.mix.emulator["faults"].get("error_after_commit", {}).get("status") in _REFUSALS
    effects = set(run.ledger.rejected) & set(run.truth.stored)
    if effects and not lies:
        yield f"copies {sorted(effects)} are called rejected and had an effect"


def _hidden(run: JudgedRun) -> Iterable[str]:
    if run.missing:
        yield f"it says pass, and copies {sorted(run.missing)} are missing"
    if _fewer(run):
        yield f"it says pass, and events of {sorted(_fewer(run))} are missing"
    if run.surplus:
        yield f"it says pass, and {run.surplus} events are there too often"
    if run.unexpected:
        yield f"it says pass, and copies {sorted(run.unexpected)} were refused and are counted"
    if not run.ledger.acknowledged:
        yield "it says pass, and nobody was acknowledged"


def _accused(run: JudgedRun) -> Iterable[str]:
    failed = {entry["check"] for entry in run.document["findings"] if entry["verdict"] == "fail"}
    seen, missing = run.seen, len(run.missing)
    if "lost" in failed and not seen["lost_at_least"] <= missing <= seen["lost_at_most"]:
        yield f"it says {seen['lost_at_least']} to {seen['lost_at_most']} are lost; {missing} are"
    if "duplicated" in failed and not 0 < seen["duplicated"] <= run.surplus:
        yield f"it says {seen['duplicated']} events are duplicated; {run.surplus} are"
    if "unexpected" in failed and not 0 < seen["unexpected"] <= len(run.unexpected):
        yield f"it says {seen['unexpected']} are unexpected; {len(run.unexpected)} are"
    if "missing_events" in failed and not _fewer(run):
        yield "it says that events of acknowledged users are missing, and none are"
    if not failed & {"lost", "duplicated", "unexpected", "missing_events"}:
        yield f"it fails for another reason: {sorted(failed)}"


def _misnamed(run: JudgedRun) -> Iterable[str]:
    doubled = {n for n, number in run.truth.visible.items() if number > _each(run)}
    for kind, guilty in (
        ("lost", run.missing),
        ("duplicated", doubled),
        ("unexpected", run.unexpected),
    ):
        innocent = run.named(kind) - guilty
        if innocent:
            yield f"it names {sorted(innocent)} as {kind}, who are innocent"


async def sit(seeds: Iterable[int]) -> list[tuple[int, JudgedRun]]:
    """Run the mixes of some seeds, a few at a time."""
    limiter = anyio.CapacityLimiter(AT_ONCE)
    runs: list[tuple[int, JudgedRun]] = []

    async def one(seed: int) -> None:
        async with limiter:
            runs.append((seed, await run_mix(mix(seed))))

    async with anyio.create_task_group() as group:
        for seed in seeds:
            group.start_soon(one, seed)
    return sorted(runs, key=lambda run: run[0])


def confusion(cells: Mapping[tuple[str, str], int]) -> str:
    """Return a table: what was true, down; what was said, across."""
    rows: list[tuple[str, ...]] = [("", *_VERDICTS)]
    rows += [
        (name, *(str(cells.get((name, verdict), 0)) for verdict in _VERDICTS)) for name in _TRUTHS
    ]
    return "\n".join("".join(f"{cell:>12}" for cell in row) for row in rows)
