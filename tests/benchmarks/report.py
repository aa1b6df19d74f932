"""How large is a page, and how long does it take? ``python -m tests.benchmarks.report``.

The command itself, from its start to the page on disk, on a made-up run of 30 minutes, 1,000,000
copies. What must hold: under 2 s and at most 6 MB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loadcheck.result.store import ResultFile
from tests.benchmarks import synthetic
from tests.benchmarks.harness import arguments, report

_TIMES = 5


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "")
    document = synthetic.result(
        seconds=1800,
        copies=1_000_000,
        service=synthetic.Service(failing=0.001),
        queries_per_s=2.5,
    )
    took_s = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        with ResultFile(path) as file:
            file.save(document)
        command = [sys.executable, "-m", "loadcheck", "report", str(path), "--force"]
        for _ in range(_TIMES):
            began_s = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            took_s.append(time.perf_counter() - began_s)
        result_bytes, page_bytes = path.stat().st_size, path.with_suffix(".html").stat().st_size
    rows = [
        ("what", "figure"),
        ("results file", f"{result_bytes / 1e6:.2f} MB"),
        ("page", f"{page_bytes / 1e6:.2f} MB"),
        (f"the command, best of {_TIMES}", f"{min(took_s):.2f} s"),
        (f"the command, worst of {_TIMES}", f"{max(took_s):.2f} s"),
    ]
    report({"page_bytes": page_bytes, "took_s": took_s}, rows, as_json=options.json)


if __name__ == "__main__":
    main()
