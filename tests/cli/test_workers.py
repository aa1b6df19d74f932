"""A load that several processes share: it is one load, and says so if one of them is lost."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from loadcheck.measure import Ledger
from tests.cli.conftest import Loadcheck
from tests.cli.test_interrupts import children, document, gone, started, wait_for, words

LONG = ["--set", "load.duration=60", "--set", "load.rate=400"]


def shards(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in processes if "shard" in words(each)]


def test_two_workers_send_one_load(loadcheck: Loadcheck, smoke: Path) -> None:
    page, table = loadcheck.folder / "page.html", loadcheck.folder / "table.md"
    reports = ("--report", page, "--markdown", table)
    ended = loadcheck("run", smoke, "--workers", "2", "--set", "load.duration=1.5", *reports)
    assert ended.code == 0, ended.stderr
    result = ended.result
    copies, workers = result["copies"], result["run"]["workers"]
    assert copies["started"] == copies["acknowledged"] == copies["planned"] == 150
    assert [worker["acknowledged"] for worker in workers["shards"]] == [75, 75]
    assert {worker["end"] for worker in workers["shards"]} == {"planned"}
    assert len({worker["pid"] for worker in workers["shards"]}) == 2
    assert result["consistency"]["uniques"] == 150
    assert sum(result["timeline"]["acknowledged"]) == 150
    assert sum(result["intervals"]["acknowledged"]) == 150
    ledger = Ledger.from_json(result["ledger"])
    assert ledger.acknowledged == ledger.started
    assert list(ledger.started) == list(range(150))
    assert result["steps"]["uploadEvents"]["succeeded"] == 150
    assert "150 copies in 1.5 s by 2 workers   " in ended.stdout
    assert "/s by 2 workers, target 100/s" in table.read_text()
    assert all(f">{text}</" in page.read_text() for text in ("worker 1", "worker 2", "finished"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["load.max_in_flight=1"], "load.max_in_flight: 1 copy in flight cannot be divided"),
        (["limits.uploadEvents.concurrency=1"], "limits.uploadEvents.concurrency: 1 request "),
    ],
)
def test_a_share_of_nothing_is_refused(
    loadcheck: Loadcheck, smoke: Path, changes: list[str], said: str
) -> None:
    sets = [word for change in changes for word in ("--set", change)]
    ended = loadcheck("run", smoke, "--workers", "2", *sets)
    assert ended.code == 2
    assert said in ended.stderr
    assert not ended.results


def bounds_hold(result: Mapping[str, Any]) -> None:
    """P8: what was counted lies between what was told and what may have been sent."""
    copies, seen = result["copies"], result["consistency"]
    lower, upper = copies["acknowledged"], copies["acknowledged"] + copies["indeterminate"]
    assert lower <= seen["uniques"] <= upper, (lower, seen["uniques"], upper)
    ledger = Ledger.from_json(result["ledger"])
    assert len(ledger.acknowledged) == lower
    assert len(ledger.indeterminate) == copies["indeterminate"]
    assert sum(result["timeline"]["started"]) == copies["started"]


@pytest.mark.long
@pytest.mark.parametrize("after_s", [0.1, 0.9, 2.35])
@pytest.mark.parametrize("keep_going", [False, True])
def test_of_a_worker_that_is_killed_nothing_is_forgotten(
    loadcheck: Loadcheck, smoke: Path, after_s: float, *, keep_going: bool
) -> None:
    options = ["--keep-going"] if keep_going else []
    process = loadcheck.start(
        *("run", smoke, "--workers", "3"),
        *options,
        *("--set", "load.duration=7", "--set", "load.rate=600"),
    )
    wait_for(lambda: started(loadcheck) > 100)
    time.sleep(after_s)
    shards(children(process))[1].kill()
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 3, stdout + stderr
    result = document(loadcheck)
    bounds_hold(result)
    (finding,) = (each for each in result["findings"] if each["check"] == "shard")
    assert "killed by signal 9" in finding["summary"]
    assert finding["summary"].endswith("See why on its machine (memory, network), and run again.")
    assert 0 < finding["evidence"]["indeterminate"] < 600
    ends = [worker["end"] for worker in result["run"]["workers"]["shards"]]
    others = "planned" if keep_going else "stopped"
    assert sorted(ends) == sorted(["lost", others, others])
    # no more is told to have been sent than was planned for so long, however late the worker's
    # death was noticed
    copies, load = result["copies"], result["load"]
    ended = copies["acknowledged"] + copies["rejected"] + copies["indeterminate"]
    assert copies["started"] < ended
    assert load["reached_rate"] == pytest.approx(copies["started"] / load["duration_s"])
    assert load["reached_ratio"] < 1
    assert sum(result["timeline"]["started"]) == copies["started"]
    assert "achieved ≥ " in stdout
    assert result["spent"]["users"] == result["spent"]["events"] == ended
    if keep_going:
        assert copies["acknowledged"] > 2700


@pytest.mark.long
def test_what_the_service_lost_is_proven_though_a_worker_is_lost_too(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    process = loadcheck.start(
        *("run", smoke, "--workers", "2", "--keep-going"),
        *("--set", "load.duration=6", "--set", "load.rate=200"),
        *("--set", "target.faults={drop = {count = 200, among = 400}}"),
    )
    wait_for(lambda: started(loadcheck) > 100)
    shards(children(process))[1].kill()
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 1, stdout + stderr
    result = document(loadcheck)
    found = {each["check"]: each["verdict"] for each in result["findings"]}
    assert (found["shard"], found["lost"]) == ("unknown", "fail")
    assert result["copies"]["indeterminate"] > 0
    assert 0 < result["consistency"]["lost_at_least"] <= 200


@pytest.mark.long
@pytest.mark.stops_generator
def test_a_worker_that_stands_still_for_a_while_is_not_lost(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    process = loadcheck.start(
        *("run", smoke, "--workers", "2", "--set", "load.duration=9", "--set", "load.rate=200")
    )
    wait_for(lambda: started(loadcheck) > 100)
    frozen = shards(children(process))[0]
    frozen.suspend()
    time.sleep(4.5)
    frozen.resume()
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode in (0, 3), stdout + stderr
    result = document(loadcheck)
    bounds_hold(result)
    copies = result["copies"]
    assert copies["acknowledged"] == copies["started"] == 1800 - copies["skipped"]
    assert 300 < copies["skipped"] < 600
    assert any("was silent" in each for each in result["warnings"])
    paused = f"worker 1 ({os.uname().nodename}): {copies['skipped']} copies"
    assert any("1 paused" in each and paused in each for each in result["warnings"])
    assert {worker["end"] for worker in result["run"]["workers"]["shards"]} == {"planned"}


@pytest.mark.long
def test_an_interrupt_reaches_all_workers(loadcheck: Loadcheck, smoke: Path) -> None:
    process = loadcheck.start("run", smoke, "--workers", "2", *LONG, start_new_session=True)
    wait_for(lambda: started(loadcheck) > 100)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == 130, stderr
    result = document(loadcheck)
    bounds_hold(result)
    assert {worker["end"] for worker in result["run"]["workers"]["shards"]} == {"stopped"}
    assert result["copies"]["indeterminate"] == 0


_DRAWN_OTHERWISE = (
    "import numpy.random as r; draw = r.default_rng; r.default_rng = lambda seed: draw(seed + 1)"
)


@pytest.mark.long
@pytest.mark.parametrize(
    ("other", "told", "remedy"),
    [
        (
            "import loadcheck; loadcheck.__version__ = '0.0.9'",
            "runs loadcheck 0.0.9, this is ",
            "install the same version there",
        ),
        (
            _DRAWN_OTHERWISE,
            "has made another load of the same scenario",
            "versions of numpy and faker",
        ),
    ],
    ids=["loadcheck", "numpy"],
)
def test_another_version_is_refused_before_anything_is_sent(
    loadcheck: Loadcheck, smoke: Path, other: str, told: str, remedy: str
) -> None:
    old = loadcheck.folder / "old"
    old.mkdir()
    code = f"{other}; import loadcheck.cli as c; c.main()"
    script = old / "loadcheck"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    script.chmod(0o755)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    prefixes = [f"env PATH={path}", f"env PATH={old}:{path}"]
    ended = loadcheck(
        *("run", smoke, "--set", "load.arrivals=poisson"),
        *(word for each in prefixes for word in ("--prefix", each)),
    )
    assert ended.code == 2, ended.stderr
    said = " ".join(ended.stderr.split())
    assert "worker 2 (" in said
    assert told in said
    assert remedy in said
    assert not ended.results


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_workers_start_ends_all_at_once(
    loadcheck: Loadcheck, smoke: Path, number: signal.Signals
) -> None:
    path = f"env PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    slow = f"sh -c 'sleep 600; exec \"$@\"' -- {path}"
    process = loadcheck.start("run", smoke, "--prefix", path, "--prefix", slow)
    wait_for(lambda: shards(children(process)))
    wait_for(lambda: any("sleep" in words(each) for each in children(process)))
    workers = children(process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert "Interrupted." in stderr
    assert not loadcheck.results()
    wait_for(lambda: gone(workers), 10)


@pytest.mark.long
def test_a_second_interrupt_ends_the_workers_at_once(loadcheck: Loadcheck, smoke: Path) -> None:
    process = loadcheck.start("run", smoke, "--workers", "2", *LONG)
    wait_for(lambda: started(loadcheck) > 100)
    workers = shards(children(process))
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert gone(workers)
    bounds = document(loadcheck)["copies"]
    # what they may have sent after their last word is indeterminate, and not sent
    assert 100 < bounds["started"] <= bounds["acknowledged"] + bounds["indeterminate"]


@pytest.mark.long
@pytest.mark.parametrize("together", [1, 7])
def test_a_closed_load_is_shared_by_number(
    loadcheck: Loadcheck, smoke: Path, together: int
) -> None:
    folder = loadcheck.folder
    text = smoke.read_text()
    closed = '[load]\nmodel = "closed"\nconcurrency = 21\ncopies = 500\n'
    closed += f"copies_per_request = {together}\n"
    head, _, tail = text.partition("[load]")
    after = tail[tail.index("\n[") :] if "\n[" in tail else ""
    (folder / "closed.toml").write_text(head + closed + after)
    ended = loadcheck("run", folder / "closed.toml", "--workers", "3")
    assert ended.code == 0, ended.stderr
    result = ended.result
    assert result["copies"]["acknowledged"] == 500
    assert list(Ledger.from_json(result["ledger"]).started) == list(range(500))
    assert sum(worker["started"] for worker in result["run"]["workers"]["shards"]) == 500


@pytest.mark.long
def test_workers_run_behind_any_command(loadcheck: Loadcheck, smoke: Path) -> None:
    scripts = Path(sys.executable).parent
    path = f"PATH={scripts}:{os.environ['PATH']}"
    ended = loadcheck(
        *("run", smoke, "--prefix", f"env {path}", "--prefix", f"nice -n 3 env {path}")
    )
    assert ended.code == 0, ended.stderr
    result = ended.result
    first, second = result["run"]["workers"]["shards"]
    assert second["nice"] - first["nice"] == 3
    assert result["copies"]["acknowledged"] == 200
    assert any("nice" in each for each in result["warnings"])


@pytest.mark.long
def test_clocks_that_count_from_another_instant_make_no_difference(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    apart = ["unshare", "--time", "--fork", "--monotonic", "90000", "--boottime", "90000"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("time namespaces need root")
    path = f"env PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = loadcheck("run", smoke, "--prefix", f"{shlex.join(apart)} {path}", "--prefix", path)
    assert ended.code == 0, ended.stderr
    result = ended.result
    assert result["copies"]["acknowledged"] == result["consistency"]["uniques"] == 200
    assert sum(result["timeline"]["acknowledged"][:3]) == 200
    for worker in result["run"]["workers"]["shards"]:
        assert 0 < worker["clock_error_ms"] < 1000
        assert worker["acknowledged"] == 100


_BUG = "from loadcheck.cli.exits import run_command as run; exit(run(lambda: 1 / 0))"


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("no-such-command-anywhere", 'cannot be started by "no-such-command-anywhere"'),
        ("false", "worker 1 on false did not come up: it ended with exit code 1"),
        (
            f"{sys.executable} -c '{_BUG}'",
            "did not come up: it ended with exit code 70: ZeroDivisionError: division by zero;",
        ),
        ("echo", "something else writes into the stream: 'loadcheck shard"),
    ],
)
def test_a_command_that_starts_no_worker_is_told(
    loadcheck: Loadcheck, smoke: Path, prefix: str, said: str
) -> None:
    ended = loadcheck("run", smoke, "--prefix", prefix)
    assert ended.code == 2, ended.stderr
    assert said in ended.stderr
    assert ended.stderr.startswith("error: "), "it is said once"
    assert not ended.results


_ASKS = """
import sys
sys.stderr.write("The authenticity of far cannot be established.\\nToken {token}? (yes/no) ")
sys.stderr.flush()
sys.stdin.read()
"""


@pytest.mark.long
def test_what_a_command_asks_is_shown_while_it_waits(
    loadcheck: Loadcheck, smoke: Path, tmp_path: Path
) -> None:
    token = "hush-hush-4711"
    asks = tmp_path / "asks.py"
    asks.write_text(_ASKS.format(token=token))
    process = loadcheck.start(
        *("run", smoke, "--prefix", f"{sys.executable} {asks}"),
        *("--set", 'inputs.eventType={ env = "TOKEN" }'),
        env={"TOKEN": token},
    )
    assert process.stderr is not None
    line = ""
    while "which says" not in line:
        line = process.stderr.readline()
        assert line
    place = f"{sys.executable} {asks}"
    assert line == f"waiting for worker 1 on {place}, which says: Token ***? (yes/no)\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not loadcheck.results()


@pytest.mark.long
def test_what_breaks_in_a_worker_is_told(loadcheck: Loadcheck, smoke: Path, tmp_path: Path) -> None:
    broken = "import loadcheck.pipeline.shards.shard as s; s._Load.run = None"
    script = tmp_path / "loadcheck"
    code = f"{broken}; import loadcheck.cli as c; c.main()"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    script.chmod(0o755)
    ended = loadcheck("run", smoke, "--prefix", f"env PATH={tmp_path}:{os.environ['PATH']}")
    assert ended.code == 3, ended.stderr
    (found,) = (each for each in ended.result["findings"] if each["check"] == "shard")
    assert "TypeError: 'NoneType' object is not callable" in found["summary"]
    assert "ExceptionGroup" not in found["summary"]


def test_a_secret_in_a_command_line_is_hidden(loadcheck: Loadcheck, smoke: Path) -> None:
    token = "hush-hush-4711"
    options = ["--set", 'inputs.eventType={ env = "TOKEN" }']
    for prefix, told in (
        (f"false {token}", "worker 1 on false *** did not come up"),
        (f"/no/{token}/ssh", 'worker 1 cannot be started by "/no/***/ssh"'),
    ):
        ended = loadcheck("run", smoke, "--prefix", prefix, *options, env={"TOKEN": token})
        assert ended.code == 2, ended.stderr
        assert told in ended.stderr
        assert token not in ended.stdout + ended.stderr
    path = f"env TOKEN={token} PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    process = loadcheck.start("run", smoke, "--prefix", path, *options, env={"TOKEN": token})
    wait_for(lambda: started(loadcheck) > 20)
    family = children(process)
    assert shards(family)
    assert not [each for each in family if token in " ".join(words(each))]
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    (saved,) = loadcheck.results()
    assert token not in stdout + stderr + saved.read_text()
    assert "TOKEN=***" in saved.read_text()


_RELAY = """
import os, subprocess, sys, threading
from loadcheck.pipeline.shards.remote import Unframer, frame
kind, does = sys.argv[1:3]
shard = subprocess.Popen(
    [sys.executable, "-m", "loadcheck", "shard"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
)
def hear():
    heard = Unframer()
    while data := shard.stdout.read(65536):
        for message in heard.feed(data):
            hollow = message["is"] == kind and does == "hollow"
            os.write(1, frame({"is": kind} if hollow else message))
            if message["is"] == kind and does == "end":
                shard.kill()
                os._exit(9)
    os._exit(0)
threading.Thread(target=hear).start()
while data := os.read(0, 65536):
    shard.stdin.write(data)
shard.stdin.close()
"""
"""Reaches a worker, until it has told something, or says of that nothing but its name."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "does", "told"),
    [
        ("ready", "end", "was lost before the load began: it ended with exit code 9"),
        ("armed", "hollow", "one of its messages cannot be used: KeyError('at_ns')"),
        ("snap", "end", "s into the load: it ended with exit code 9"),
    ],
)
def test_only_who_is_lost_is_blamed_for_it(
    loadcheck: Loadcheck, smoke: Path, kind: str, does: str, told: str
) -> None:
    relay = loadcheck.folder / "relay.py"
    relay.write_text(_RELAY)
    path = f"env PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    other = shlex.join([sys.executable, str(relay), kind, does])
    ended = loadcheck("run", smoke, "--prefix", path, "--prefix", other)
    assert ended.code == 3, ended.stderr
    result = ended.result
    found = {each["check"]: each for each in result["findings"]}
    assert told in found["shard"]["summary"]
    assert "Worker 1" not in found["shard"]["summary"]
    if kind == "snap":
        bounds_hold(result)
    else:
        assert result["copies"]["started"] == 0
        assert "No copy was sent" in found["shard"]["summary"]
    # where it may have gone on for a lease, the load took no longer for that
    assert "generator" not in found
    assert result["load"]["duration_s"] < 5


_LINE = """
import os, queue, subprocess, sys, threading, time
does = sys.argv[1]
shard = subprocess.Popen(
    [sys.executable, "-m", "loadcheck", "shard"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
)
def carry(read, write, end):
    waiting = queue.SimpleQueue()
    def hear():
        while data := read(65536):
            waiting.put((time.monotonic(), data))
        waiting.put((time.monotonic(), b""))
    threading.Thread(target=hear, daemon=True).start()
    while True:
        at, data = waiting.get()
        time.sleep(max(0.0, at + 0.3 * (does == "late") - time.monotonic()))
        if not data:
            return end()
        size = 1 if does == "bits" else len(data)
        for begin in range(0, len(data), size):
            write(data[begin : begin + size])
def shout():
    for _ in range(100):
        os.write(2, b"x" * 999_999 + b"\\n")
if does == "noise":
    threading.Thread(target=shout, daemon=True).start()
up = (lambda size: shard.stdout.read(size), lambda data: os.write(1, data), lambda: os._exit(0))
threading.Thread(target=carry, args=up).start()
carry(lambda size: os.read(0, size), shard.stdin.write, shard.stdin.close)
"""
"""Reaches a worker over a line that is late, passes on bit by bit, or is noisy."""


@pytest.mark.long
@pytest.mark.parametrize("does", ["late", "bits", "noise"])
def test_over_a_bad_line_nothing_is_lost(loadcheck: Loadcheck, smoke: Path, does: str) -> None:
    line = loadcheck.folder / "line.py"
    line.write_text(_LINE)
    path = f"env PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    bad = shlex.join([sys.executable, str(line), does])
    ended = loadcheck("run", smoke, "--prefix", path, "--prefix", bad)
    assert ended.code == 0, ended.stderr
    result = ended.result
    assert result["copies"]["acknowledged"] == result["consistency"]["uniques"] == 200
    workers = result["run"]["workers"]["shards"]
    assert [worker["acknowledged"] for worker in workers] == [100, 100]
    late = does == "late"
    assert (workers[1]["clock_error_ms"] > 250) is late
    assert any("clocks are known to" in each for each in result["warnings"]) is late
    assert ("a message to worker 2 (" in ended.stderr) is late


_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int told = real(clock, at);
    static int set;
    if (clock == CLOCK_REALTIME && (set || (set = !access(getenv("STEP_WHEN"), F_OK))))
        at->tv_sec += atol(getenv("STEP_S"));
    return told;
}
"""
"""A wall clock that is set while a process runs."""


@pytest.mark.long
@pytest.mark.parametrize("step_s", [3600, -3600])
@pytest.mark.parametrize("whose", ["run", "worker"])
def test_a_wall_clock_that_is_set_meanwhile_makes_no_difference(
    loadcheck: Loadcheck, smoke: Path, whose: str, step_s: int
) -> None:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a clock of its own needs Linux and a C compiler")
    source, library = loadcheck.folder / "clock.c", loadcheck.folder / "clock.so"
    source.write_text(_CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    mine = {
        "LD_PRELOAD": str(library),
        "STEP_WHEN": str(loadcheck.folder / "now"),
        "STEP_S": str(step_s),
    }
    path = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    right = f"env -u LD_PRELOAD {path}"
    wrong = shlex.join(["env", *(f"{name}={value}" for name, value in mine.items()), path])
    # a process of its own: what is loaded before it is loaded as it starts
    process = loadcheck.start(
        *("run", smoke, "--set", "load.duration=10"),
        *("--prefix", right, "--prefix", wrong if whose == "worker" else right),
        env=mine if whose == "run" else {},
    )
    wait_for(lambda: started(loadcheck) > 100)
    (loadcheck.folder / "now").touch()
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stdout + stderr
    result = document(loadcheck)
    assert result["copies"]["acknowledged"] == result["consistency"]["uniques"] == 1000
    assert all(90 <= row <= 110 for row in result["timeline"]["due"][:10])
    assert 0 < result["steps"]["uploadEvents"]["response_time"]["max_ms"] < 60_000
    # by the same clock as ours: the last answers were asked for after every acknowledgement
    assert result["consistency"]["observations"][-1]["acknowledged"] == 1000
    if whose == "run":
        began, over = (
            datetime.fromisoformat(result["run"][f"{at}_at"]) for at in ("started", "ended")
        )
        assert abs((over - began).total_seconds() - step_s) < 600, "it was not set"


@pytest.fixture
def rows_received() -> Iterator[tuple[str, list[str]]]:
    """Serve what takes every upload, and note the rows in them."""
    received: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.extend(each["event_properties"]["row"] for each in body["events"])
            told = json.dumps({"code": 200, "events_ingested": len(body["events"])}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", received
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("rows", "end"), [(60, "error"), pytest.param(41, "stop", marks=pytest.mark.long)]
)
def test_rows_taken_once_are_taken_once_by_all_workers(
    loadcheck: Loadcheck,
    rows_received: tuple[str, list[str]],
    tmp_path: Path,
    rows: int,
    end: str,
) -> None:
    url, received = rows_received
    written = [f"row-{number}" for number in range(rows)]
    (tmp_path / "rows.csv").write_text("\n".join(["row", *written]))
    scenario = tmp_path / "rows.toml"
    scenario.write_text(f"""
workflow = "amplitude"
thresholds = ["error_rate == 0"]
inputs = {{ eventType = "probe", apiKey = "{"a" * 32}", basicAuth = "b" }}
[target]
kind = "live"
servers = {{ httpV2Api = "{url}", dashboardRestApi = "{url}" }}
[load]
model = "closed"
copies = 60
concurrency = 6
[verify]
enabled = false
[data.people]
file = "rows.csv"
order = "once"
end = "{end}"
[[overlay]]
step = "uploadEvents"
at = "body#/events/0/event_properties/row"
value = "$data.people.row"
""")
    ended = loadcheck("run", scenario, "--workers", "2")
    assert ended.code == 0, ended.stdout + ended.stderr
    assert len(ended.result["run"]["workers"]["shards"]) == 2
    assert Counter(received) == Counter(written)
