"""The export of a million events, compared one by one: ``python -m tests.benchmarks.export``.

An archive is written as the service writes it, with 100 events missing, 50 twice and 20 altered;
then a process of its own compares it with what was sent. It must take less than 60 s and 300 MB,
and find exactly those.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import orjson
from pyroaring import BitMap

from loadcheck import scenario as scenarios
from loadcheck.measure import Ledger
from loadcheck.pipeline.exported import Pages
from loadcheck.pipeline.target import UNSTARTED
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.identity import Run
from tests.benchmarks.harness import ROOT, report
from tests.compiled import compiled

EVENTS = 1_000_000
RUN = "benchmark123"
_PER_FILE = 100_000


def prepared() -> CompiledScenario:
    """Compile the smoke scenario as a run of a million copies."""
    scenario = scenarios.load(ROOT / "scenarios" / "smoke.toml")
    run = Run(
        id=RUN,
        start_day="20250101",
        end_day="20250103",
        target=UNSTARTED.supplied,
        copies=EVENTS,
    )
    return compiled(scenario, run=run)


def write(path: Path) -> None:
    """Write the archive."""
    ready = prepared()
    lost, twice, altered = (range(7, EVENTS, EVENTS // n) for n in (100, 50, 20))
    missing, double, changed = (
        set(numbers) for numbers in (lost, (n + 1 for n in twice), (n + 2 for n in altered))
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for part in range(EVENTS // _PER_FILE):
            buffer = io.BytesIO()
            with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
                for number in range(part * _PER_FILE, (part + 1) * _PER_FILE):
                    if number in missing:
                        continue
                    line = _line(ready, number, changed=number in changed)
                    file.write(line * (2 if number in double else 1))
            archive.writestr(f"1/1_2025-01-02_10#{part}.json.gz", buffer.getvalue())


def _line(ready: CompiledScenario, number: int, *, changed: bool) -> bytes:
    flow = ready.plan.copy(number, 1_735_812_000_000, lambda *_: None)
    request = next(flow)
    flow.close()
    assert isinstance(request, Request)
    event: dict[str, Any] = orjson.loads(request.body)["events"][0]
    if changed:
        event["event_properties"]["scenario"] = "other"
    exported = {
        "$insert_id": event.pop("insert_id"),
        "amplitude_id": number,
        "app": 1,
        "client_event_time": "2025-01-02 10:00:00.000000",
        "device_id": None,
        "groups": {},
        "server_upload_time": "2025-01-02 10:00:00.000000",
        "user_properties": {},
        "uuid": "00000000-0000-0000-0000-000000000000",
        **event,
    }
    return orjson.dumps(exported, option=orjson.OPT_APPEND_NEWLINE)


def compare(path: Path) -> dict[str, Any]:
    """Compare the archive and say how long it took and how much memory."""
    ready = prepared()
    ledger = Ledger()
    ledger.acknowledged = ledger.started = BitMap(range(EVENTS))
    began = time.perf_counter()
    pages = Pages(ready, ledger)
    pages.read(path)
    found = pages.result()
    return {
        "events": found.events,
        "lost": len(found.lost),
        "duplicated": found.duplicated.total(),
        "altered": found.altered_count,
        "unexpected": found.unexpected_count,
        "seconds": round(time.perf_counter() - began, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--compare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compare is not None:
        print(json.dumps(compare(options.compare)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "export.zip")
        write(path)
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.export", "--compare", str(path)],
            check=True,
            capture_output=True,
            cwd=ROOT,
        )
        figures: dict[str, Any] = json.loads(done.stdout)
        figures["archive_mb"] = path.stat().st_size >> 20
    rows = [("figure", "measured"), *((name, f"{value:,}") for name, value in figures.items())]
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
