"""Workers on hosts of their own: network and time namespaces stand for them, so this needs root.

Each host has two networks: one on which it speaks with the run, which can be cut in silence, and
one on which it reaches the target.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.conftest import KEYS, Loadcheck, Service
from tests.cli.test_interrupts import document, gone, started, wait_for
from tests.cli.test_workers import bounds_hold

PORT = 7000
SERVER = """
import socket, subprocess, sys, threading
def copy(read, write, end):
    while data := read(65536):
        write(data)
    end()
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as listening:
    print("ready", flush=True)
    while True:
        there, _ = listening.accept()
        shard = subprocess.Popen(
            [sys.executable, "-m", "loadcheck", "shard"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )
        end = lambda there=there: there.shutdown(socket.SHUT_WR)
        down = (there.recv, shard.stdin.write, shard.stdin.close)
        up = (shard.stdout.read, there.sendall, end)
        for args in down, up:
            threading.Thread(target=copy, args=args).start()
"""
"""Starts a worker for each connection, as a shell of another machine would."""
CLIENT = """
import os, socket, sys, threading
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def hear():
    while data := there.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    os._exit(0)
threading.Thread(target=hear).start()
while data := sys.stdin.buffer.raw.read(65536):
    there.sendall(data)
there.shutdown(socket.SHUT_WR)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Hosts:
    """Two hosts for workers, and one for the run and its target."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = f"lc{os.getpid()}"
        self.home = f"{self._prefix}-home"
        self._names = [self.home]
        self._processes: list[subprocess.Popen[str]] = []
        self.client = folder / "client.py"
        self.client.write_text(CLIENT)
        self._server = folder / "server.py"
        self._server.write_text(SERVER)

    def open(self) -> Service:
        ip("netns", "add", self.home)
        ip("-n", self.home, "link", "set", "lo", "up")
        for place, bridge in enumerate(("control", "data"), 1):
            ip("-n", self.home, "link", "add", bridge, "type", "bridge")
            ip("-n", self.home, "addr", "add", f"10.77.{place}.1/24", "dev", bridge)
            ip("-n", self.home, "link", "set", bridge, "up")
        for index in range(2):
            self._add(index)
        keys = (
            "--api-key",
            KEYS["AMPLITUDE_API_KEY"],
            "--secret-key",
            KEYS["AMPLITUDE_SECRET_KEY"],
        )
        loadcheck = (sys.executable, "-m", "loadcheck")
        ready = self.start(
            self.home, *loadcheck, "emulate", "--host", "10.77.2.1", "--port", "8765", *keys
        )
        assert ready
        return Service("http://10.77.2.1:8765", "")

    def _add(self, index: int) -> None:
        name = f"{self._prefix}-{index}"
        self._names.append(name)
        ip("netns", "add", name)
        for place, bridge in enumerate(("control", "data"), 1):
            here, there = f"{bridge}{index}", f"eth{place}"
            ip("-n", self.home, "link", "add", here, "type", "veth", "peer", there, "netns", name)
            ip("-n", self.home, "link", "set", here, "master", bridge, "up")
            ip("-n", name, "addr", "add", f"10.77.{place}.{index + 2}/24", "dev", there)
            ip("-n", name, "link", "set", there, "up")
        clock = str(5000 + 90_000 * index)
        apart = ("unshare", "--time", "--fork", "--monotonic", clock, "--boottime", clock)
        script = (sys.executable, str(self._server), f"10.77.1.{index + 2}", str(PORT))
        assert self.start(name, *apart, *script) == "ready\n"

    def start(self, name: str, *command: str) -> str:
        """Start a command on a host and return the first line that it writes."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", name, *command],
            cwd=self._folder,
            env={**os.environ, **KEYS, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        assert process.stdout is not None
        return process.stdout.readline()

    def prefix(self, index: int) -> list[str]:
        """Return the option that starts a worker on a host."""
        return ["--prefix", f"{sys.executable} {self.client} 10.77.1.{index + 2} {PORT}"]

    def cut(self, index: int) -> None:
        """Let nothing more through between a host and the run; nobody is told."""
        ip("-n", self.home, "link", "set", f"control{index}", "nomaster")

    def heal(self, index: int) -> None:
        """Let it through again."""
        ip("-n", self.home, "link", "set", f"control{index}", "master", "control")

    def shards(self) -> list[psutil.Process]:
        """Return the workers that run on the hosts."""
        found = []
        for process in self._processes:
            if process.poll() is None:
                found += psutil.Process(process.pid).children(recursive=True)
        alive = [each for each in found if not gone([each])]
        return [each for each in alive if "shard" in each.cmdline()]

    def close(self) -> None:
        for process in self._processes:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.communicate()
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(tmp_path)
    yield made
    made.close()


def _unable() -> str:
    """Return why there can be no hosts here; "" if there can."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    try:
        for command in (("unshare", "--net", "--time", "true"), ("ip", "netns", "list")):
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "network and time namespaces need root, unshare and ip"
    return ""


pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(_unable()), reason=_unable()),
]


class Away:
    """Runs the command on the host that is the run's."""

    def __init__(self, hosts: Hosts, loadcheck: Loadcheck, service: Service) -> None:
        self._hosts, self._loadcheck, self._service = hosts, loadcheck, service

    def start(self, smoke: Path, *options: str, **values: object) -> subprocess.Popen[str]:
        target = self._service.options(**{"thresholds": "[]", **values})
        run = ["-m", "loadcheck", "run", str(smoke), "--live", "--yes", *options, *target]
        return subprocess.Popen(
            ["ip", "netns", "exec", self._hosts.home, sys.executable, *run],
            cwd=self._loadcheck.folder,
            env=self._loadcheck.environment(KEYS),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def away(hosts: Hosts, loadcheck: Loadcheck) -> Away:
    return Away(hosts, loadcheck, hosts.open())


def ended(process: subprocess.Popen[str], loadcheck: Loadcheck, *codes: int) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode in codes, stdout + stderr
    result = document(loadcheck)
    bounds_hold(result)
    return result


def until_told(process: subprocess.Popen[str], *words: str) -> None:
    """Return when a run has said something while it goes on."""
    assert process.stderr is not None
    for line in process.stderr:
        if all(word in line for word in words):
            return
    raise AssertionError(f"it never said {words}")


def test_a_cut_that_heals_loses_nothing(
    hosts: Hosts, away: Away, loadcheck: Loadcheck, smoke: Path
) -> None:
    options = [*hosts.prefix(0), *hosts.prefix(1)]
    process = away.start(smoke, *options, **{"load.duration": "12s"})
    wait_for(lambda: started(loadcheck) > 100)
    hosts.cut(0)
    until_told(process, "worker 1 (", "is silent")
    # what the other tells is saved meanwhile
    wait_for(lambda: document(loadcheck)["copies"]["acknowledged"] > 350, 20)
    hosts.heal(0)
    until_told(process, "reports again")
    result = ended(process, loadcheck, 0)
    assert any("was silent" in warning for warning in result["warnings"])
    assert result["copies"]["acknowledged"] == result["consistency"]["uniques"] == 1200
    workers = result["run"]["workers"]["shards"]
    assert [worker["acknowledged"] for worker in workers] == [600, 600]
    # their clocks have nothing in common, and what was sent in a second is all the same known
    assert all(90 <= row <= 110 for row in result["timeline"]["due"][:12])
    wait_for(lambda: not hosts.shards())


def test_who_is_cut_off_in_silence_stops_by_itself_and_is_lost(
    hosts: Hosts, away: Away, loadcheck: Loadcheck, smoke: Path
) -> None:
    options = [*hosts.prefix(0), *hosts.prefix(1), "--keep-going"]
    process = away.start(smoke, *options, **{"load.duration": "22s"})
    wait_for(lambda: started(loadcheck) > 100)
    hosts.cut(0)
    until_told(process, "is silent")
    until_told(process, "is lost: nothing was heard from it for 12 s")
    result = ended(process, loadcheck, 3)
    (finding,) = (each for each in result["findings"] if each["check"] == "shard")
    assert "nothing was heard from it" in finding["summary"]
    # what it may have sent until its lease ended, and what nobody heard of before
    assert 400 < finding["evidence"]["indeterminate"] <= 50 * (10 + 1 + 3)
    first, second = result["run"]["workers"]["shards"]
    assert (first["end"], second["end"], second["acknowledged"]) == ("lost", "planned", 1100)
    # and it had sent more than the run was told of, as it reached the target all the time
    assert result["consistency"]["uniques"] > result["copies"]["acknowledged"] + 300


def test_workers_of_one_host_share_its_ports(
    hosts: Hosts, away: Away, loadcheck: Loadcheck, smoke: Path
) -> None:
    few = ("sysctl", "-w", "net.ipv4.ip_local_port_range=40000 40063")
    for name in hosts._names[1:]:
        subprocess.run(["ip", "netns", "exec", name, *few], check=True, capture_output=True)
    load = {"load.max_in_flight": 100}
    refused = away.start(smoke, *hosts.prefix(0), *hosts.prefix(0), **load)
    _, stderr = refused.communicate(timeout=60)
    assert refused.returncode == 2, stderr
    assert "2 workers on" in stderr
    assert "need 100 connections; it has 64 ephemeral ports" in " ".join(stderr.split())
    assert not loadcheck.results()
    # and so do those of several flows, each of which would fit
    flows = "".join(f'[[mix]]\nname = "{name}"\nload = {{ max_in_flight = 40 }}\n' for name in "ab")
    mix = loadcheck.folder / "mix.toml"
    mix.write_text(smoke.read_text() + flows)
    refused = away.start(mix, *hosts.prefix(0))
    _, stderr = refused.communicate(timeout=60)
    assert refused.returncode == 2, stderr
    assert "with the mix's other flows, need 80 connections; it has 64" in " ".join(stderr.split())
    assert not loadcheck.results()
    # each on a host of its own they fit
    process = away.start(smoke, *hosts.prefix(0), *hosts.prefix(1), **load)
    assert ended(process, loadcheck, 0)["copies"]["acknowledged"] == 200


def test_a_host_without_our_files_is_sent_them(
    hosts: Hosts, away: Away, loadcheck: Loadcheck, smoke: Path
) -> None:
    folder = loadcheck.folder / "ours"
    folder.mkdir()
    (folder / "people.csv").write_text("country\n" + "".join(f"C{n}\n" for n in range(300)))
    data = '[data.people]\nfile = "people.csv"\norder = "once"\n'
    text = smoke.read_text() + data
    text = text.replace('scenario = "smoke"', 'scenario = "$data.people.country"')
    (folder / "s.toml").write_text(text)
    # a host that sees nothing where our files are
    blind = f"unshare --mount sh -c 'mount -t tmpfs none {folder} && exec \"$@\"' -- "
    path = f"env PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
    process = away.start(folder / "s.toml", "--prefix", blind + path, "--prefix", path)
    result = ended(process, loadcheck, 0)
    workers = result["run"]["workers"]["shards"]
    assert [worker["acknowledged"] for worker in workers] == [100, 100]
    assert gone(hosts.shards())
