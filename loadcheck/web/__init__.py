"""The live page of a run, and its metrics for Prometheus to scrape.

A separate process serves them, so that viewers, however slow or many, cost the load nothing. It is
started before the run and ended after it; once a second it is sent what has changed, piece by
piece, and never waited for. It assembles the same document and pages as the report has (``state``),
and serves them to viewers (``server``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import anyio
import orjson
from anyio.lowlevel import checkpoint

from loadcheck.errors import InputError, Problem, printable_json
from loadcheck.measure.histogram import Counts
from loadcheck.report.metrics import snapshot
from loadcheck.report.pages.timeline import rows_of_times
from loadcheck.secrets import cover
from loadcheck.verify.progress import Progress, ProgressView

_FIXED = ("schema", "scenario", "mix", "workflow", "environment", "labels")
"""Sections of the document that are sent once."""


class Feed:
    """Makes the messages about one run.

    Args:
        progress: The progress of the run.
        metrics: Whether messages include the metrics to scrape.
        title: Name of a probe of a capacity search; "" for a run.
    """

    def __init__(self, progress: Progress, *, metrics: bool, title: str = "") -> None:
        self._progress = progress
        self._metrics = metrics
        self._title = title
        self._begun = False
        self._rows = 0
        self._asked = 0
        self._times: Counts | None = None

    def message(self) -> dict[str, Any]:
        """Return what has changed since the last message; every message has to arrive."""
        held: dict[str, Any] = {}
        for piece in self.pieces():
            held |= piece
        return held

    def pieces(self) -> Iterator[dict[str, Any]]:
        """Yield a message in pieces, none of which takes so long that a copy would be late.

        Once begun, it has to be finished and sent: later messages do not repeat its content.
        """
        progress = self._progress
        record = progress.record
        held: dict[str, Any] = {"is": "state", "key": progress.outline.run_id}
        if not self._begun:
            self._begun = True
            held |= {"is": "run", "title": self._title}
            held |= {name: progress.document.get(name) for name in _FIXED}
            held["deadline_s"] = progress.outline.deadline_s
            held["checked"] = progress.outline.checked
            held["planned"] = progress.outline.planned
        yield held
        yield {"now": self._now()}
        yield {"asked": self._new_answers(), "rows": self._new_rows()}
        yield {"heat": self._new_times()}
        if self._metrics:
            taken = snapshot(record, time.time_ns(), progress.outline.flow)
            yield {}
            yield {"metrics": taken.to_json()}
        yield {
            "run": progress.document.get("run"),
            "warnings": [
                cover(note) for note in (*progress.document.get("warnings", ()), *progress.notes)
            ],
            "copies": {
                name: getattr(record, name)
                for name in (
                    *("started", "skipped", "acknowledged", "rejected", "indeterminate"),
                    *("in_flight", "retries", "uniques"),
                )
            }
            | {"users": progress.acknowledged_users},
        }

    def _now(self) -> Mapping[str, Any]:
        progress = self._progress
        return {
            "stage": progress.stage,
            "part": progress.part,
            "elapsed_s": progress.elapsed_s,
            "left_s": progress.left_s,
            "asked_rate": progress.asked_rate,
            "trouble": cover(progress.trouble),
            "signals": progress.signals,
            "cpu_share": progress.cpu_share(),
            "p99_ms": progress.times.percentile_ms(99),
            "thresholds": [judged.to_json() for judged in progress.thresholds()],
            "together": [judged.to_json() for judged in progress.together()],
            "workers": progress.workers(),
        }

    def _new_answers(self) -> Mapping[str, Any]:
        """Return the results of queries, with only those observations that were not sent yet."""
        asked = self._progress.asked(self._asked)
        answers = asked.get("observations", ())
        self._asked += len(answers)
        # a service's error may repeat secrets that it was sent
        covered = [answer | {"error": cover(answer["error"])} for answer in answers]
        return {**asked, "observations": covered}

    def _new_rows(self) -> Mapping[str, Sequence[Any]]:
        """Return the seconds of the timeline that are complete and were not sent yet."""
        timeline = self._progress.record.timeline
        first, self._rows = self._rows, len(timeline)
        return timeline.since(first)

    def _new_times(self) -> Sequence[int]:
        """Return the latencies since the last message, counted by row of the heat map."""
        counts = self._progress.times.counts()
        before, self._times = self._times, counts
        return rows_of_times(counts if before is None else counts - before)


LOOPBACK = "127.0.0.1"
_EVERY_S = 1.0
_READY_S = 30.0
_LEAVE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """An address at which something is served.

    Attributes:
        option: The option that asks for it.
        host: An address of this machine.
        port: The port; 0: any that is free.
    """

    option: str
    host: str = LOOPBACK
    port: int = 0

    def bound(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            InputError: The port is taken, or may not be used.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((self.host, self.port))
            made.listen(128)
        except (OSError, OverflowError) as error:
            made.close()
            raise InputError(self._problem(error)) from None
        return made

    def _problem(self, error: OSError | OverflowError) -> Problem:
        number = error.errno if isinstance(error, OSError) else None
        what = {
            errno.EADDRINUSE: f"port {self.port} is taken",
            errno.EACCES: f"port {self.port} may not be used without more rights",
            errno.EADDRNOTAVAIL: f"{self.host} is not an address of this machine",
        }
        message = what.get(number or 0, f"cannot listen at {self.host}:{self.port}: {error}")
        remedy = "name another port"
        if self.option == "--web":
            remedy += ", or none: --web takes one that is free"
        return Problem(key=self.option, message=message, remedy=remedy)


def require_extra(option: str) -> None:
    """Check that the packages that serve pages are installed.

    Raises:
        InputError: They are not.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        message = f"needs {' and '.join(missing)}, not installed here"
        remedy = "pip install 'loadcheck[web]'"
        raise InputError(Problem(key=option, message=message, remedy=remedy))


class LivePage:
    """The process that serves the page of a run, its metrics, or both.

    Args:
        page: Where the page is served; None for none.
        metrics: Where the metrics are served; None for none.

    Attributes:
        url: Address of the page, with the token that opens it; "" if there is none.
        metrics_url: Address of the metrics; "" if there are none.

    Raises:
        InputError: A port is taken, a package is not installed, or the process does not start.
    """

    def __init__(self, page: ListenAddress | None, metrics: ListenAddress | None) -> None:
        wanted = [each for each in (page, metrics) if each is not None]
        for each in wanted:
            require_extra(each.option)
        self._token = secrets.token_urlsafe(16)
        self._scraped = metrics is not None
        self._posted: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._given = self._written = 0  # messages: each is counted by one thread only
        self._gone = threading.Event()
        self._ready = threading.Event()
        self._failure = ""
        self._noted_gone = False
        sockets: dict[str, socket.socket] = {}
        with contextlib.ExitStack() as ours:
            for name, place in (("page", page), ("metrics", metrics)):
                if place is not None:
                    sockets[name] = ours.enter_context(place.bound())
            ports = {name: made.getsockname()[1] for name, made in sockets.items()}
            self.url = f"http://{LOOPBACK}:{ports['page']}/?token={self._token}" if page else ""
            host = "" if metrics is None else metrics.host
            host = f"[{host}]" if ":" in host else host
            self.metrics_url = f"http://{host}:{ports['metrics']}/metrics" if metrics else ""
            try:
                self._start({name: made.fileno() for name, made in sockets.items()})
            except OSError as error:  # the system allows no further process, or has no such program
                message = f"its process does not start: {sys.executable}: {error.strerror}"
                raise InputError(Problem(key=wanted[0].option, message=message)) from None
        if not self._ready.wait(_READY_S) or self._gone.is_set():
            self.close()
            message = f"its process does not start: {self._failure or 'it says nothing'}"
            raise InputError(Problem(key=wanted[0].option, message=message))

    def _start(self, descriptors: Mapping[str, int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadcheck.web.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=tuple(descriptors.values()),
            # a terminal's signals are for the run: the page shows it to its end. In a session of
            # its own it would get, on Linux, as much of a core as the load, however nice it is
            process_group=0,
        )
        for work in (self._write, self._read):
            threading.Thread(target=work, name="page", daemon=True).start()
        self.post({"is": "settings", "token": self._token, "sockets": dict(descriptors)})

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    # what is sent and received, by threads of their own

    def post(self, message: Mapping[str, Any]) -> None:
        """Send a message to the process, without waiting for it."""
        self._given += 1
        self._posted.put(printable_json(message, orjson.OPT_APPEND_NEWLINE))

    def _write(self) -> None:
        assert self._process.stdin is not None
        descriptor = self._process.stdin.fileno()
        try:
            while (data := self._posted.get()) is not None:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                self._written += 1
        except OSError:
            self._gone.set()
        finally:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            if word == "ready":
                self._ready.set()
            elif word == "failed":
                self._failure = rest
            elif word == "stop":
                # the same as Ctrl-C: the load ends, and what was sent is verified
                os.kill(os.getpid(), signal.SIGINT)
        self._gone.set()
        self._ready.set()

    # the run

    def with_page(self, view: ProgressView, title: str = "") -> ProgressView:
        """Return a view of a run that also shows it on the page.

        Args:
            view: The other view to show.
            title: Name of a probe of a search.
        """

        async def watch(progress: Progress) -> None:
            async with anyio.create_task_group() as both:
                both.start_soon(view, progress)
                both.start_soon(self._report, progress, title)

        return watch

    async def _report(self, progress: Progress, title: str) -> None:
        """Update the page each second; whatever goes wrong with it, the run goes on."""
        feed = Feed(progress, metrics=self._scraped, title=title)
        pieces: Iterator[dict[str, Any]] = iter(())
        held: dict[str, Any] = {}
        try:
            while not self._gone.is_set():
                # a slow process gets all changes at once, when it has read the last message
                if self._given == self._written:
                    pieces = feed.pieces()
                    for piece in pieces:
                        held |= piece
                        await checkpoint()  # copies that fell due meanwhile go first
                    self.post(held)
                    held = {}
                await anyio.sleep(_EVERY_S)
            self._note(progress, "its process has gone")
        except Exception as error:  # noqa: BLE001  # the load is not to suffer from it
            self._note(progress, f"{type(error).__name__}: {error}")
        except anyio.get_cancelled_exc_class():
            # send the message that was begun, and the last figures for the scraper
            with contextlib.suppress(Exception):
                if held:
                    for piece in pieces:
                        held |= piece
                    self.post(held)
                self.post(feed.message())
            raise

    def _note(self, progress: Progress, why: str) -> None:
        if not self._noted_gone:
            self._noted_gone = True
            progress.notes.append(f"the live page ended early: {why}")

    def probed(self, row: Sequence[str]) -> None:
        """Show the result of a probe: its number, rate, verdict and reason."""
        self.post({"is": "probed", "row": list(row)})

    def finish(self, *encoded: bytes) -> None:
        """Show the finished report from now on.

        Args:
            encoded: The documents, as they are saved: one, or that of each flow of a mix.
        """
        self._given += 1
        documents = b",".join(each.replace(b"\n", b" ") for each in encoded)
        self._posted.put(b'{"is":"done","documents":[' + documents + b"]}\n")

    def stay(self, seconds: float | None) -> None:
        """Serve the finished report for a time, or until Ctrl-C if ``seconds`` is None."""
        with contextlib.suppress(KeyboardInterrupt):
            self._gone.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    def close(self) -> None:
        """End the process, after connected viewers have got the finished report."""
        self._posted.put(None)
        try:
            self._process.wait(_LEAVE_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            with contextlib.suppress(OSError):
                self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the page in a browser.

        Its address holds the token, which others on this machine could read on a command line; so
        the browser is given a file that only this user can read.
        """
        folder = Path(tempfile.mkdtemp(prefix="loadcheck-"))
        file = folder / "open.html"
        file.write_text(
            f'<!doctype html><meta charset="utf-8"><title>loadcheck</title><meta '
            f'http-equiv="refresh" content="0;url={self.url}"><a href="{self.url}">loadcheck</a>',
            encoding="utf-8",
        )
        with contextlib.suppress(OSError):
            subprocess.Popen(  # noqa: S603  # our own file
                [sys.executable, "-m", "webbrowser", file.as_uri()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        threading.Thread(target=_forget, args=(file,), daemon=True).start()


def _forget(file: Path) -> None:
    time.sleep(10)
    with contextlib.suppress(OSError):
        file.unlink()
        file.parent.rmdir()
