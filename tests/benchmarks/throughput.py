"""How many requests per second, beside the peers? ``python -m tests.benchmarks.throughput``.

Everybody sends the same upload with unique ids to the same trivial server, parses and checks each
answer, is pinned to one core, and has the other core for the server. loadcheck has everything on:
ledger, histograms, timeline, results file. What must hold: half of wrk, five times k6 and Locust.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import peers
from tests.benchmarks.harness import ROOT, arguments, report

_CONNECTIONS = 64
_OPEN_RATE = 40_000
SCENARIO = """\
name = "throughput"
workflow = "amplitude"
[target]
kind = "live"
servers = {{ httpV2Api = "http://127.0.0.1:{port}", dashboardRestApi = "http://127.0.0.1:{port}" }}
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

Peer = Callable[[int, float, int, list[str]], float | None]


@contextmanager
def target(core: list[str]) -> Iterator[int]:
    """Run the trivial server for the length of a block and yield its port."""
    process = subprocess.Popen(
        [*core, sys.executable, "-m", "tests.benchmarks.target"],
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


def loadcheck(load: str) -> Peer:
    """Return the peer that is us, with a load."""

    def run(port: int, seconds: float, connections: int, core: list[str]) -> float:
        from orjson import loads  # noqa: PLC0415

        text = load.format(seconds=seconds, connections=connections)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "throughput.toml").write_text(SCENARIO.format(port=port, load=text))
            command = [*core, sys.executable, "-m", "loadcheck", "run", "throughput.toml"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run(
                [*command, "--quiet", "--output", "result.json"],
                cwd=folder,
                env=environment,
                check=False,
                stdout=subprocess.DEVNULL,
                timeout=seconds + 60,
            )
            document = loads(Path(folder, "result.json").read_bytes())
        return float(document["copies"]["acknowledged"] / document["load"]["duration_s"])

    return run


_CLOSED = 'model = "closed"\nconcurrency = {connections}\nduration = {seconds}'
_OPEN = f'model = "open"\nrate = {_OPEN_RATE}\nduration = {{seconds}}'
_PEERS: dict[str, Peer] = {
    "loadcheck_closed": loadcheck(_CLOSED),
    "loadcheck_open": loadcheck(_OPEN),
    "k6": peers.k6,
    "locust": peers.locust,
    "wrk": peers.wrk,
}


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", seconds=10)
    pinned = shutil.which("taskset") is not None and (os.cpu_count() or 1) > 1
    ours, theirs = (["taskset", "-c", "0"], ["taskset", "-c", "1"]) if pinned else ([], [])
    figures: dict[str, float | None] = {}
    for name, peer in _PEERS.items():
        with target(theirs) as port:
            figures[name] = peer(port, options.seconds, _CONNECTIONS, ours)
    closed = figures["loadcheck_closed"]
    assert closed is not None
    rows = [("generator", "requests/s", "loadcheck is")]
    for name, rate in figures.items():
        if rate is None:
            rows.append((name, "–", "not installed"))
        else:
            rows.append((name, f"{rate:,.0f}", f"{closed / rate:.2f} ×"))
    report({"requests_per_s": figures, "pinned": pinned}, rows, as_json=options.json)


if __name__ == "__main__":
    main()
