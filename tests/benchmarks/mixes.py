"""What users who think, come again and do different things cost.

``python -m tests.benchmarks.mixes`` sends to a server that does next to nothing. What must hold: a
mix of three flows with data files, drawn values and time to think costs at most 1.35 times the CPU
of the plain flow for a request; 60,000 sessions that think at once take at most 400 MB.

The cost is the instructions of two runs of different length, their difference divided by that of
their requests, so that what every run costs once does not count (``perf stat``, else cachegrind;
where there is neither, the processor's time).
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

from tests.benchmarks.harness import arguments, cores, report, target

_TOP = """
workflow = "amplitude"
seed = 1
[target]
kind = "live"
servers = {{ "*" = "http://127.0.0.1:{port}" }}
[inputs]
apiKey = "key"
basicAuth = "a2V5OnNlY3JldA=="
eventType = "probe"
[verify]
enabled = false
query = "{query}"
[timeouts]
drain = "5m"
[load]
"""
_CLOSED = 'model = "closed"\nconcurrency = {concurrency}\ncopies = {copies}\n'
_DRAWN = """
[data.people]
file = "people.csv"
order = "shuffle"
[values]
amount = { lognormal = { median = 20, p99 = 300 }, digits = 2 }
plan = { choice = ["free", "team", "firm"], weights = [7, 2, 1] }
[[overlay]]
step = "uploadEvents"
at = "body#/events/0/event_properties"
value = { country = "$data.people.country", amount = "$values.amount", plan = "$values.plan" }
"""
_FLOWS = """
[[mix]]
name = "buy"
weight = 3
load = { think_time = "100ms" }
[[mix]]
name = "look"
weight = 6
load = { think_time = { lognormal = { median = "80ms", p99 = "400ms" } } }
[[mix]]
name = "return"
weight = 1
load = { think_time = { uniform = ["50ms", "150ms"] } }
sessions = { returning = 0.3 }
"""
_SESSIONS = """
model = "open"
rate = 3000
duration = "20s"
max_in_flight = 5000
[sessions]
uploads = 2
gap = "22s"
"""
_THINKING = 60_000


def _counting() -> list[str]:
    """Return what to put before a command whose instructions are to be counted."""
    perf = ["perf", "stat", "-x", ",", "-e", "instructions:u"]
    if shutil.which("perf") is not None:
        tried = subprocess.run([*perf, "true"], check=False, capture_output=True)
        if tried.stderr[:1].isdigit():
            return perf
    if shutil.which("valgrind") is not None:
        # some fifty times slower, and the same in every run
        return [
            "valgrind",
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ]
    return []


def _run(
    folder: Path, scenario: str, core: list[str], counting: list[str]
) -> tuple[float, int, dict[str, float]]:
    """Run a scenario; return what it cost, its requests, and figures of the generator."""
    file, results = folder / "load.toml", folder / "results"
    file.write_text(scenario)
    shutil.rmtree(results, ignore_errors=True)
    command = [*core, *counting, sys.executable, "-m", "loadcheck", "run"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    ran = subprocess.run([*command, str(file), "-q"], cwd=folder, check=False, capture_output=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    if counting:
        found = re.search(rb"(?:^|refs:\s+)([\d,]+?)(?:,,|$)", ran.stderr, re.MULTILINE)
        assert found is not None, ran.stderr[-400:]
        used = float(found[1].replace(b",", b""))
    documents = [orjson.loads(path.read_bytes()) for path in results.glob("*.json")]
    requests = sum(
        step["attempts"]
        for document in documents
        for name, step in document["steps"].items()
        if name != "workflow"  # copies as a whole: no requests
    )
    figures = {
        "peak_memory_bytes": max(d["generator"]["peak_memory_bytes"] for d in documents),
        "acknowledged": sum(d["copies"]["acknowledged"] for d in documents),
        "skipped": sum(d["copies"]["skipped"] for d in documents),
    }
    return used, requests, figures


def _cost(folder: Path, core: list[str], top: str, rest: str, concurrency: int) -> float:
    """Return what a request costs."""
    points, counting = [], _counting()
    for copies in (1000, 4000) if "valgrind" in counting else (4000, 16_000):
        load = _CLOSED.format(concurrency=concurrency, copies=copies)
        used, requests, _ = _run(folder, top + load + rest, core, counting)
        points.append((used, requests))
    (less, few), (more, many) = points
    return (more - less) / (many - few)


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "")
    ours, theirs = cores()
    with tempfile.TemporaryDirectory() as name, target(theirs) as port:
        folder = Path(name)
        rows = "".join(f"user{i},{('DE', 'FR', 'US')[i % 3]}\n" for i in range(10_000))
        (folder / "people.csv").write_text("name,country\n" + rows)
        plain, two = (_TOP.format(port=port, query=query) for query in ("after", "each"))
        alone = _cost(folder, ours, plain, "", 50)
        steps = _cost(folder, ours, two, "", 50)
        drawn = _cost(folder, ours, two, _DRAWN, 50)
        mixed = _cost(folder, ours, two, _DRAWN + _FLOWS, 600)
        _, _, thinking = _run(folder, plain + _SESSIONS, ours, [])
    figures = {
        "plain": alone,
        "plain_of_two_steps": steps,
        "drawn": drawn,
        "mix": mixed,
        "mix_over_plain": mixed / alone,
        "mix_over_plain_of_two_steps": mixed / steps,
        "thinking": thinking,
    }
    megabytes = thinking["peak_memory_bytes"] / 1e6
    told = [
        ("figure", "measured"),
        ("a request of the plain flow", f"{alone:,.4g}"),
        ("a request of the plain flow, two steps", f"{steps:,.4g}"),
        ("with data and values", f"{drawn:,.4g} ({drawn / steps:.2f} of two steps)"),
        ("a request of the mix", f"{mixed:,.4g}"),
        ("mix over plain", f"{mixed / alone:.2f} (of two steps: {mixed / steps:.2f})"),
        (f"{_THINKING:,} thinking at once", f"{megabytes:.0f} MB"),
        ("their sessions acknowledged", f"{thinking['acknowledged']:,}"),
        ("skipped", f"{thinking['skipped']:,}"),
    ]
    report(figures, told, as_json=options.json)


if __name__ == "__main__":
    main()
