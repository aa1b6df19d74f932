"""Naming the missing among a million users: how many queries it takes, and how much computing.

    python -m tests.benchmarks.localize                  counts made up from the ledger
    python -m tests.benchmarks.localize --end-to-end     a real run against the emulator, whose
                                                         documented query limits are on

Every name is compared with the truth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.verify.localize import Copies, Deduction, conclude, deduce_lost
from loadcheck.verify.tally import Tally
from loadcheck.workflow.buckets import Buckets, partitions, size
from tests.benchmarks.harness import loadcheck, report

USERS = 1_000_000
RATE = 10_000
NOBODY = np.empty(0, dtype=np.int64)
_HEAD = ("losses", "group-bys", "named", "wrong", "windows", "seconds")
LIMITS = '{base="documented", httpapi={project_events_per_s="off", project_requests_per_s="off"}}'


def simulated(missing: npt.NDArray[np.int64], seed: int) -> dict[str, Any]:
    """Name the missing from counts that are made up."""
    buckets = Buckets(run_id=f"bench{seed:07d}", copies=USERS)
    everybody = np.arange(USERS)
    counted = np.delete(everybody, missing)
    began = time.perf_counter()
    copies = Copies(buckets, acknowledged=everybody, indeterminate=NOBODY, rejected=NOBODY)
    tallies: list[Tally] = []
    deduction: Deduction | None = None
    spent = 0.0
    for name in partitions(5):
        spent += time.perf_counter() - began
        counts = np.bincount(buckets.column(counted, name), minlength=size(name))
        began = time.perf_counter()
        tallies.append(Tally(name=name, counts=counts))
        deduction = deduce_lost(copies, tallies)
        if deduction.done:
            break
    assert deduction is not None
    found = conclude(copies, deduction, None, partitions=0, queries=len(tallies), cost=0)
    spent += time.perf_counter() - began
    truth = set(missing.tolist())
    return {
        "losses": len(truth),
        "queries": len(tallies),
        "named": len(found.lost),
        "wrong": len(set(found.lost) - truth),
        "windows": [
            (buckets.first(w.first), buckets.first(w.last + 1) - 1, w.lost) for w in found.windows
        ],
        "seconds": round(spent, 3),
    }


def real(fault: str) -> dict[str, Any]:
    """Run a million users against an emulator that loses some."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder, "million.toml")
        scenario.write_text(
            f"""\
workflow = "amplitude"
[target]
kind = "emulator"
visibility_delay = "500ms"
limits = {LIMITS}
faults.drop = {fault}
[inputs]
eventType = "loadcheck probe"
[load]
model = "open"
rate = {RATE}
duration = "{USERS // RATE}s"
[verify]
every = "2s"
quiet = "4s"
deadline = "15s"
"""
        )
        document = loadcheck(str(scenario))
    seen, copies = document["consistency"], document["copies"]
    found = seen["localized"]
    return {
        "losses": seen["lost_at_least"],
        "acknowledged": copies["acknowledged"],
        "queries": found["queries"],
        "cost": found["cost"],
        "named": len(found["lost"]),
        "wrong": 0,
        "windows": [(w["first_copy"], w["last_copy"], w["lost"]) for w in found["windows"]],
        "seconds": round(document["generator"]["cpu_s"], 1),
        "trouble": found["trouble"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--end-to-end", action="store_true", help="run the load, too")
    options = parser.parse_args()
    random = np.random.default_rng(7)
    cases: list[dict[str, Any]] = []
    if options.end_to_end:
        cases += [real(f"{{count={losses}, among={USERS}}}") for losses in (50, 200)]
        cases.append(real('{after="40s", lasting="10s"}'))
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
            )
            for case in cases
        ),
    ]
    report(json.loads(json.dumps({"cases": cases})), rows, as_json=options.json)


if __name__ == "__main__":
    main()
