"""What the benchmarks share: real runs in processes of their own, and how figures are printed."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def arguments(description: str, *, seconds: float | None = None) -> argparse.Namespace:
    """Read the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if seconds is not None:
        parser.add_argument("--seconds", type=float, default=seconds, help="length of a stretch")
    return parser.parse_args()


def loadcheck(*options: str, timeout_s: float = 900) -> dict[str, Any]:
    """Run ``loadcheck run`` and return its results document, whatever the verdict."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        subprocess.run(
            [sys.executable, "-m", "loadcheck", "run", *options, "--quiet", "--output", str(path)],
            cwd=ROOT,
            check=False,
            timeout=timeout_s,
            stdout=subprocess.DEVNULL,
        )
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document


def report(figures: dict[str, Any], rows: Sequence[Sequence[str]], *, as_json: bool) -> None:
    """Print the figures as one JSON object, or the rows as a table under their first."""
    if as_json:
        print(json.dumps(figures))
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for index, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
        if index == 0:
            print("  ".join("-" * width for width in widths))
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
