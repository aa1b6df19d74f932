"""The emulator as a child: its greeting, and that it ends with its parent however that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import httpx
import orjson
import pytest

from loadcheck.emulator.process import EmulatorStartError, Running, embedded

pytestmark = pytest.mark.anyio
COMMAND = [sys.executable, "-m", "loadcheck.emulator", "--embedded"]
PARENT = """
import anyio, os, signal, sys
from loadcheck.emulator.process import embedded

async def main():
    async with embedded({}) as running:
        print(running.pid, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def _alive(running: Running) -> bool:
    return running.alive


def gone(pid: int) -> bool:
    """Wait until a process has ended."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] == "Z":
                return True
        time.sleep(0.01)
    return False


async def test_it_serves_for_the_length_of_a_block() -> None:
    async with embedded({"api_key": "key-1", "secret_key": "secret-1"}) as running:
        assert _alive(running)
        assert (running.api_key, running.secret_key) == ("key-1", "secret-1")
        assert "secret-1" not in repr(running)
        events = [{"user_id": "user-1", "event_type": "probe"}]
        async with httpx.AsyncClient() as client:
            upload = {"api_key": "key-1", "events": events}
            answer = await client.post(f"{running.url}/2/httpapi", json=upload)
            assert answer.json()["events_ingested"] == 1
            state = await client.get(f"{running.control}/state")
            assert state.json()["users"] == 1
            assert (await client.get(f"{running.url}/control/state")).status_code == 404
    assert running._process.returncode == 0  # it ended by itself
    assert gone(running.pid)


async def test_keys_are_drawn_at_random() -> None:
    async with embedded({}) as one, embedded({}) as other:
        assert one.api_key != other.api_key
        assert one.url != other.url


async def test_a_configuration_that_cannot_be_used_is_told() -> None:
    with pytest.raises(EmulatorStartError, match='visibility_dely: unknown key; did you mean "vis'):
        async with embedded({"visibility_dely": 1}):
            pass


async def test_its_early_death_is_seen() -> None:
    async with embedded({}) as running:
        assert _alive(running)
        os.kill(running.pid, signal.SIGKILL)
        assert gone(running.pid)
        with anyio.fail_after(5):
            while _alive(running):  # noqa: ASYNC110 - there is no event for it
                await anyio.sleep(0.01)


async def test_signals_to_the_group_of_its_parent_do_not_reach_it() -> None:
    async with embedded({}) as running:
        assert os.getpgid(running.pid) != os.getpgid(0)


def test_the_protocol_on_its_pipes() -> None:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"api_key":"key-1"}\n')
        process.stdin.flush()
        said = orjson.loads(process.stdout.readline())
        assert said.keys() == {"url", "api_key", "secret_key", "pid", "control"}
        assert said["pid"] == process.pid
        assert httpx.get(said["url"]).status_code == 200
        # of a terminal or a service manager, to all processes: ignored
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(number)
            assert httpx.get(said["url"]).status_code == 200
        process.stdin.close()
        assert process.wait(5) == 0


@pytest.mark.parametrize("line", [b"{\n", b'{"limits":7}\n'])
def test_what_it_cannot_read_it_says(line: bytes) -> None:
    ended = subprocess.run(COMMAND, input=line, capture_output=True, check=False)
    assert ended.returncode == 2
    assert orjson.loads(ended.stdout).keys() == {"error"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_when_its_parent_is_killed(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(number)
        parent.wait(5)
    assert gone(pid)


def test_only_the_embedded_way() -> None:
    ended = subprocess.run(COMMAND[:-1], capture_output=True, check=False)
    assert ended.returncode == 2
    assert b"--embedded" in ended.stderr


async def test_a_program_that_cannot_be_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", __file__)  # no program
    with pytest.raises(EmulatorStartError, match=r"test_process\.py: Permission denied"):
        async with embedded({}):
            pass
