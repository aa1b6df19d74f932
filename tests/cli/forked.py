"""The command in a process of its own, forked from one that has its modules already.

A start of Python and the imports cost a second of processor time, and there are hundreds of them.
``python -m tests.cli.forked FD`` imports once; for each request on the socket FD it forks, and the
child goes on as ``python -m loadcheck``: an interpreter, an exit code, standard streams, a folder
and an environment of its own.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
# what commands import, most of it only when they need it
_READ_AHEAD = (
    "anyio._backends._asyncio",
    "loadcheck.cli.outputs",
    "loadcheck.cli.terminal",
    "loadcheck.cli.web",
    "loadcheck.compare",
    "loadcheck.pipeline",
    "loadcheck.report.html",
    "loadcheck.report.plan",
    "loadcheck.report.preview",
    "loadcheck.result.catalogue",
    "jsonschema",
    "markdown_it",
    "uvloop",
)
_AT_START = ("PYTHON", "LC_", "LANG", "OPENBLAS")  # read when an interpreter starts


class Forks:
    """Starts commands, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    @classmethod
    @cache
    def shared(cls) -> Self:
        """Return the one of this process of tests."""
        made = cls()
        atexit.register(made.close)
        return made

    @staticmethod
    def can(environment: Mapping[str, str]) -> bool:
        """Return whether a fork's interpreter is as one started in this environment."""
        return all(
            environment.get(name) == os.environ.get(name)
            for name in {*environment, *os.environ} - {"PYTHONWARNINGS"}
            if name.startswith(_AT_START)
        )

    def run(
        self,
        arguments: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        timeout_s: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as ``subprocess.run`` does."""
        with self._lock, self._whole():
            out, out_end = os.pipe()
            err, err_end = os.pipe()
            request = json.dumps([arguments, str(cwd), dict(env)]).encode()
            head = len(request).to_bytes(4, "big")
            socket.send_fds(self._socket, [head], [out_end, err_end])
            self._socket.sendall(request)
            os.close(out_end)
            os.close(err_end)
            pid = self._number()
            late = threading.Timer(timeout_s, os.kill, (pid, signal.SIGKILL))
            late.start()
            texts = ["", ""]

            def read(place: int, descriptor: int) -> None:
                with open(descriptor, encoding="utf-8") as stream:
                    texts[place] = stream.read()

            reader = threading.Thread(target=read, args=(1, err))
            reader.start()
            read(0, out)
            reader.join()
            code = self._number()
            late.cancel()
            late.join()
            if code == -signal.SIGKILL:
                raise subprocess.TimeoutExpired(list(arguments), timeout_s, *texts)
            return subprocess.CompletedProcess(list(arguments), code, *texts)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Leave this process to its own if a test is ended before it has told the exit code."""
        try:
            yield
        except BaseException:
            Forks.shared.cache_clear()
            raise

    def _number(self) -> int:
        received = self._socket.recv(4, socket.MSG_WAITALL)
        assert len(received) == 4, "the process that forks has ended"
        return int.from_bytes(received, "big", signed=True)


def _serve(requests: socket.socket) -> tuple[list[str], str, dict[str, str]] | None:
    """Fork for each request; return it in the child, and None when there are no more."""
    while True:
        head, descriptors, _, _ = socket.recv_fds(requests, 4, 2)
        if not head:
            return None
        body = requests.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        pid = os.fork()
        if not pid:
            os.dup2(descriptors[0], 1)
            os.dup2(descriptors[1], 2)
        for descriptor in descriptors:
            os.close(descriptor)
        if not pid:
            arguments, cwd, env = json.loads(body)
            return arguments, cwd, env
        with suppress(BrokenPipeError):
            requests.sendall(pid.to_bytes(4, "big"))
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            requests.sendall(code.to_bytes(4, "big", signed=True))


def _main() -> None:
    import typer.main  # noqa: PLC0415 - in the process that forks only

    from loadcheck.cli.app import app  # noqa: PLC0415

    for name in _READ_AHEAD:
        importlib.import_module(name)
    # what typer imports at the first argument that it reads
    typer.main.get_command(app).make_context("loadcheck", ["list"])
    # no child looks through what all of them share, which would copy every page of it
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        asked = _serve(requests)
    if asked:
        arguments, cwd, env = asked
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.argv[1:] = arguments
        sys.path[0] = cwd
        runpy.run_module("loadcheck", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
