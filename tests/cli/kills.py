"""Kills, freezes and cuts at random instants, and what must hold after each, whoever it was.

The target takes down when each copy came, by this machine's clock: it is the truth that everything
is held against. All users that were acknowledged are counted, and no more than may have been sent
(P8); what is counted is what came; no copy came twice; of whoever has heard nothing of the run for
the length of its lease nothing comes from a second later on; the one who watches was told.
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson
import psutil

from tests.cli.conftest import KEYS, SCENARIOS, Loadcheck, Service
from tests.cli.test_interrupts import children, document, gone, wait_for
from tests.cli.test_workers import bounds_hold, shards

LOAD_S = 3.0
RATE = 300
LEASE_S = 10.0
LATE_S = 1.0
"""After its lease a worker's last copy has come by then."""
_LONG_S = 17.0
_RELAY = """
import os, subprocess, sys, threading
shard = subprocess.Popen(
    [sys.executable, "-m", "loadcheck", "shard"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
)
def hear():
    while data := shard.stdout.read(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=hear).start()
while data := os.read(0, 65536):
    shard.stdin.write(data)
shard.stdin.close()
"""
"""Stands for ``ssh``: what it passes on stands still when it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What came of a kill.

    Attributes:
        told_s: How long after it the run told so on its terminal; None for one that was killed
            itself.
        last_s: How long after it the last copy came of whoever was to send nothing any more.
        bounds: Acknowledged, counted, acknowledged or indeterminate.
    """

    told_s: float | None
    last_s: float
    bounds: tuple[int, int, int]


def instants(number: int, seed: int) -> list[float]:
    """Return random instants of a load, in seconds since its first copy came."""
    chosen = random.Random(seed)
    return [round(chosen.uniform(0, LOAD_S - 0.3), 3) for _ in range(number)]


class _Cluster(Protocol):
    """A Dask cluster: ``tests.cli.test_dask`` has it, and skips where there is no Dask."""

    address: str
    nanny: subprocess.Popen[bytes]

    def workers(self) -> list[psutil.Process]: ...
    def restore(self) -> None: ...
    def close(self) -> None: ...


class Lane:
    """A target with its log, and a Dask cluster if one is needed: kills happen here in turn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "arrivals.jsonl"
        self._cluster: _Cluster | None = None
        config = folder / "target.toml"
        config.write_text('visibility_delay = "100ms"\n')
        api_key, secret_key = KEYS.values()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "loadcheck", "emulate", "--port", "0"),
                *("--api-key", api_key, "--secret-key", secret_key),
                *("--config", str(config), "--record", str(self.log)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.service = Service(self._process.stdout.readline().split()[-1], "")
        (folder / "relay.py").write_text(_RELAY)

    @property
    def relay(self) -> str:
        """A command that stands for one that reaches another machine."""
        return shlex.join([sys.executable, str(self.folder / "relay.py")])

    def cluster(self) -> _Cluster:
        """Return a cluster with two workers, whatever has become of them before."""
        from distributed import Client  # noqa: PLC0415  # an extra

        from tests.cli.test_dask import Cluster  # noqa: PLC0415  # skips where there is no Dask

        if self._cluster is None:
            self._cluster = Cluster(self.folder, dict(os.environ))
        self._cluster.restore()
        with Client(self._cluster.address) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(2, timeout=60)
        return self._cluster

    def arrivals(self, run: str, begin: int) -> dict[int, float]:
        """Return when each copy of a run came, by its number.

        Args:
            run: Its id.
            begin: How long the log was before it.
        """
        came: dict[int, float] = {}
        with self.log.open("rb") as log:
            log.seek(begin)
            for line in log:
                said = orjson.loads(line)
                if said["method"] != "POST":
                    continue
                for event in orjson.loads(said["body"])["events"]:
                    of, _, number = event["insert_id"].rpartition("-")
                    if of == run and number.isdecimal():
                        assert int(number) not in came, f"copy {number} was sent twice"
                        came[int(number)] = said["at_ms"] / 1000
        return came

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.close()
        self._process.terminate()
        self._process.communicate()


Happens = Callable[[Lane, float], Killed]
"""Lets something happen so many seconds into a load, and finds out what came of it."""


@contextlib.contextmanager
def lane() -> Iterator[Lane]:
    """Run a target for the length of a block."""
    with tempfile.TemporaryDirectory() as folder:
        made = Lane(Path(folder))
        try:
            yield made
        finally:
            made.close()


class _Run:
    """A run whose first copy has come."""

    def __init__(
        self, place: Lane, loadcheck: Loadcheck, options: Sequence[str], **values: object
    ) -> None:
        self.place, self.loadcheck = place, loadcheck
        self._begin = place.log.stat().st_size
        given = {"retry.attempts": 1, "load.rate": RATE, "load.duration": LOAD_S, **values}
        if "load" in values:
            del given["load.rate"], given["load.duration"]
        self.process = loadcheck.start(
            *("run", str(SCENARIOS / "smoke.toml"), *options),
            *place.service.options(**{"verify.deadline": "10s", "thresholds": "[]", **given}),
            env=KEYS,
            stdout=subprocess.DEVNULL,
        )
        self._lines: list[tuple[float, str]] = []
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()
        wait_for(self._has_begun, 120)

    def _hear(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append((time.time(), line))

    def _has_begun(self) -> bool:
        if self.process.poll() is not None:
            self._hearing.join(timeout=30)
            raise AssertionError(
                f"it ended with exit code {self.process.returncode}: {self._lines}"
            )
        with self.place.log.open("rb") as log:
            log.seek(self._begin)
            return b'"POST"' in log.read()

    def told(self, word: str) -> float | None:
        """Return when something was said first; None if it was not."""
        self._hearing.join(timeout=30)
        return next((at for at, line in self._lines if word in line), None)

    def ended(self, *codes: int) -> None:
        """Wait for the end."""
        code = self.process.wait(timeout=180)
        self._hearing.join(timeout=30)
        assert code in codes, (code, self._lines)

    def holds(
        self,
        at: float,
        pids: set[int] | None,
        told_s: float | None,
        result: Mapping[str, Any] | None = None,
    ) -> Killed:
        """Hold a results file against what came, and return what was found.

        Args:
            at: When something happened.
            pids: The workers that had to send nothing any more; None: all.
            told_s: How long after it that was told.
            result: What the file holds; None: the only one.
        """
        result = document(self.loadcheck) if result is None else result
        if result["run"]["phase"] == "complete":
            bounds_hold(result)
        came = self.place.arrivals(result["run"]["id"], self._begin)
        seen, sessions = result["consistency"], result["scenario"].get("sessions", {})
        most = sessions.get("uploads", 1)
        bounds = seen["lower"], seen["uniques"], seen["upper"]
        assert seen["lower"] <= seen["uniques"] <= seen["upper"], bounds
        assert seen["totals"] == len(came), (bounds, len(came))
        if not sessions.get("returning"):  # else several copies are one user
            assert seen["uniques"] == len({number // most for number in came}), (bounds, len(came))
        if pids is not None:
            workers = result["run"]["workers"]["shards"]
            silent = {each["index"] for each in workers if each["pid"] in pids}
            assert silent, (pids, workers)
            came = {n: when for n, when in came.items() if n % len(workers) in silent}
        last_s = max((when - at for when in came.values()), default=0.0)
        assert last_s <= LEASE_S + LATE_S, f"a copy came {last_s:.2f} s after"
        return Killed(told_s=told_s, last_s=max(0.0, last_s), bounds=bounds)

    def is_missed(self, at: float, pids: set[int]) -> Killed:
        """Hold it against what came after some of its workers were killed."""
        self.ended(0, 3)
        told = self.told("is lost")
        ends = {worker["end"] for worker in document(self.loadcheck)["run"]["workers"]["shards"]}
        if "lost" in ends:
            assert told is not None, self._lines
            assert self.process.returncode == 3
        # one that had ended with its part of the load just before is not missed
        return self.holds(at, pids if "lost" in ends else None, told and told - at)


@contextlib.contextmanager
def _running(place: Lane, options: Sequence[str], **values: object) -> Iterator[_Run]:
    with tempfile.TemporaryDirectory() as folder:
        loadcheck = Loadcheck(Path(folder))
        try:
            yield _Run(place, loadcheck, options, **values)
        finally:
            loadcheck.close()


def kill_shard(place: Lane, after_s: float) -> Killed:
    """Kill one of three workers."""
    with _running(place, ["--workers", "3"]) as run:
        victim = shards(children(run.process))[1]
        time.sleep(after_s)
        at = time.time()
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        return run.is_missed(at, {victim.pid})


def kill_coordinator(place: Lane, after_s: float) -> Killed:
    """Kill the run itself; its workers end with it, and it is judged from what it had saved."""
    return kill_run(place, after_s, ["--workers", "3"], **{"load.duration": LOAD_S + 2})


def kill_run(place: Lane, after_s: float, options: Sequence[str], **values: object) -> Killed:
    """Kill a run of any load, and its workers with it, and judge it from what it had saved."""
    with _running(place, options, **values) as run:
        at = _kill_all(run, after_s)
        _reconcile(run, run.loadcheck.results()[0])
        return run.holds(at, None, None)


def kill_far(place: Lane, after_s: float) -> Killed:
    """Kill a run whose workers, far away, do not hear of it: they send until their lease is over.

    That is what a results file must allow for which was saved before.
    """
    options = ["--prefix", place.relay, "--prefix", place.relay]
    with _running(place, options, **_LONG) as run:
        below = children(run.process)
        relays = [each for each in below if str(place.folder / "relay.py") in each.cmdline()]
        for relay in relays:
            relay.suspend()
        workers = [each for each in shards(below) if each not in relays]
        time.sleep(after_s)
        at = time.time()
        run.process.kill()
        run.process.wait()
        # what they have to tell they keep, until it is certain that nobody will read it
        time.sleep(LEASE_S + LATE_S)
        for relay in relays:
            relay.kill()
        wait_for(lambda: gone(workers))
        _reconcile(run, run.loadcheck.results()[0])
        return run.holds(at, None, None)


_SESSIONS = 'sessions = {uploads = 2, gap = "100ms", returning = 0.3}'
_MIX = (
    '{name = "buy", workflow = "amplitude", weight = 2}',
    f'{{name = "look", workflow = "amplitude", {_SESSIONS}}}',
)


def kill_mix(place: Lane, after_s: float, options: Sequence[str] = (), **values: object) -> Killed:
    """Kill a run of two flows, and judge each from what it had saved; return what is of both."""
    given = {"mix": f"[{', '.join(_MIX)}]", "load.duration": LOAD_S + 2, **values}
    with _running(place, options, **given) as run:
        at = _kill_all(run, after_s)
        flows = [orjson.loads(path.read_bytes()) for path in run.loadcheck.results()]
        _reconcile(run, run.loadcheck.folder / "results" / flows[0]["mix"]["id"])
        flows = [orjson.loads(path.read_bytes()) for path in run.loadcheck.results()]
        assert len(flows) == len(_MIX)
        assert not [flow for flow in flows if flow["mix"]["together"]["verdict"] == "fail"]
        found = [run.holds(at, None, None, flow) for flow in flows]
        bounds = zip(*(each.bounds for each in found), strict=True)
        lower, counted, upper = map(sum, bounds)
        last_s = max(each.last_s for each in found)
        return Killed(told_s=None, last_s=last_s, bounds=(lower, counted, upper))


def _kill_all(run: _Run, after_s: float) -> float:
    """Kill a run and return when; its workers have ended, too."""
    workers = shards(children(run.process))
    time.sleep(after_s)
    at = time.time()
    run.process.kill()
    run.process.wait()
    wait_for(lambda: gone(workers), LEASE_S + LATE_S)
    return at


def _reconcile(run: _Run, result: Path) -> None:
    asked = run.loadcheck.start("reconcile", result, env=KEYS)
    _, said = asked.communicate(timeout=120)
    assert asked.returncode in (0, 3), said


def kill_worker(place: Lane, after_s: float) -> Killed:
    """Kill a worker of a Dask cluster: its shard dies with it, and nobody starts it again."""
    return _of_cluster(place, after_s, lambda cluster: [cluster.workers()[0]])


def kill_nanny(place: Lane, after_s: float) -> Killed:
    """Kill the one who would start a cluster's workers again, and then those."""
    return _of_cluster(
        place, after_s, lambda cluster: [psutil.Process(cluster.nanny.pid), *cluster.workers()]
    )


def _of_cluster(
    place: Lane, after_s: float, chosen: Callable[[_Cluster], list[psutil.Process]]
) -> Killed:
    cluster = place.cluster()
    with _running(place, ["--scheduler", cluster.address, "--workers", "2"]) as run:
        victims = chosen(cluster)
        pids = {each.pid for one in victims for each in one.children(recursive=True)}
        time.sleep(after_s)
        at = time.time()
        for each in victims:
            each.kill()
        return run.is_missed(at, pids)


def stop(place: Lane, after_s: float) -> Killed:
    """Interrupt a run: none of its workers starts a copy any more; told is when the last did."""
    with _running(place, ["--workers", "3"], **{"load.duration": LOAD_S * 10}) as run:
        time.sleep(after_s)
        at = time.time()
        os.kill(run.process.pid, signal.SIGINT)
        run.ended(130)  # as a shell calls SIGINT
        result = document(run.loadcheck)
        ends = {worker["end"] for worker in result["run"]["workers"]["shards"]}
        assert ends == {"stopped"}, ends
        began = datetime.fromisoformat(result["run"]["load_began_at"]).timestamp()
        last = began + result["load"]["duration_s"]
        return run.holds(at, None, max(0.0, last - at))


_LONG = {"load.rate": 60, "load.duration": _LONG_S}
"""Of loads that outlive a lease."""


def freeze_coordinator(place: Lane, after_s: float) -> Killed:
    """Let the run stand still for longer than its workers' lease: they end by themselves."""
    with _running(place, ["--workers", "2"], **_LONG) as run:
        time.sleep(after_s)
        at = time.time()
        run.process.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_S + 2 * LATE_S)
        run.process.send_signal(signal.SIGCONT)
        run.ended(3)
        ends = [each["end"] for each in document(run.loadcheck)["run"]["workers"]["shards"]]
        assert set(ends) <= {"lease", "lost"}, ends
        return run.holds(at, None, None)


def thaw_shard(place: Lane, after_s: float) -> Killed:
    """Let a worker stand still for longer than its lease, and go on: it starts nothing."""
    with _running(place, ["--workers", "2", "--keep-going"], **_LONG) as run:
        time.sleep(after_s)
        at = time.time()
        frozen = shards(children(run.process))[0]
        frozen.suspend()
        time.sleep(LEASE_S + LATE_S / 2)
        with contextlib.suppress(psutil.NoSuchProcess):
            frozen.resume()
        run.ended(3)
        told = run.told("is silent")
        assert told is not None
        found = run.holds(at, {frozen.pid}, told - at)
        assert found.last_s <= LATE_S, f"a copy came {found.last_s:.2f} s after"
        return found


def cut_pipe(place: Lane, after_s: float) -> Killed:
    """Let what reaches a worker pass nothing on: nobody is told, and it ends by itself."""
    options = ["--keep-going", "--prefix", place.relay, "--prefix", place.relay]
    with _running(place, options, **_LONG) as run:
        below = children(run.process)
        relays = [each for each in below if str(place.folder / "relay.py") in each.cmdline()]
        (there,) = shards(relays[0].children())
        time.sleep(after_s)
        return _cut(run, relays[0], {there.pid})


def cut_worker(place: Lane, after_s: float) -> Killed:
    """Let a worker of a Dask cluster pass nothing on."""
    cluster = place.cluster()
    options = ["--keep-going", "--scheduler", cluster.address, "--workers", "2"]
    with _running(place, options, **_LONG) as run:
        worker = cluster.workers()[0]
        time.sleep(after_s)
        try:
            return _cut(run, worker, {each.pid for each in worker.children(recursive=True)})
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
                # while it is there it is counted among those that the next run can have
                worker.wait(30)


def _cut(run: _Run, passes_on: psutil.Process, pids: set[int]) -> Killed:
    at = time.time()
    passes_on.suspend()
    run.ended(3)
    told = run.told("is silent")
    assert told is not None
    assert run.told("is lost") is not None
    return run.holds(at, pids, told - at)
