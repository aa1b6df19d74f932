"""Naming the missing among a million users: how many queries it takes, and how much computing.

    python -m tests.benchmarks.localize                  counts made up from the ledger
    python -m tests.benchmarks.localize --large          a hundred million users instead; of more
                                                         than 300 MB of memory it fails
    python -m tests.benchmarks.localize --end-to-end     a real run against the emulator, whose
                                                         documented query limits are on

Every name is compared with the truth. "seconds" is the computing it took to name the missing; in a
real run, all the processor time of a run of a million copies.
"""

from __future__ import annotations

import argparse
import base64
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from loadcheck.verify.localize import (
    LossEstimate,
    SentCopies,
    bucket_sizes,
    build_localized,
    deduce_lost,
)
from loadcheck.verify.query_client import BucketCounts
from loadcheck.workflow.identity import Buckets, partitions
from tests.benchmarks.harness import ROOT, loadcheck, report

USERS = 1_000_000
LARGE = 100_000_000
_HEAD = ("losses", "group-bys", "named", "wrong", "windows", "seconds", "peak MB")
_MOST_MB = 300
CONFIG = {
    "visibility_delay": "500ms",
    "limits": {
        "base": "documented",
        "httpapi": {"project_events_per_s": "off", "project_requests_per_s": "off"},
    },
}


def simulated(missing: npt.NDArray[np.int64], seed: int, users: int = USERS) -> dict[str, Any]:
    """Name the missing from counts that are made up."""
    buckets = Buckets(run_id=f"bench{seed:07d}", copies=users)
    lost = BitMap(missing.astype(np.uint32))
    began = time.process_time()
    copies = SentCopies(
        buckets, acknowledged=BitMap(range(users)), indeterminate=BitMap(), rejected=BitMap()
    )
    tallies: list[BucketCounts] = []
    deduction: LossEstimate | None = None
    spent = 0.0
    for name in partitions(5 if users == USERS else 15):
        counts = copies.sizes("acknowledged", name)
        spent += time.process_time() - began
        counts = counts - bucket_sizes(buckets, lost, name)
        began = time.process_time()
        tallies.append(BucketCounts(name=name, counts=counts))
        deduction = deduce_lost(copies, tallies)
        if deduction.done:
            break
    assert deduction is not None
    found = build_localized(copies, deduction, None)
    spent += time.process_time() - began
    return {
        "losses": len(lost),
        "queries": len(tallies),
        "named": len(found.lost),
        "wrong": len(BitMap(found.lost) - lost),
        "windows": [
            (buckets.first(w.first), buckets.first(w.last + 1) - 1, w.lost) for w in found.windows
        ],
        "seconds": round(spent, 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


@contextmanager
def emulator(faults: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Run an emulator with the documented query limits; yield where it is and its keys."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadcheck.emulator", "--embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps({**CONFIG, "faults": faults}).encode() + b"\n")
        process.stdin.flush()
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def real(drop: dict[str, Any]) -> dict[str, Any]:
    """Send a million users to an emulator that loses some, and ask it whom it lost."""
    with emulator({"drop": drop}) as service, tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder, "million.toml")
        basic = base64.b64encode(f"{service['api_key']}:{service['secret_key']}".encode()).decode()
        scenario.write_text(
            f"""\
workflow = "amplitude"
[target]
kind = "live"
servers = {{ "*" = "{service["url"]}" }}
[inputs]
apiKey = "{service["api_key"]}"
basicAuth = "{basic}"
eventType = "loadcheck probe"
[load]
model = "closed"
concurrency = 32
copies = {USERS}
[verify]
localize = true
every = "2s"
quiet = "4s"
deadline = "15s"
"""
        )
        document = loadcheck(str(scenario))
        with urllib.request.urlopen(f"{service['control']}/truth", timeout=60) as answer:
            (truth,) = json.loads(answer.read())
    seen = document["consistency"]
    found, lost = seen["localized"], set(truth["user_ids"])
    named = {user["user_id"] for user in found["lost"]}
    return {
        "losses": len(lost),
        "queries": found["queries"],
        "cost": found["cost"],
        "named": len(named & lost),
        "wrong": len(named - lost),
        "windows": [(w["first_copy"], w["last_copy"], w["lost"]) for w in found["windows"]],
        "seconds": round(document["generator"]["cpu_s"], 1),
        "trouble": found["trouble"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--large", action="store_true", help="a hundred million users")
    parser.add_argument("--end-to-end", action="store_true", help="run the load, too")
    options = parser.parse_args()
    random = np.random.default_rng(7)
    cases: list[dict[str, Any]] = []
    if options.end_to_end:
        cases += [real({"count": losses, "among": USERS}) for losses in (50, 200)]
        cases.append(real({"after": "20s", "lasting": "5s"}))
    elif options.large:
        for losses in (50, 300):
            missing = np.unique(random.integers(0, LARGE, losses))
            cases.append(simulated(missing, losses, LARGE))
        cases.append(simulated(np.arange(40_000_000, 50_000_000), 3, LARGE))
    else:
        for losses in (50, 200):
            cases.append(simulated(random.choice(USERS, losses, replace=False), losses))
        cases.append(simulated(np.arange(400_000, 500_000), 3))
        cases.append(simulated(random.choice(USERS, USERS // 10, replace=False), 4))
    rows = [
        _HEAD,
        *(
            (
                f"{case['losses']:,}",
                str(case["queries"]),
                f"{case['named']:,}",
                str(case["wrong"]),
                "; ".join(f"{a:,} to {b:,}: {n:,}" for a, b, n in case["windows"]) or "none",
                str(case["seconds"]),
                str(case.get("peak_mb", "")),
            )
            for case in cases
        ),
    ]
    assert not options.large or max(case["peak_mb"] for case in cases) <= _MOST_MB
    report(json.loads(json.dumps({"cases": cases})), rows, as_json=options.json)


if __name__ == "__main__":
    main()
