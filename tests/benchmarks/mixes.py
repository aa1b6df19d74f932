"""What users who think, come again and do different things cost.

``python -m tests.benchmarks.mixes`` sends to a server that does next to nothing. What must hold: a
mix of three flows with data files, drawn values and time to think costs at most 1.35 times the CPU
of the plain flow for a request; 60,000 sessions that think at once take at most 400 MB.

The plain flow has the same two steps, and as many users. Users who think send less, and a process
that sleeps in between pays for waking up, whatever it sends: so the plain flow is also sent to a
server that answers so late that both send about as much. What a request costs is the processor's
time of the whole process in a tenth of a second of the load, divided by the requests that ended in
it; of all such tenths the cheapest tenth is told and the median, for on a machine that does other
things as well the dear ones are those in which it did. Instructions are not counted: an emulated
processor is so slow that what happens each second would weigh fifty times what it does.
"""

from __future__ import annotations

import re
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import orjson

from loadcheck.measure.record import Record
from tests.benchmarks.harness import ROOT, arguments, cores, report, target

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
_CLOSED = 'model = "closed"\nconcurrency = {}\nduration = "{:g}s"\n'
_OPEN = 'model = "open"\nrate = {}\nduration = "{:g}s"\n'
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


_USERS, _MANY, _FEW, _RATE = 600, 2400, 50, 2000
_LATE_S = "0.05"
"""How late the second server answers, in the mean: half as long as the mix's users think."""
_WINDOW_S, _WARM_S = 0.1, 1.0


def _measured(folder: Path) -> None:
    """Run the scenario of a folder in this process; write down what its requests cost."""
    records: list[Record] = []
    windows: list[tuple[float, int]] = []
    begin = Record.begin

    def begun(record: Record, begin_ns: int) -> None:
        records.append(record)
        begin(record, begin_ns)

    def watch() -> None:
        before: tuple[float, int] | None = None
        while True:
            time.sleep(_WINDOW_S)
            if not records:
                continue
            if before is None:
                time.sleep(_WARM_S)
            elif any(record.load_ns for record in records):
                return
            now = time.process_time(), sum(s.attempts for each in records for s in each.steps)
            if before is not None and now[1] > before[1]:
                windows.append((now[0] - before[0], now[1] - before[1]))
            before = now

    Record.begin = begun  # type: ignore[assignment, method-assign]  # to see what comes of it meanwhile
    threading.Thread(target=watch, daemon=True).start()
    sys.argv = ["loadcheck", "run", str(folder / "load.toml"), "-q"]
    try:
        runpy.run_module("loadcheck", run_name="__main__")
    finally:
        (folder / "windows.json").write_bytes(orjson.dumps(windows))


def _run(folder: Path, scenario: str, core: list[str]) -> list[tuple[float, int]]:
    """Run a scenario; return the processor's time and the requests of each tenth of a second."""
    (folder / "load.toml").write_text(scenario)
    shutil.rmtree(folder / "results", ignore_errors=True)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    code += "from pathlib import Path; from tests.benchmarks import mixes; "
    code += "mixes._measured(Path.cwd())"
    command = [*core, sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True)
    assert (folder / "windows.json").exists(), ran.stderr[-400:]
    windows: list[tuple[float, int]] = orjson.loads((folder / "windows.json").read_bytes())
    return windows


def _told(windows: list[tuple[float, int]]) -> dict[str, float]:
    """Return what a request costs, in µs, and how many there were in a second."""
    costs = sorted(spent / requests * 1e6 for spent, requests in windows)
    return {
        "us": costs[len(costs) // 10],
        "us_median": statistics.median(costs),
        "requests_per_s": statistics.median(requests for _, requests in windows) / _WINDOW_S,
    }


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", seconds=5.0, rounds=2)
    ours, theirs = cores()
    found: dict[str, list[tuple[float, int]]] = {}
    with (
        tempfile.TemporaryDirectory() as name,
        target(theirs) as port,
        target(theirs, "--after", _LATE_S) as late_port,
    ):
        folder = Path(name)
        rows = "".join(f"user{i},{('DE', 'FR', 'US')[i % 3]}\n" for i in range(10_000))
        (folder / "people.csv").write_text("name,country\n" + rows)
        one, two = (_TOP.format(port=port, query=query) for query in ("after", "each"))
        late = _TOP.format(port=late_port, query="each")
        together = re.sub("load = .*\n", "", _FLOWS)
        loads = {
            "one step, 50 users": one + _CLOSED.format(_FEW, options.seconds),
            "two steps, 50 users": two + _CLOSED.format(_FEW, options.seconds),
            "two steps": two + _CLOSED.format(_USERS, options.seconds),
            "two steps, as slow": late + _CLOSED.format(_USERS, options.seconds),
            "with data and values": two + _CLOSED.format(_USERS, options.seconds) + _DRAWN,
            "a mix of it": two + _CLOSED.format(_USERS, options.seconds) + _DRAWN + together,
            "a mix that thinks": two + _CLOSED.format(_USERS, options.seconds) + _DRAWN + _FLOWS,
            "2,400 users": two + _CLOSED.format(_MANY, options.seconds) + _DRAWN + _FLOWS,
            "open, two steps": two + _OPEN.format(_RATE, options.seconds),
            "open, a mix that thinks": two + _OPEN.format(_RATE, options.seconds) + _DRAWN + _FLOWS,
        }
        for _ in range(options.rounds):
            for what, scenario in loads.items():
                found.setdefault(what, []).extend(_run(folder, scenario, ours))
        _run(folder, one + _SESSIONS, ours)
        documents = [orjson.loads(path.read_bytes()) for path in (folder / "results").glob("*")]
    thinking = documents[0]
    megabytes = thinking["generator"]["peak_memory_bytes"] / 1e6
    costs = {what: _told(windows) for what, windows in found.items()}
    plain, mixed = costs["two steps"]["us"], costs["a mix that thinks"]["us"]
    as_slow = costs["two steps, as slow"]["us"]
    figures = {
        "costs": costs,
        "mix_over_plain_as_slow": mixed / as_slow,
        "mix_over_plain": mixed / plain,
        "mix_over_plain_of_50_users": mixed / costs["two steps, 50 users"]["us"],
        "thinking_megabytes": megabytes,
        "thinking_acknowledged": thinking["copies"]["acknowledged"],
        "thinking_skipped": thinking["copies"]["skipped"],
    }
    told = [
        (
            "600 users, or so many as said",
            "µs a request",
            "median",
            "requests/s",
            "of two steps",
            "as slow",
        ),
        *(
            (
                what,
                f"{cost['us']:.1f}",
                f"{cost['us_median']:.1f}",
                f"{cost['requests_per_s']:,.0f}",
                f"{cost['us'] / plain:.2f}",
                f"{cost['us'] / as_slow:.2f}",
            )
            for what, cost in costs.items()
        ),
        (
            f"{_THINKING:,} thinking at once",
            f"{megabytes:.0f} MB",
            "",
            "",
            f"{thinking['copies']['acknowledged']:,} acknowledged",
            "",
        ),
    ]
    report(figures, told, as_json=options.json)


if __name__ == "__main__":
    main()
