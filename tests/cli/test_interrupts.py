"""Signals in the middle of a run: nothing that was sent is forgotten, nothing is left running."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from loadcheck.measure import Ledger
from tests.cli.conftest import Loadcheck

LONG = ["--set", "load.duration=60", "--set", "load.rate=500"]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> Any:
    """Return the first true value of a condition."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def document(loadcheck: Loadcheck) -> dict[str, Any]:
    (path,) = loadcheck.results()
    read: dict[str, Any] = orjson.loads(path.read_bytes())
    return read


def started(loadcheck: Loadcheck) -> int:
    """Return how many copies the results file says were started."""
    return int(document(loadcheck)["copies"]["started"]) if loadcheck.results() else 0


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def words(process: psutil.Process) -> list[str]:
    """Return its command line; none if it has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(processes: list[psutil.Process]) -> bool:
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.long
@pytest.mark.stops_generator
def test_a_process_that_was_stopped_blames_nobody_and_sends_no_burst(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    limits = '["uploadEvents.max < 900ms", "skipped == 0", "error_rate < 1%"]'
    slow = "target.faults.slow={rate=1.0, delay='20ms'}"
    process = loadcheck.start(
        *("run", smoke, "--set", "load.duration=8", "--set", "load.rate=200"),
        *("--set", slow, "--set", f"thresholds={limits}"),
    )
    wait_for(lambda: started(loadcheck) > 100)
    process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    process.send_signal(signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stdout + stderr
    result = document(loadcheck)
    generator, copies = result["generator"], result["copies"]
    longest = max(generator["pauses"], key=lambda pause: pause["length_s"])
    assert longest["length_s"] > 1.5
    assert not longest["suspended"]
    assert copies["skipped"] >= generator["paused"] > 300
    assert copies["started"] == 1600 - copies["skipped"]
    assert copies["acknowledged"] == copies["started"]
    # what fell due in the last tenth of a second is started at once
    assert max(result["timeline"]["started"]) <= 200 * 1.4
    told = {each["expression"]: each for each in result["thresholds"]}
    assert told["error_rate < 1%"]["verdict"] == "pass"
    slowest = told["uploadEvents.max < 900ms"]
    assert slowest["verdict"] == "unknown"
    assert slowest["low"] < 900 < slowest["measured"] == slowest["high"]
    assert told["skipped == 0"]["verdict"] == "unknown"
    assert "The load generator paused for" in stdout
    assert "may be the generator's own delay" in stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("workers", [[], pytest.param(["--workers", "2"], marks=pytest.mark.long)])
def test_one_signal_ends_the_load_and_the_verdict_is_still_told(
    loadcheck: Loadcheck, smoke: Path, number: signal.Signals, workers: list[str]
) -> None:
    process = loadcheck.start("run", smoke, *LONG, *workers)
    wait_for(lambda: started(loadcheck) > 100)
    emulator = children(process)
    assert emulator
    # as a terminal that is closed, timeout(1) and a service manager do: to every process
    for pid in (*(each.pid for each in emulator), process.pid):
        os.kill(pid, number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    result = document(loadcheck)
    copies = result["copies"]
    assert result["run"]["phase"] == "complete"
    assert result["run"]["interrupted"] is True
    assert 100 < copies["started"] < 30_000
    assert copies["acknowledged"] == copies["started"]
    assert result["consistency"]["uniques"] == copies["started"]
    assert result["verdict"] == "pass"
    assert stdout.startswith(" INTERRUPTED ")
    assert "Interrupted: waiting for the count. Ctrl-C again: save at once." in stderr
    assert "PASS" not in stdout
    wait_for(lambda: gone(emulator))


def test_two_signals_save_at_once(loadcheck: Loadcheck, smoke: Path) -> None:
    # events become visible only after an hour: without the second signal it would wait for them
    process = loadcheck.start(
        "run",
        smoke,
        *LONG,
        *("--set", "target.visibility_delay=1h", "--set", "verify.deadline=10m"),
        *("--set", "verify.quiet=5m"),
    )
    wait_for(lambda: started(loadcheck) > 100)
    # a terminal and timeout(1) both send one: that is one wish
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    result = document(loadcheck)
    assert result["run"]["phase"] == "complete"
    assert result["verdict"] == "unknown"
    assert result["copies"]["acknowledged"] > 100


def test_kill_leaves_a_file_that_is_a_second_old_and_no_emulator(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    process = loadcheck.start("run", smoke, *LONG)
    wait_for(lambda: started(loadcheck) > 1000)
    emulator = children(process)
    time.sleep(1.7)
    process.kill()
    killed_at = time.time()
    process.communicate()
    wait_for(lambda: gone(emulator))
    result = document(loadcheck)
    assert result["run"]["phase"] == "running"
    assert result["verdict"] == "unknown"
    # at most the last second is missing, and what a busy machine may take to save
    assert killed_at - loadcheck.results()[0].stat().st_mtime < 2
    ledger = Ledger.from_json(result["ledger"])
    assert len(ledger.started) == result["copies"]["started"]
    shown = loadcheck("show", loadcheck.results()[0])
    assert shown.code == 0
    assert "UNKNOWN" in shown.stdout
    assert "killed" in shown.stdout


def test_the_intent_is_on_disk_before_the_first_request(loadcheck: Loadcheck, smoke: Path) -> None:
    process = loadcheck.start("run", smoke, *LONG)
    wait_for(loadcheck.results)
    intent = document(loadcheck)
    assert intent["run"]["phase"] in ("intent", "running")
    assert intent["run"]["id"]
    assert intent["scenario"]["load"]["rate"] == 500
    process.kill()
    process.communicate()


def on_a_terminal(loadcheck: Loadcheck, *arguments: str | Path, **env: str) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and what the terminal was sent."""
    main, side = pty.openpty()
    process = loadcheck.start(*arguments, stdout=side, stderr=side, env={"TERM": "xterm", **env})
    os.close(side)
    seen = b""
    while True:
        try:
            seen += os.read(main, 65536)
        except OSError:
            break
    process.wait(timeout=30)
    os.close(main)
    return process.returncode, seen.decode()


def test_a_terminal_sees_a_live_view_that_is_wiped_at_the_end(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    code, text = on_a_terminal(loadcheck, "run", smoke)
    assert code == 0
    assert "in flight" in text
    assert re.search(r"\x1b\[\d+A\r\x1b\[J", text)
    assert "PASS" in text.rpartition("\x1b[J")[2]


@pytest.mark.long
def test_no_color_is_honoured_on_a_terminal(loadcheck: Loadcheck, smoke: Path) -> None:
    _, text = on_a_terminal(loadcheck, "run", smoke, "--quiet", NO_COLOR="1")
    assert "PASS" in text
    assert "\x1b[" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_in_a_callback_of_the_event_loop_ends_its_work_without_a_traceback(
    number: signal.Signals,
) -> None:
    code = f"""
import asyncio, os, signal, sys
import anyio
from loadcheck.cli.exits import interruptible, run_command
from loadcheck.cli.terminal import in_loop
class Heard(asyncio.Protocol):
    def data_received(self, data):
        os.kill(os.getpid(), {int(number)})
        for _ in range(1000):  # the handler is called between two instructions
            pass
async def work():
    reading, writing = os.pipe()
    await asyncio.get_running_loop().connect_read_pipe(Heard, os.fdopen(reading, "rb"))
    os.write(writing, b"x")
    await anyio.sleep(60)
interruptible()
sys.exit(run_command(lambda: in_loop(work)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_the_command_line_is_imported_ends_without_a_traceback(
    loadcheck: Loadcheck,
) -> None:
    pressed = """
import os, signal, sys
class Pressed:
    def find_spec(self, name, path=None, target=None):
        if name == "loadcheck.cli.app":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Pressed())
from loadcheck.cli import main
sys.argv[1:] = ["--version"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", pressed], check=False, capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
