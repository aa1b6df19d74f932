"""The container's steps, run in a shell; and loadcheck as such a container runs it.

That is: as the first process, as nobody in particular, on a root file system that is read-only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / ".container" / "Containerfile").read_text()
NOBODY = 65532


def instructions() -> list[tuple[str, str]]:
    """Return what the Containerfile says, in order: instruction and arguments."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())
    ]


def can_make_namespaces() -> bool:
    asked = ["unshare", "--mount", "--pid", "--fork", "true"]
    return (
        bool(shutil.which("unshare") and shutil.which("setpriv"))
        and subprocess.run(asked, capture_output=True, check=False).returncode == 0
    )


def test_it_is_no_root_and_what_is_copied_is_there() -> None:
    said = instructions()
    assert ("USER", f"{NOBODY}:{NOBODY}") in said
    assert ("ENTRYPOINT", '["loadcheck"]') in said
    for word, rest in said:
        if word == "COPY" and not rest.startswith("--from"):
            for name in rest.split()[:-1]:
                assert (ROOT / name).exists(), name


def test_its_extras_are_those_of_the_package() -> None:
    wanted = set(re.findall(r'"\.\[([\w,]+)\]"', CONTAINERFILE)[0].split(","))
    known = set(re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    assert wanted <= known


@pytest.mark.long
@pytest.mark.timeout(600)
def test_its_steps_make_what_runs(tmp_path: Path) -> None:
    source, prefix = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    build = instructions()[: [word for word, _ in instructions()].index("FROM", 2)]
    for word, rest in build:
        if word == "COPY":
            *names, to = rest.split()
            for name in names:
                path = ROOT / name
                if path.is_dir():
                    shutil.copytree(path, source / to)
                else:
                    shutil.copy(path, source / to)
        elif word == "RUN":
            done = subprocess.run(
                ["sh", "-ec", rest],
                cwd=source,
                env={**os.environ, "PREFIX": str(prefix)},
                capture_output=True,
                text=True,
                check=False,
            )
            if "No matching distribution" in done.stderr or "Could not fetch" in done.stderr:
                pytest.skip("no package index answers")
            assert done.returncode == 0, done.stderr[-2000:]
    assert (prefix / "bin" / "loadcheck").exists()


@pytest.mark.long
@pytest.mark.skipif(not can_make_namespaces(), reason="no namespaces may be made here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_the_first_process_it_ends_when_told_to(number: signal.Signals, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    scenario = (ROOT / "scenarios" / "smoke.toml").read_text().replace('"2s"', '"60s"')
    (work / "scenario.toml").write_text(scenario)
    command = contained(work, "run", "scenario.toml", "-o", "result.json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        first = child_of(running.pid)
        deadline = time.monotonic() + 60
        while not (work / "result.json").exists():  # the intent is saved before the load
            assert running.poll() is None, running.stdout and running.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(first, number)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 130, said
    result = json.loads((work / "result.json").read_bytes())
    assert result["run"]["interrupted"]


@pytest.mark.long
@pytest.mark.skipif(not can_make_namespaces(), reason="no namespaces may be made here")
def test_on_a_read_only_root_it_says_where_it_cannot_write(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(ROOT / "scenarios" / "smoke.toml", work)
    command = contained(work, "run", "smoke.toml", "-o", str(ROOT / "results" / "x.json"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot be written; choose another --output" in done.stderr


def without_rights() -> list[str]:
    """Return what makes a command nobody's; of a root without rights, if Python is root's."""
    nobody = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    reached = [*nobody, "sh", "-c", '"$0" -c ""']
    if subprocess.run([*reached, sys.executable], capture_output=True, check=False).returncode == 0:
        return nobody
    return ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]


def contained(work: Path, *arguments: str) -> list[str]:
    """Return a command that runs loadcheck as the container does, in ``work``."""
    for path in (work, *work.iterdir()):
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o777)
    script = (
        # the parents of a test's folder are root's alone
        "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && mkdir /mnt/work "
        f"&& mount --bind {work} /mnt/work && mount -o remount,bind,ro / "
        "&& cd /mnt/work && mount -t proc proc /proc "
        '&& exec "$@"'
    )
    return [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
        *(
            "sh",
            "-ec",
            script,
            "sh",
            *without_rights(),
            sys.executable,
            "-m",
            "loadcheck",
            *arguments,
        ),
    ]


def child_of(pid: int) -> int:
    """Return the only child of a process, when it is there."""
    for _ in range(200):
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if found:
            return int(found[0])
        time.sleep(0.05)
    raise AssertionError("no child")


@pytest.mark.parametrize("path", [".github/action/action.yml", ".container/gitlab-ci.yml"])
def test_what_other_pipelines_include_names_options_that_exist(path: str) -> None:
    text = (ROOT / path).read_text()
    assert isinstance(yaml.safe_load(text), dict)
    help_ = subprocess.run(
        [sys.executable, "-m", "loadcheck", "run", "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    ).stdout
    line = re.search(r"loadcheck run (.*?)(\|\||\n  artifacts|\Z)", text, re.DOTALL)
    assert line is not None
    options = re.findall(r"--\w[\w-]*", line[1])
    assert options
    assert [option for option in options if option not in help_] == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("rate", "code"), [("100", 0), ("100\n--set=target.faults.drop.rate=0.1", 1)]
)
def test_the_actions_run_step_ends_as_the_run_does(rate: str, code: int, tmp_path: Path) -> None:
    action = yaml.safe_load((ROOT / ".github" / "action" / "action.yml").read_text())
    (step,) = (each for each in action["runs"]["steps"] if each.get("id") == "run")
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "loadcheck").write_text(f'#!/bin/sh\nexec {sys.executable} -m loadcheck "$@"\n')
    (commands / "loadcheck").chmod(0o755)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{commands}:{os.environ['PATH']}",
            "SCENARIO": "scenarios/smoke.toml",
            "ARGUMENTS": f"--set=load.rate={rate}\n\n",
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "smoke" in (tmp_path / "summary").read_text()
    result = (tmp_path / "output").read_text().strip().removeprefix("result=")
    assert json.loads(Path(result).read_bytes())["verdict"] == ("pass" if code == 0 else "fail")
