"""Whatever is wrong with an input is told in words, within seconds, with what to do about it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from loadcheck import secrets
from loadcheck.cli.app import app
from loadcheck.cli.exits import Exit, run_command
from loadcheck.errors import InputError
from tests.corpus.inputs import BadInput, bad_inputs

SEED = 20_260_301
MOST_S = 10
NUMBER = int(os.environ.get("LOADCHECK_CORPUS", "5600"))
BLOCKS = 4
"""In so many parts, which can be played side by side."""


_VARYING = re.compile(r"[0-9]+|\"[^\"]*\"|'.*'")


class TooSlowError(BaseException):
    """An input held up the command for ten seconds."""


def _alarm(*_: Any) -> None:
    raise TooSlowError


@contextlib.contextmanager
def laid_out(bad: BadInput) -> Iterator[Path]:
    """Put the files of an input into a folder, and go there."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(
            outer, *["far", "from", "any", "file", "of", "others"]
        )  # "../../.." is in it too
        folder.mkdir(parents=True)
        for name, data in bad.files.items():
            Path(folder, name).write_bytes(data)
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def trouble(bad: BadInput) -> str:
    """Return what is wrong with how an input is dealt with; "" if nothing is."""
    errors: list[InputError] = []

    def command() -> None:
        try:
            app(bad.arguments, prog_name="loadcheck")
        except InputError as error:
            errors.append(error)
            raise

    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors="replace") for _ in "oe")
    with laid_out(bad), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        signal.setitimer(signal.ITIMER_REAL, MOST_S)
        try:
            secrets._process.clear()  # each is as in a process of its own
            code = run_command(command)
        except TooSlowError:
            return "took longer than 10 s"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    said, told = (stream.buffer.getvalue().decode() for stream in flushed(stdout, stderr))
    if code == Exit.BUG or "Traceback" in told:
        return f"ended with {code}: {' | '.join(told.strip().splitlines()[-4:-1])[-400:]}"
    if code == Exit.USAGE and not (said or told):
        return "nothing was said"
    problems = [asdict(problem) for error in errors for problem in error.problems]
    if "--json" in bad.arguments and bad.arguments[0] == "check" and said:
        problems += json.loads(said).get("problems", ())
    for problem in problems:
        if not problem["remedy"] and problem["severity"] == "error":
            return f"no remedy: {_VARYING.sub('…', problem['message'])[:150]}"
    return "" if code in set(Exit) else f"ended with {code}"


def flushed(*streams: io.TextIOWrapper) -> Iterator[Any]:
    """Yield streams of which nothing waits any more."""
    for stream in streams:
        stream.flush()
        yield stream


@pytest.fixture
def alarm() -> Iterator[None]:
    before, kept = signal.signal(signal.SIGALRM, _alarm), set(secrets._process)
    yield
    secrets._process.clear()
    secrets.keep(kept)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.filterwarnings("ignore")  # of hostile patterns, which are no warnings of ours
def test_no_bad_input_is_met_by_anything_but_words(block: int) -> None:
    found: Counter[str] = Counter()
    examples: dict[str, BadInput] = {}
    kinds: Counter[str] = Counter()
    for bad in bad_inputs(SEED + block, NUMBER // BLOCKS):
        kinds[bad.kind] += 1
        what = trouble(bad)
        if what:
            found[what] += 1
            examples.setdefault(what, bad)
    assert len(kinds) == 5
    assert not found, "\n".join(
        f"{count} × {examples[what].kind} {' '.join(examples[what].arguments)[:80]!r}: {what}"
        for what, count in found.most_common(60)
    )


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_few_of_them_in_processes_of_their_own() -> None:
    for bad in bad_inputs(SEED + BLOCKS, 6):
        with laid_out(bad):
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "loadcheck", *bad.arguments],
                capture_output=True,
                check=False,
                timeout=60,
            )
        assert done.returncode in set(Exit) - {Exit.BUG}, (bad, done.stderr)
        assert b"Traceback" not in done.stderr
        assert time.monotonic() - began < 60
