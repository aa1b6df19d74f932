"""The emulator on its own: what it prints can be pasted, and its data outlives it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from loadcheck.emulator import config
from loadcheck.emulator.commit import Journal
from loadcheck.emulator.config.faults import KINDS
from tests.cli.conftest import Loadcheck

EMULATE = ["emulate", "--port", "0"]
COMMAND = [sys.executable, "-m", "loadcheck", *EMULATE]
KEYS = ["--api-key", "key-12345", "--secret-key", "secret-12345"]


@contextmanager
def running(*arguments: str, end: signal.Signals = signal.SIGINT) -> Iterator[str]:
    """Serve for the length of a block, which gets what was printed."""
    command = [*COMMAND, *KEYS, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        try:
            yield printed
            process.send_signal(end)
            assert process.wait(10) == 0
        finally:
            process.kill()


def url_in(printed: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", printed)
    assert found
    return found[0]


def test_the_curl_lines_work_as_printed() -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("needs curl and bash")
    with running() as printed:
        upload, query = re.findall(r"^  (curl (?:.*\\\n)*.*)$", printed, re.MULTILINE)
        assert "visible     at once" in printed
        said = [
            orjson.loads(subprocess.check_output(["bash", "-c", command]))
            for command in (upload, query)
        ]
        assert said[0]["events_ingested"] == 1
        assert said[1]["data"]["seriesCollapsed"][0][0]["value"] == 1


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_data_outlives_the_process(tmp_path: Path, end: signal.Signals) -> None:
    data = str(tmp_path / "data.sqlite")
    with running("--data", data, end=end) as printed:
        events = [{"user_id": "user-1", "event_type": "probe", "insert_id": "i-1"}]
        payload = {"api_key": "key-12345", "events": events}
        httpx.post(f"{url_in(printed)}/2/httpapi", json=payload).raise_for_status()
    with running("--data", data, end=end) as printed:
        httpx.post(f"{url_in(printed)}/2/httpapi", json=payload).raise_for_status()
        auth = ("key-12345", "secret-12345")
        listed = httpx.get(f"{url_in(printed)}/api/2/events/list", auth=auth).json()["data"]
        assert [(entry["value"], entry["totals"]) for entry in listed] == [("probe", 1)]


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    data = tmp_path / "data.sqlite"
    arguments = [*COMMAND, *KEYS, "--data", str(data)]
    acknowledged = 0
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = url_in(process.stdout.readline())
        with httpx.Client() as client:
            for number in range(200):
                events = [{"user_id": f"user-{number}", "event_type": "probe"}]
                payload = {"api_key": "key-12345", "events": events}
                answer = client.post(f"{url}/2/httpapi", json=payload)
                acknowledged += answer.json()["events_ingested"]
        process.kill()
    journal = Journal(data)
    assert sum(1 for _ in journal.events()) == acknowledged == 200
    journal.close()


def test_its_control_endpoint_wants_the_keys() -> None:
    with running("--secret-key", "a-secret-key") as printed:
        url = url_in(printed)
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        assert httpx.get(f"{url}/control/state").status_code == 401
        keys = (re.findall(r"api key +(\S+)", printed)[0], "a-secret-key")
        assert httpx.get(f"{url}/control/state", auth=keys).json()["events"] == 0


def test_a_configuration_that_cannot_be_used_is_told_by_line(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text(
        'visibility_dely = "2s"\n[faults]\ndrop = { count = 9, among = 3 }\n', encoding="utf-8"
    )
    ended = Loadcheck(tmp_path)(*EMULATE, "--config", config)
    assert ended.code == 2
    assert ended.stdout == ""
    first, second = ended.stderr.splitlines()
    assert first.endswith('toml:1: visibility_dely: unknown key; did you mean "visibility_delay"?')
    assert "toml:3: faults.drop.count: 9 is more than among = 3" in second


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1 port 0"),
        (["--data", "/nowhere/data.sqlite"], "unable to open database file"),
        (["--config", "/nowhere/emulator.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_had_is_told(tmp_path: Path, arguments: list[str], words: str) -> None:
    ended = Loadcheck(tmp_path)(*EMULATE, *arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_help_names_every_key_and_every_fault(tmp_path: Path) -> None:
    told = Loadcheck(tmp_path)("emulate", "--help", env={"COLUMNS": "100"})
    words = set(re.findall(r"\w+", told.stdout))
    assert words >= {*config.KEYS, *KINDS}


def test_a_port_that_is_in_use_is_told(tmp_path: Path) -> None:
    with running() as printed:
        port = url_in(printed).rpartition(":")[2]
        ended = Loadcheck(tmp_path)(*EMULATE, "--port", port)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"error: cannot listen on 127.0.0.1 port {port}: address already in use; "
        "choose another with --port, or 0 for any free one\n"
    )


def test_an_example_of_a_configuration(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text('limits = "documented"\n', encoding="utf-8")
    with running("--config", str(config)) as printed:
        assert "documented, cache as documented" in printed


def test_what_it_held_at_its_end_is_told() -> None:
    command = [*COMMAND, *KEYS]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        url = url_in(process.stdout.readline())
        event = {"user_id": "user-1", "event_type": "probe"}
        httpx.post(f"{url}/2/httpapi", json={"api_key": "key-12345", "events": [event]})
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=10)[1] == "Ended with 1 event of 1 user.\n"
