"""Runs that are killed at random instants: every file can be read, and is a second old at most."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loadcheck.measure import Ledger
from loadcheck.result import read

SMOKE = Path(__file__).resolve().parents[2] / "scenarios" / "smoke.toml"
NUMBER = int(os.environ.get("LOADCHECK_KILLS", "200"))
MOST_S = 1.0
BUSY_S = 1.0  # what a machine that is busy may take to get to it


def kill_one(folder: Path, after_s: float, *, begun: bool) -> float | None:
    """Kill a run so long after it was started, or has begun; return how old its file is.

    None if it has none, or only the intent: nothing was sent then.
    """
    folder.mkdir()
    path = folder / "run.json"
    command = [sys.executable, "-m", "loadcheck", "run", str(SMOKE), "--quiet", "-o", "run.json"]
    command += ["--set", "load.duration=60", "--set", "load.rate=200"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        if begun:
            wait_for_file(path)
        time.sleep(after_s)
        process.kill()
        killed_at = time.time()
    if not path.exists():
        return None
    document = read(path)
    assert document["run"]["phase"] in ("intent", "running")
    assert "in_progress" not in document["run"]
    if document["run"]["phase"] == "intent":
        return None
    assert len(Ledger.from_json(document["ledger"]).started) == document["copies"]["started"]
    return killed_at - path.stat().st_mtime


def wait_for_file(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_kill_costs_a_second_at_most(tmp_path: Path) -> None:
    chance = random.Random(20_260_302)
    instants = [chance.uniform(0, 3.0) for _ in range(NUMBER)]

    def kill(number: int) -> float | None:
        return kill_one(tmp_path / str(number), instants[number], begun=number % 3 > 0)

    with ThreadPoolExecutor(2) as pool:
        ages = list(pool.map(kill, range(NUMBER)))
    found = [age for age in ages if age is not None]
    assert len(found) > NUMBER / 10
    late = [age for age in found if age > MOST_S + BUSY_S]
    assert not late


@pytest.mark.long
def test_what_killed_runs_leave_is_taken_away_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadcheck", "run", str(SMOKE), "--quiet"]
    for _ in range(3):
        with subprocess.Popen(
            [*command, "--set", "load.duration=60"], cwd=tmp_path, stdout=subprocess.DEVNULL
        ) as process:
            until = time.monotonic() + 60
            while not list(tmp_path.glob("results/.loadcheck-*.lock")):
                assert time.monotonic() < until
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
    subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL, check=False, timeout=90)
    assert not list(tmp_path.glob("results/.*"))
