"""A result that cannot be saved is handed over all the same; nobody's file is written over."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import Loadcheck
from tests.cli.test_interrupts import LONG, started, wait_for

LONGER = ["--set", "load.duration=4", "--set", "load.rate=50"]


def test_a_full_disk_ends_in_74_with_the_verdict_and_the_document(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    # the intent fits, the verdict does not
    limit = (12_000, resource.RLIM_INFINITY)
    process = loadcheck.start(
        "run",
        smoke,
        *("--set", "load.duration=1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 74, stderr
    assert "acknowledged" in stderr
    assert "cannot be written: file too large" in stderr
    assert "Traceback" not in stderr
    document = orjson.loads(stdout)
    assert document["run"]["phase"] == "complete"
    assert document["verdict"].upper() in stderr
    (left,) = loadcheck.results()
    assert orjson.loads(left.read_bytes())["run"]["phase"] in ("intent", "running")


@pytest.mark.long
def test_a_directory_that_goes_away_does_not_end_the_run(loadcheck: Loadcheck, smoke: Path) -> None:
    process = loadcheck.start("run", smoke, *LONGER)
    wait_for(lambda: started(loadcheck) > 10)
    shutil.rmtree(loadcheck.folder / "results")
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 74, stderr
    assert "acknowledged" in stderr
    assert orjson.loads(stdout)["copies"]["acknowledged"] == 200


@pytest.mark.long
def test_a_second_run_into_the_same_file_is_refused_and_the_first_is_in_progress(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    output = loadcheck.folder / "results" / "one.json"
    process = loadcheck.start("run", smoke, *LONG, "--output", output)
    wait_for(lambda: started(loadcheck) > 10)
    second = loadcheck("run", smoke, "--output", output, "--force")
    assert second.code == 2
    assert "is being written by another loadcheck" in second.stderr
    shown = loadcheck("show", output)
    assert shown.stdout.startswith(" IN PROGRESS ")
    assert "killed" not in shown.stdout
    assert "in progress" in loadcheck("list").stdout
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)
    assert process.returncode == 130
    assert "IN PROGRESS" not in loadcheck("show", output).stdout
    assert [path.name for path in output.parent.iterdir()] == ["one.json"]


@pytest.mark.parametrize("command", ["run", "capacity"])
def test_force_replaces_files_only(loadcheck: Loadcheck, smoke: Path, command: str) -> None:
    pipe = loadcheck.folder / "pipe.json"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "a pipe"), (Path(os.devnull), "a device")):
        ended = loadcheck(command, smoke, "--output", path, "--force")
        assert ended.code == 2
        assert f"{path}: is {kind}; choose another --output" in ended.stderr
    assert pipe.is_fifo()


def test_a_scenario_whose_name_is_no_text(loadcheck: Loadcheck, smoke: Path) -> None:
    name = os.fsdecode(b"caf\xe9.toml")
    quick = "load.duration=300ms", "load.rate=10", "thresholds=[]"
    (loadcheck.folder / name).write_bytes(smoke.read_bytes())
    options = [part for change in quick for part in ("--set", change)]
    ended = loadcheck("run", name, *options, "--output", "one.json", "--report", name + ".html")
    assert ended.code == 0, ended.stderr
    stored = orjson.loads((loadcheck.folder / "one.json").read_bytes())
    assert stored["run"]["scenario_file"] == "caf\\udce9.toml"
    assert loadcheck("show", "one.json").code == 0


def test_a_name_that_cannot_be_is_refused(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, "--output", "n" * 300 + ".json")
    assert ended.code == 2
    assert "cannot be written: file name too long; choose another --output" in ended.stderr
