"""What workers cost: the coordinator per worker and second, and a copy with one worker or several.

    python tests/benchmarks/scale.py [--workers 1,2,4] [--rate 4000] [--seconds 8]

The first table replays recorded streams into the coordinator's side; nothing is sent. The second
runs a load against the embedded emulator: compare its rows, which share this machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from loadcheck.load.monitor import Monitor
from loadcheck.load.slices import Slice
from loadcheck.measure import Grid, Outcome
from loadcheck.measure.changes import change, decode, encode, still
from loadcheck.measure.record import Record
from loadcheck.pipeline.shards.merged import MergedRecord, ShardRecord
from loadcheck.verify.visibility import AckCurve
from loadcheck.workflow.exchange import Exchange, Origin, Request
from loadcheck.workflow.runtime.plan import Role, StepPlan

ORIGIN = Origin("http", "127.0.0.1", 80)
STEP = StepPlan(
    step_id="upload",
    index=0,
    role=Role.COPY,
    method="POST",
    origin=ORIGIN,
    path="/",
    uses=frozenset(),
    dependent=False,
)
S = 1_000_000_000
ROOT = Path(__file__).parents[2]


def stream(rate: int, seconds: int) -> list[dict[str, Any]]:
    """Return what a shard tells of a load with wide latencies."""
    random = np.random.default_rng(1)
    record = Record([STEP], 0, None, (), Grid([seconds]))
    record.begin(S)
    told, messages = None, []
    for second in range(seconds):
        for place in range(rate):
            number, due = second * rate + place, S + second * S + place * S // rate
            took = int(random.lognormal(16, 1))
            record.due = number + 1
            if due >= record.grid.next_ns:
                record.grid.enter(number, due)
            record.record_dispatch(due, due)
            record.start(number)
            record.record_send(due, due + 20_000)
            made = Exchange(Request(0, ORIGIN, b"", b""), sent_ns=due + 20_000, done_ns=due + took)
            made.status, made.success = 200, True
            record.steps[0].add(made, due, due)
            record.settle(number, Outcome.ACKNOWLEDGED)
        record.close_second(second)
        now = still((record, Monitor(), AckCurve(), Counter[str]()))
        messages.append(
            {"is": "snap", "sequence": second, "rows": second + 1, "change": change(told, now)}
        )
        told = now
    return messages


def replay(shards: int, rate: int, seconds: int) -> None:
    """Print what the coordinator spends on so many streams."""
    sent = [encode(message) for message in stream(rate, seconds)]
    told = [ShardRecord(Slice(index=index, of=shards)) for index in range(shards)]
    merged = MergedRecord(lambda: Record([STEP], 0, None, (), Grid([seconds])), told)
    merged.begin(S)
    begin = time.process_time()
    for data in sent:
        for each in told:
            each.take(decode(data))
        merged.join_second([])
        merged.show()
    spent = time.process_time() - begin
    assert merged.acknowledged == shards * rate * seconds
    print(
        f"{shards:4} streams of {rate:,}/s: {1e3 * spent / shards / seconds:.2f} ms a worker and "
        f"second, {100 * spent / seconds:.0f} % of a core, {len(sent[-1]):,} bytes a message"
    )


def run(workers: int, rate: int, seconds: int) -> None:
    """Print what a copy costs with so many workers; 0: without."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        options = ["--workers", str(workers)] if workers else []
        subprocess.run(
            [
                *(sys.executable, "-m", "loadcheck", "run", str(ROOT / "scenarios/smoke.toml")),
                *("--set", f"load.rate={rate}", "--set", f"load.duration={seconds}s"),
                *("--set", "thresholds=[]", "-q", "-o", str(result), *options),
            ],
            check=False,
            stdout=subprocess.DEVNULL,
        )
        document = orjson.loads(result.read_bytes())
    copies, generator = document["copies"]["started"], document["generator"]
    print(
        f"{workers or 'no':>4} workers: {1e6 * generator['cpu_s'] / copies:.1f} us of CPU a copy, "
        f"{document['load']['reached_rate']:,.0f}/s, lateness p99 "
        f"{generator['lateness']['p99_ms']:.2f} ms, {document['verdict']}"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="0,1,2,4")
    parser.add_argument("--rate", type=int, default=4000)
    parser.add_argument("--seconds", type=int, default=8)
    given = parser.parse_args()
    for shards in (1, 2, 4, 20, 100):
        replay(shards, 1000, 6)
    for workers in map(int, given.workers.split(",")):
        run(workers, given.rate, given.seconds)


if __name__ == "__main__":
    main()
