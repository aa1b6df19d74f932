"""How large is the file of a long run? ``python -m tests.benchmarks.results``.

A made-up run of 30 minutes, 1,000,000 copies, one in a thousand indeterminate, the count asked for
2.5 times a second, put into its document by the code that real runs pass. What must hold: at most
2 MB. Beside it, how long it takes to make, to save and to read back.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import orjson

from loadcheck.result.store import ResultFile, read
from tests.benchmarks import synthetic
from tests.benchmarks.harness import arguments, report


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "")
    document = synthetic.result(
        seconds=1800,
        copies=1_000_000,
        service=synthetic.Service(failing=0.001),
        queries_per_s=2.5,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        began_s = time.perf_counter()
        with ResultFile(path) as file:
            file.save(document)
        saved_s = time.perf_counter()
        read(path)
        read_s = time.perf_counter()
        size = path.stat().st_size
    sections = {name: len(orjson.dumps(section)) for name, section in document.items()}
    largest = sorted(sections.items(), key=lambda item: -item[1])[:6]
    rows = [
        ("what", "figure"),
        ("size of the file", f"{size / 1e6:.2f} MB"),
        *((f"  {name}", f"{bytes_ / 1e6:.2f} MB") for name, bytes_ in largest),
        ("save", f"{saved_s - began_s:.2f} s"),
        ("read and check", f"{read_s - saved_s:.2f} s"),
    ]
    figures = {
        "bytes": size,
        "sections": sections,
        "save_s": saved_s - began_s,
        "read_s": read_s - saved_s,
    }
    report(figures, rows, as_json=options.json)


if __name__ == "__main__":
    main()
