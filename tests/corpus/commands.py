"""Runs many commands: each in a process of its own, forked from one that has read the program.

A command that is started from nothing takes most of its second to import; a corpus has thousands.
``python -m tests.corpus.commands`` is that process: it takes a request a line, as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from loadcheck.cli import main

READ_AHEAD = (
    "loadcheck.cli.app",
    "loadcheck.pipeline.capacity",
    "loadcheck.pipeline.preview",
    "loadcheck.pipeline.reconcile",
    "loadcheck.report.export",
    "loadcheck.report.html",
)
ROOT = Path(__file__).resolve().parents[2]
_LOOK_S = 0.005


@dataclass(frozen=True)
class Ended:
    """A command that has ended; ``code`` is None if it was killed for taking too long."""

    code: int | None
    stdout: bytes
    stderr: bytes

    @property
    def written(self) -> bytes:
        """Everything that it printed."""
        return self.stdout + self.stderr


class Commands:
    """Starts commands in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.corpus.commands"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __call__(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> Ended:
        """Run a command to its end."""
        request = {
            "arguments": [str(argument) for argument in arguments],
            "env": dict(env or {}),
            "folder": str(self.folder),
            "timeout_s": timeout_s,
        }
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        written = [(self.folder / f".{name}").read_bytes() for name in ("stdout", "stderr")]
        return Ended(answer["code"], *written)


def serve() -> None:
    """Fork for each request."""
    for name in READ_AHEAD:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request)
        sys.stdout.write(json.dumps({"code": _wait(child, request["timeout_s"])}) + "\n")
        sys.stdout.flush()


def _wait(child: int, timeout_s: float) -> int | None:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_LOOK_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _run(request: Mapping[str, object]) -> None:
    folder = str(request["folder"])
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, ".stdout"), (2, ".stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    env, arguments = request["env"], request["arguments"]
    assert isinstance(env, dict)
    assert isinstance(arguments, list)
    os.environ.update(env)
    sys.argv = ["loadcheck", *arguments]
    code = 70
    try:
        main()
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
