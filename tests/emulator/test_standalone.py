"""The emulator on its own: what it prints can be pasted, and its data outlives it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import orjson
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVE = """
import sys
from pathlib import Path
from loadcheck.emulator.config import parse
from loadcheck.emulator.standalone import greeting, serve

config = parse({"api_key": "key-12345", "secret_key": "secret-12345"})
data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
serve(config, "127.0.0.1", 0, data=data, ready=lambda url: print(greeting(config, url), flush=True))
"""


@contextmanager
def running(*arguments: str, end: signal.Signals = signal.SIGINT) -> Iterator[str]:
    """Serve for the length of a block, which gets what was printed."""
    command = [sys.executable, "-c", SERVE, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        yield printed
        process.send_signal(end)
        assert process.wait(10) == 0


def url_in(printed: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", printed)
    assert found
    return found[0]


def test_the_curl_lines_work_as_printed() -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("needs curl and bash")
    with running() as printed:
        upload, query = re.findall(r"^  (curl (?:.*\\\n)*.*)$", printed, re.MULTILINE)
        said = [
            orjson.loads(subprocess.check_output(["bash", "-c", command]))
            for command in (upload, query)
        ]
        assert said[0]["events_ingested"] == 1
        assert said[1]["data"]["seriesCollapsed"][0][0]["value"] == 1


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_data_outlives_the_process(tmp_path: Path, end: signal.Signals) -> None:
    data = str(tmp_path / "data.sqlite")
    with running(data, end=end) as printed:
        events = [{"user_id": "user-1", "event_type": "probe", "insert_id": "i-1"}]
        payload = {"api_key": "key-12345", "events": events}
        httpx.post(f"{url_in(printed)}/2/httpapi", json=payload).raise_for_status()
    with running(data, end=end) as printed:
        httpx.post(f"{url_in(printed)}/2/httpapi", json=payload).raise_for_status()
        auth = ("key-12345", "secret-12345")
        listed = httpx.get(f"{url_in(printed)}/api/2/events/list", auth=auth).json()["data"]
        assert [(entry["value"], entry["totals"]) for entry in listed] == [("probe", 1)]


def test_it_has_no_control_endpoint() -> None:
    with running() as printed:
        assert httpx.get(f"{url_in(printed)}/control/state").status_code == 404
