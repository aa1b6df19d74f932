"""Whatever becomes of stdout and stderr: the run goes on, and its exit code is the verdict's."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from loadcheck.cli.exits import Screen, Tolerant
from tests.cli.conftest import ROOT, Loadcheck

SHORT = ["--set", "load.duration=3", "--set", "load.rate=20"]


EXAMPLE = ROOT / "results" / "example-burst.json"


def is_complete(loadcheck: Loadcheck) -> bool:
    """Return whether the results file says that the run went well to its end."""
    (path,) = loadcheck.results()
    document = orjson.loads(path.read_bytes())
    run = document["run"]
    return (document["verdict"], run["phase"], run["interrupted"]) == ("pass", "complete", False)


def test_a_reader_that_goes_ends_nothing(loadcheck: Loadcheck, smoke: Path) -> None:
    ours, theirs = os.pipe()
    process = loadcheck.start("run", smoke, *SHORT, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert os.read(ours, 1)
    os.close(ours)
    assert process.wait(timeout=60) == 0
    assert is_complete(loadcheck)


@pytest.mark.long
def test_a_terminal_that_is_closed_ends_nothing(loadcheck: Loadcheck, smoke: Path) -> None:
    main, side = pty.openpty()
    process = loadcheck.start("run", smoke, *SHORT, stdout=side, stderr=side, env={"TERM": "xterm"})
    os.close(side)
    assert os.read(main, 1)
    os.close(main)
    assert process.wait(timeout=60) == 0
    assert is_complete(loadcheck)


def test_streams_that_are_closed_are_no_streams(loadcheck: Loadcheck, smoke: Path) -> None:
    command = [sys.executable, "-m", "loadcheck", "run", str(smoke), "--set", "load.duration=1"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command],
        cwd=loadcheck.folder,
        env=loadcheck.environment(),
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert is_complete(loadcheck)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize(
    ("arguments", "code"), [(["schema"], 0), (["--help"], 0), (["show", "gone.json"], 2)]
)
def test_a_disk_that_is_full_behind_stdout_changes_no_exit_code(
    loadcheck: Loadcheck, arguments: list[str], code: int
) -> None:
    with Path("/dev/full").open("wb") as full:
        process = loadcheck.start(*arguments, stdout=full, stderr=full)
        assert process.wait(timeout=60) == code


def test_characters_that_the_output_lacks_are_replaced(loadcheck: Loadcheck) -> None:
    ended = loadcheck("show", "grün.json", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert ended.code == 2
    assert "gr?n.json: cannot be read" in ended.stderr


def test_a_pass_is_no_question_where_the_output_lacks_its_mark(loadcheck: Loadcheck) -> None:
    ended = loadcheck("show", EXAMPLE, env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert "  + All 21,600 acknowledged users" in ended.stdout
    assert "?" not in ended.stdout
    assert "143 us" in ended.stdout


def test_a_stream_that_nobody_reads_holds_up_nothing() -> None:
    ours, theirs = os.pipe()
    raw = Tolerant(theirs)
    screen = Screen(io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8"))
    began = time.monotonic()
    for _ in range(100):
        screen.show("x" * 65536)
    screen.settle(0.1)
    assert time.monotonic() - began < 30
    assert os.read(ours, 10) == b"x" * 10
    os.close(ours)  # which lets the thread go on
    screen.settle(30)
    assert raw.lost
    os.close(theirs)
