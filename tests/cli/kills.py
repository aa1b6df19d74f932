"""Kills at random instants, and what must hold after each of them, whoever it was.

All users that were acknowledged are counted, and no more than may have been sent (P8); no event was
sent twice; the one who watches the run was told; nothing is sent once the workers are gone.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from tests.cli.conftest import KEYS, SCENARIOS, Loadcheck, Service, serving
from tests.cli.test_interrupts import children, document, gone, started, wait_for
from tests.cli.test_workers import bounds_hold, shards

LOAD_S = 3.0
RATE = 300
_LEASE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What came of a kill.

    Attributes:
        told_s: How long after it the run told so on its terminal; None for one that was killed
            itself.
        bounds: Acknowledged, counted, acknowledged or indeterminate.
    """

    told_s: float | None
    bounds: tuple[int, int, int]


def instants(number: int, seed: int) -> list[float]:
    """Return random instants of a load, in seconds since some of it was sent."""
    chosen = random.Random(seed)
    return [round(chosen.uniform(0, LOAD_S - 1.2), 3) for _ in range(number)]


def _holds(result: dict[str, Any]) -> tuple[int, int, int]:
    seen, copies = result["consistency"], result["copies"]
    lower, upper = copies["acknowledged"], seen["upper"]
    assert lower <= seen["uniques"] <= upper, (lower, seen["uniques"], upper)
    assert not seen["duplicated"], "an event was sent twice"
    assert seen["totals"] == seen["uniques"]
    return lower, seen["uniques"], upper


class _Heard:
    """When a run said something on its terminal."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[tuple[float, str]] = []
        self._stderr = process.stderr
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        assert self._stderr is not None
        for line in self._stderr:
            self.lines.append((time.monotonic(), line))

    def first(self, word: str) -> float | None:
        """Return when a word was said first; None if it was not."""
        self._thread.join(timeout=30)
        return next((at for at, line in self.lines if word in line), None)


def _run_and_kill(
    loadcheck: Loadcheck, options: list[str], after_s: float, kill: Callable[..., None]
) -> Killed:
    process = loadcheck.start(
        *("run", str(SCENARIOS / "smoke.toml"), *options),
        *("--set", f"load.duration={LOAD_S}", "--set", f"load.rate={RATE}"),
        stdout=subprocess.DEVNULL,
    )
    heard = _Heard(process)
    wait_for(lambda: started(loadcheck) > 0, 120)
    time.sleep(after_s)
    at = time.monotonic()
    kill(process)
    process.wait(timeout=180)
    told = heard.first("is lost")
    result = document(loadcheck)
    ends = {worker["end"] for worker in result["run"]["workers"]["shards"]}
    if "lost" in ends:
        assert told is not None, heard.lines
        assert process.returncode == 3
    bounds_hold(result)
    return Killed(told_s=None if told is None else told - at, bounds=_holds(result))


def kill_shard(after_s: float) -> Killed:
    """Kill one of three workers."""

    def kill(process: subprocess.Popen[str]) -> None:
        # one that has just ended with its part of the load is not to be killed
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            shards(children(process))[1].kill()

    with _folder() as loadcheck:
        return _run_and_kill(loadcheck, ["--workers", "3"], after_s, kill)


def stop(after_s: float) -> Killed:
    """Interrupt a run: none of its workers starts a copy any more; told is when the last did."""
    with _folder() as loadcheck:
        process = loadcheck.start(
            *("run", str(SCENARIOS / "smoke.toml"), "--workers", "3"),
            *("--set", f"load.duration={LOAD_S * 10}", "--set", f"load.rate={RATE}"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: started(loadcheck) > 0, 120)
        time.sleep(after_s)
        at = time.time()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=180) == 130  # as a shell calls SIGINT
        result = document(loadcheck)
        ends = {worker["end"] for worker in result["run"]["workers"]["shards"]}
        assert ends == {"stopped"}, ends
        bounds_hold(result)
        began = datetime.fromisoformat(result["run"]["load_began_at"]).timestamp()
        last = began + result["load"]["duration_s"]
        return Killed(told_s=max(0.0, last - at), bounds=_holds(result))


def kill_coordinator(after_s: float) -> Killed:
    """Kill the run itself; its workers end with it, and it is judged from what it had saved."""
    with _folder() as loadcheck, serving() as service:
        values = {"load.rate": RATE, "load.duration": LOAD_S + 2, "thresholds": "[]"}
        process = loadcheck.start(
            *("run", SCENARIOS / "smoke.toml", "--workers", "3"),
            *service.options(**values),
            env=KEYS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: started(loadcheck) > 0, 120)
        time.sleep(after_s)
        workers = shards(children(process))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: gone(workers), _LEASE_S + 1)
        first = _asked(loadcheck, service)
        # nobody is left to send anything
        second = _asked(loadcheck, service)
        assert first == second
        return Killed(told_s=None, bounds=second)


def _asked(loadcheck: Loadcheck, service: Service) -> tuple[int, int, int]:
    service.later("10s")
    asked = loadcheck("reconcile", loadcheck.results()[0], env=KEYS)
    assert asked.code in (0, 3), asked.stderr
    return _holds(document(loadcheck))


def kill_worker(after_s: float) -> Killed:
    """Kill a worker of a Dask cluster: its shard dies with it, and nobody starts it again."""
    return _of_cluster(after_s, lambda cluster: cluster.workers()[0].kill())


def kill_nanny(after_s: float) -> Killed:
    """Kill the one who would start a cluster's workers again, and then those."""

    def kill(cluster: Any) -> None:
        workers = cluster.workers()
        cluster.nanny.kill()
        for each in workers:
            each.kill()

    return _of_cluster(after_s, kill)


def _of_cluster(after_s: float, kill: Callable[[Any], None]) -> Killed:
    from tests.cli.test_dask import Cluster  # noqa: PLC0415  # skips where there is no Dask

    with _folder() as loadcheck:
        cluster = Cluster(loadcheck.folder, dict(os.environ))
        try:
            options = ["--scheduler", cluster.address]
            return _run_and_kill(loadcheck, options, after_s, lambda _: kill(cluster))
        finally:
            cluster.close()


@contextlib.contextmanager
def _folder() -> Iterator[Loadcheck]:
    with tempfile.TemporaryDirectory() as folder:
        loadcheck = Loadcheck(Path(folder))
        try:
            yield loadcheck
        finally:
            loadcheck.close()
