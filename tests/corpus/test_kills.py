"""Runs that are killed at random instants: every file can be read, and misses a second at most."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from loadcheck.measure import Ledger
from loadcheck.result.store import read
from tests.corpus.commands import Commands
from tests.corpus.service import serving, write

SMOKE = Path(__file__).resolve().parents[2] / "scenarios" / "smoke.toml"
NUMBER = int(os.environ.get("LOADCHECK_KILLS", "200"))
TOGETHER = 4
RATE = 50
MOST_S = 1.0
SAVING_S = 0.5
"""What one save may take on a machine that is busy: it is a file of a few kilobytes."""


@dataclass(frozen=True)
class Killed:
    """What a killed run has left, and what the service knows of it.

    Attributes:
        came: Requests that the service received.
        phase: How far its file got; "" if it has none.
        started: Copies that its file holds.
        acknowledged: Those that it says were acknowledged.
    """

    came: int
    phase: str
    started: int
    acknowledged: int

    @property
    def lost_s(self) -> float:
        """How much of the load the file does not hold, by the schedule, which is its own clock.

        A machine that is busy delays the requests as it does the saves.
        """
        return (self.came - self.started) / RATE


def left(path: Path, came: int) -> Killed:
    """Read what a killed run has left."""
    if not path.exists():
        return Killed(came, "", 0, 0)
    document = read(path)
    assert "in_progress" not in document["run"]
    ledger = Ledger.from_json(document["ledger"])
    copies = document["copies"]
    assert len(ledger.started) == copies["started"]
    assert len(ledger.acknowledged) == copies["acknowledged"]
    return Killed(came, document["run"]["phase"], copies["started"], copies["acknowledged"])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_kill_costs_a_second_at_most(tmp_path: Path) -> None:
    chance = random.Random(20_260_302)
    instants = [chance.uniform(0.05, 5.0) for _ in range(NUMBER)]
    came: Counter[str] = Counter()

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if body:
            came[json.loads(body)["key"]] += 1
        return 200, {}, b'{"users": 0}'

    def kill(each: int) -> list[Killed]:
        folder = tmp_path / str(each)
        folder.mkdir()
        write(folder, url)
        found = []
        with Commands(folder) as run:
            for number in range(each, NUMBER, TOGETHER):
                key, path = f"run-number-{number}", folder / f"{number}.json"
                arguments = ["run", "s.toml", "--quiet", "--output", path.name]
                arguments += ["--set", f'load.stages=[{{duration="60s",rate={RATE}}}]']
                done = run(*arguments, env={"THE_KEY": key}, timeout_s=instants[number])
                assert done.code is None, done.stderr
                time.sleep(0.05)  # what was sent before the kill arrives
                found.append(left(path, came[key]))
        return found

    with serving(answer) as url, ThreadPoolExecutor(TOGETHER) as pool:
        killed = [one for several in pool.map(kill, range(TOGETHER)) for one in several]
    assert len(killed) == NUMBER
    phases = Counter(one.phase for one in killed)
    assert set(phases) <= {"", "intent", "running"}
    # nothing is sent before the intent is saved, and nothing is acknowledged that never came
    assert [one for one in killed if not one.phase and one.came] == []
    assert [one for one in killed if one.acknowledged > one.came] == []
    assert [one for one in killed if one.lost_s > MOST_S + SAVING_S] == []
    assert phases["running"] > NUMBER / 10, phases


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
