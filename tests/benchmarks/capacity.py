"""Is a planted capacity found? How exactly, in how many probes, and in what time.

    python -m tests.benchmarks.capacity
    python -m tests.benchmarks.capacity --plant 300 --plant 6000 --json

The embedded emulator serves uploads one by one, at a rate that the search is not told.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import ROOT, report

PLANTED = (300.0, 1500.0, 6000.0)


def find(planted: float) -> dict[str, Any]:
    """Search for a planted capacity and return what was found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "capacity.json")
        options = ["--set", f'target.capacity="{planted:g}/s"', "--quiet", "--output", str(path)]
        command = [sys.executable, "-m", "loadcheck", "capacity", "scenarios/capacity.toml"]
        subprocess.run(
            [*command, *options], cwd=ROOT, check=False, timeout=900, stdout=subprocess.DEVNULL
        )
        document = json.loads(path.read_bytes())
    answer, search = document["answer"], document["search"]
    found = answer["rate"]
    return {
        "planted": planted,
        "found": found,
        "interval": answer["interval"],
        "error": None if found is None else found / planted - 1,
        "limited_by": answer["limited_by"],
        "because": answer["because"],
        "probes": len(document["probes"]),
        "events": search["events"],
        "took_s": search["took_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plant", type=float, action="append", help="uploads a second")
    options = parser.parse_args()
    searches = [find(planted) for planted in options.plant or PLANTED]
    rows = [("planted", "found", "error", "limited by", "because", "probes", "took")]
    rows += [
        (
            f"{one['planted']:,.0f}/s",
            "–" if one["found"] is None else f"{one['found']:,.0f}/s",
            "–" if one["error"] is None else f"{100 * one['error']:+.1f} %",
            one["limited_by"],
            one["because"],
            str(one["probes"]),
            f"{one['took_s']:.0f} s",
        )
        for one in searches
    ]
    report({"searches": searches}, rows, as_json=options.json)


if __name__ == "__main__":
    main()
