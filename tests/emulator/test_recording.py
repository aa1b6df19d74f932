"""What came in is taken down without keys, and comes to the same when it comes again."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import signal
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from loadcheck.emulator.commit import JournalError, JournalWriteError
from loadcheck.emulator.message import Answer, Request
from loadcheck.emulator.recording import Recorder, replay
from tests.emulator.conftest import API_KEY, SECRET_KEY, Make, Project
from tests.emulator.test_standalone import running, url_in

SOMEBODYS = "the-key-of-somebody-else"
PAIR = base64.b64encode(f"{API_KEY}:{SECRET_KEY}".encode()).decode()


class Recorded(Project):
    """A project whose requests go through a recorder."""

    def __init__(self, file: Path | None, log: io.StringIO | None = None, **config: Any) -> None:
        super().__init__(**config)
        emulator = self.emulator
        self.recorder = Recorder(emulator, emulator.config, self.clock, file, log)

    def send(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        path, _, query = target.partition("?")
        fields = [(name.encode(), text.encode()) for name, text in headers.items()]
        answer = self.recorder(Request(method, path, query.encode(), fields, body))
        return answer if isinstance(answer, Answer) else asyncio.run(awaited(answer))


async def awaited(answer: Awaitable[Answer]) -> Answer:
    return await answer


def visit(project: Recorded) -> list[int]:
    """Do what clients do, right and wrong; return the statuses."""
    events = [{"user_id": f"user-{number}", "event_type": "probe"} for number in range(3)]
    good = orjson.dumps({"api_key": API_KEY, "events": events})
    other = good.replace(API_KEY.encode(), SOMEBODYS.encode())
    spelled = good.replace(b'"api_key"', b'"\\u0061pi_key"')
    chart = f"/api/2/events/segmentation?start=20260615&end=20260615&api_key={SOMEBODYS}&e="
    json = {"content-type": "application/json"}
    asked = [
        ("POST", "/2/httpapi", good, json),
        ("POST", "/2/httpapi", gzip.compress(good), {**json, "content-encoding": "gzip"}),
        ("POST", "/batch", spelled, json),
        ("POST", "/2/httpapi", other, json),
        ("POST", "/2/httpapi", other[:-1], json),
        ("GET", chart + '{"event_type":"probe"}', b"", {"authorization": f"Basic {PAIR}"}),
        ("GET", "/api/2/usersearch?user=user-1", b"", {"authorization": f"Basic {SOMEBODYS}"}),
        ("GET", "/health", b"", {}),
    ]
    return [
        project.send(method, target, body, headers).status
        for method, target, body, headers in asked
    ]


def test_it_holds_no_key_and_comes_to_the_same_again(tmp_path: Path, make: Make) -> None:
    file, log = tmp_path / "in.jsonl", io.StringIO()
    project = Recorded(file, log)
    statuses = visit(project)
    project.recorder.close()
    assert statuses == [200, 200, 200, 400, 400, 200, 401, 200]
    written = file.read_text()
    for key in (API_KEY, SECRET_KEY, SOMEBODYS, PAIR):
        assert key not in written + log.getvalue()
    told = [orjson.loads(line) for line in written.splitlines()]
    assert [each["status"] for each in told] == statuses[:-1]  # who asks for health is not noted
    assert "POST /2/httpapi 200" in log.getvalue()
    fresh = make()
    again = replay(file, fresh.emulator, fresh.emulator.config)
    assert asyncio.run(again) == (7, Counter())
    names = ("users", "events", "acknowledged", "refused", "queries_refused")
    assert [fresh.emulator.state()[name] for name in names] == [
        project.emulator.state()[name] for name in names
    ]
    throttled = make(faults={"throttle": {"count": 1}})
    again = replay(file, throttled.emulator, throttled.emulator.config)
    assert asyncio.run(again) == (7, Counter({(200, 429): 1}))


def test_a_recording_that_ends_in_a_torn_line_and_one_that_is_none(
    tmp_path: Path, make: Make
) -> None:
    file = tmp_path / "in.jsonl"
    project = Recorded(file)
    visit(project)
    project.recorder.close()
    torn = file.read_bytes()[:-40]
    file.write_bytes(torn)
    fresh = make()
    assert asyncio.run(replay(file, fresh.emulator, fresh.emulator.config))[0] == 6
    file.write_bytes(b'{"method": 5}\n' + torn)
    with pytest.raises(JournalError, match=r"in\.jsonl:1: not a recorded request"):
        asyncio.run(replay(file, fresh.emulator, fresh.emulator.config))
    with pytest.raises(JournalError, match="No such file"):
        asyncio.run(replay(tmp_path / "none", fresh.emulator, fresh.emulator.config))


def test_a_full_disk_ends_the_recording_not_the_service() -> None:
    project = Recorded(Path("/dev/full"))
    assert visit(project)[:3] == [200, 200, 200]
    with pytest.raises(JournalWriteError, match="No space left"):
        project.recorder.close()


def test_as_a_service_it_logs_and_ends_on_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    event = {"user_id": "user-1", "event_type": "probe"}
    options = ("--record", str(file), "--host", "0.0.0.0", "--fault", "replica-lag")
    with running(*options, end=signal.SIGTERM) as printed:
        port = printed.split("0.0.0.0:")[1].split()[0] if "0.0.0.0:" in printed else ""
        url = f"http://127.0.0.1:{port}" if port else url_in(printed)
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        upload = {"api_key": "key-12345", "events": [event]}
        assert httpx.post(f"{url}/2/httpapi", json=upload).status_code == 200
    assert orjson.loads(file.read_bytes())["status"] == 200
    with running("--replay", str(file)) as printed:
        state = httpx.get(f"{url_in(printed)}/control/state", auth=("key-12345", "secret-12345"))
        assert state.json()["events"] == 1
