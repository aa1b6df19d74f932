"""What the benchmarks share: real runs in processes of their own, and how figures are printed."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
_DRAWN = 16
"""Rows of a live view, each written over and over."""
_SCENARIO = """\
name = "benchmark"
workflow = "amplitude"
[target]
kind = "live"
servers = {{ httpV2Api = "{url}", dashboardRestApi = "{url}" }}
{target}
[inputs]
apiKey = "key"
basicAuth = "a2V5OmtleQ=="
eventType = "probe"
eventProperties = {{ scenario = "bench" }}
[load]
{load}
[verify]
enabled = false
"""


def argument_parser(
    description: str, *, seconds: float | None = None, rounds: int | None = None
) -> argparse.ArgumentParser:
    """Return a parser of the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if seconds is not None:
        parser.add_argument("--seconds", type=float, default=seconds, help="length of a stretch")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help="how often each is run")
    return parser


def arguments(
    description: str, *, seconds: float | None = None, rounds: int | None = None
) -> argparse.Namespace:
    """Read the options that every benchmark has."""
    return argument_parser(description, seconds=seconds, rounds=rounds).parse_args()


class Terminal:
    """A terminal that nobody looks at, so that the live view is on and costs what it costs.

    Attributes:
        fd: What a process takes for its output.
        shown: All that was written to it.
    """

    def __init__(self) -> None:
        self._screen, self.fd = pty.openpty()
        termios.tcsetwinsize(self.fd, (40, 120))
        self.shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        self._reader.join(timeout=10)
        os.close(self._screen)

    def _read(self) -> None:
        # reading fails when the last one who could write has gone
        with contextlib.suppress(OSError):
            while data := os.read(self._screen, 65536):
                self.shown += data


def watched(
    command: Sequence[str],
    result: Path,
    *,
    folder: Path,
    timeout_s: float,
    watch: Callable[[int, Path], None] | None = None,
) -> dict[str, Any]:
    """Run the command in a terminal, with its live view, and return its results document.

    Raises:
        RuntimeError: It drew no live view.
    """
    with Terminal() as terminal:
        process = subprocess.Popen(
            [*command, "--output", str(result)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
            stdout=terminal.fd,
            stderr=terminal.fd,
        )
        with process:
            while watch is not None and process.poll() is None:
                watch(process.pid, result)
                time.sleep(0.5)
            process.wait(timeout=timeout_s)
    if not result.exists():
        raise RuntimeError(f"it saved nothing: {terminal.shown.decode(errors='replace')[-400:]}")
    if terminal.shown.count(b"\x1b[K\r\n") < _DRAWN:
        raise RuntimeError("no live view was drawn")
    document: dict[str, Any] = json.loads(result.read_bytes())
    return document


def loadcheck(*options: str, timeout_s: float = 900) -> dict[str, Any]:
    """Run ``loadcheck run`` and return its results document, whatever the verdict."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "loadcheck", "run", *options]
        path = Path(folder, "result.json")
        return watched(command, path, folder=ROOT, timeout_s=timeout_s)


def cores() -> tuple[list[str], list[str]]:
    """Return what to put before our command and before the target's, so that each has a core."""
    if shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        return [], []
    return ["taskset", "-c", "0"], ["taskset", "-c", "1"]


@contextmanager
def target(core: list[str], *options: str) -> Iterator[int]:
    """Run the trivial server for the length of a block and yield its port."""
    process = subprocess.Popen(
        [*core, sys.executable, "-m", "tests.benchmarks.target", *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


def send_only(
    port: int,
    load: str,
    core: list[str],
    *,
    scheme: str = "http",
    more: str = "",
    timeout_s: float = 900,
    watch: Callable[[int, Path], None] | None = None,
) -> dict[str, Any]:
    """Send a load to a server on this machine, verify nothing, return the results document.

    Args:
        port: The server's port.
        load: The ``[load]`` table of the scenario.
        core: What to put before the command.
        scheme: "http" or "https".
        more: Further keys of the ``[target]`` table.
        watch: Called over and over with the process's id and the results file.
        timeout_s: When to give up.
    """
    with tempfile.TemporaryDirectory() as folder:
        url = f"{scheme}://127.0.0.1:{port}"
        Path(folder, "send.toml").write_text(_SCENARIO.format(url=url, load=load, target=more))
        command = [*core, sys.executable, "-m", "loadcheck", "run", "send.toml"]
        path = Path(folder, "result.json")
        return watched(command, path, folder=Path(folder), timeout_s=timeout_s, watch=watch)


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
