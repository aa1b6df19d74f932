"""The days that the queries of a run span."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loadcheck.emulator.config import parse
from loadcheck.emulator.message import Request
from loadcheck.emulator.service import Emulator
from loadcheck.emulator.standalone import serving
from loadcheck.pipeline import execute
from loadcheck.pipeline.session import RunContext
from tests.compiled import compiled
from tests.pipeline.in_process_run import Nowhere, _loaded, no_signals, nobody_watches

SCENARIO = """
workflow = "amplitude"
[target]
kind = "live"
servers = {{ httpV2Api = "{url}", dashboardRestApi = "{url}" }}
[inputs]
apiKey = "key-12345"
basicAuth = {{ basic = {{ username = "key-12345", password = "secret-12345" }} }}
eventType = "probe"
eventProperties = {{ plan = "free" }}
[load]
model = "closed"
concurrency = 1
copies = 3
[verify]
quiet = "1s"
"""


@pytest.mark.anyio
async def test_a_closed_load_that_outlives_its_window_is_asked_about_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = datetime.now(UTC) + timedelta(days=3)
    monkeypatch.setattr("loadcheck.pipeline.session._now", lambda: later)
    config = parse(
        {
            "api_key": "key-12345",
            "secret_key": "secret-12345",
            "faults": {"slow": {"rate": 1.0, "delay": "700ms", "on": "uploads"}},
        }
    )
    asked: list[bytes] = []
    emulator = Emulator(config)
    answer = emulator.router

    def noted(request: Request) -> Any:
        if request.query:
            asked.append(request.query)
        return answer(request)

    monkeypatch.setattr(emulator, "router", noted)
    with tempfile.TemporaryDirectory() as folder:
        async with serving(emulator, "127.0.0.1", 0) as url:
            scenario = _loaded(Path(folder, "window.toml"), SCENARIO.format(url=url))
            context = RunContext(emulator=None, signals=no_signals())
            finished = await execute(compiled(scenario), Nowhere(), nobody_watches, context)
    end = finished.document["run"]["end_day"]
    assert end >= f"{later + timedelta(days=1):%Y%m%d}"
    assert f"end={end}".encode() in asked[-1]
    assert f"end={end}".encode() not in asked[0]
    assert finished.document["consistency"]["uniques"] == 3
