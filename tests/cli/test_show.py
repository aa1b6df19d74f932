"""The command that shows a stored result."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from loadcheck.cli.app import app
from loadcheck.errors import ResultFileError
from loadcheck.result.store import upgraded

EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example-burst.json"
WHOLE = upgraded(orjson.loads(EXAMPLE.read_bytes()), 0)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "a.json"
    path.write_bytes(orjson.dumps(WHOLE))
    return path


def show(*arguments: str | Path, **env: str) -> Any:
    return CliRunner().invoke(app, ["show", *map(str, arguments)], env=env)


def test_a_result_is_shown_with_its_verdict_first(stored: Path) -> None:
    done = show(stored)
    assert done.exit_code == 0
    assert done.stdout.split()[0] == WHOLE["verdict"].upper()
    assert str(stored) in done.stdout
    assert "\x1b" not in done.stdout, "there is no terminal"


def test_colour_is_forced_or_forbidden_by_the_environment(stored: Path) -> None:
    assert "\x1b[" in show(stored, FORCE_COLOR="1").stdout
    assert "\x1b" not in show(stored, FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b" not in show(stored, FORCE_COLOR="1", TERM="dumb").stdout


@pytest.mark.parametrize("columns", [20, 60, 80, 100, 500])
def test_no_line_is_longer_than_the_terminal(stored: Path, columns: int) -> None:
    lines = show(stored, COLUMNS=str(columns)).stdout.splitlines()
    room = max(60, min(140, columns))
    assert all(len(line) <= room for line in lines if str(stored) not in line)


def test_the_document_itself_comes_as_it_is_stored(stored: Path) -> None:
    done = show(stored, "--json")
    assert orjson.loads(done.stdout) == WHOLE


@pytest.mark.parametrize("phase", ["intent", "running"])
def test_a_run_that_was_killed_shows_no_verdict_but_unknown(stored: Path, phase: str) -> None:
    document = copy.deepcopy(WHOLE)
    document["run"] |= {"phase": phase, "ended_at": None}
    document["verdict"] = "unknown"
    for name in ("steps", "consistency", "findings", "thresholds", "generator"):
        document.pop(name, None)
    stored.write_bytes(orjson.dumps(document))
    done = show(stored)
    assert done.exit_code == 0, done.exception
    assert done.stdout.split()[0] == "UNKNOWN"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b'{"schema":\n"loadcheck', ":2: is not JSON"),
        (b"[]", "is not a loadcheck results file"),
        (b'{"schema": "loadcheck.result/999"}', "a later one wrote the file"),
        (b"\x1f\x8b\x08\x00", "is not JSON"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(stored: Path, data: bytes, words: str) -> None:
    stored.write_bytes(data)
    done = show(stored)
    assert isinstance(done.exception, ResultFileError)
    assert str(done.exception).startswith(str(stored))
    assert words in str(done.exception)
    assert done.stdout == ""


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = show(tmp_path / "none.json")
    assert "none.json: cannot be read: no such file" in str(done.exception)
