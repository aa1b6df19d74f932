"""Serves the live page and the metrics of a run or a search, as requested by options."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio

from loadcheck.cli import terminal
from loadcheck.cli.exits import Screen
from loadcheck.cli.overrides import ANY_PORT, Serving
from loadcheck.documents import parse_duration
from loadcheck.errors import InputError, Problem
from loadcheck.pipeline.target import metrics_settings
from loadcheck.report import live
from loadcheck.report import otel as telemetry
from loadcheck.report.capacity import copies, probe_line, probe_row
from loadcheck.result.store import encoded
from loadcheck.verify.progress import ProgressView
from loadcheck.web import LOOPBACK, ListenAddress, LivePage

_MOST_PORT = 65535
_REDRAW_S = 0.5


@contextmanager
def live_page(serving: Serving, *, quiet: bool) -> Iterator[LivePage | None]:
    """Serve the page of a run, or its metrics, for the length of a block, and for a while after it.

    Args:
        serving: What is served, where, and for how long.
        quiet: Whether to print only what is indispensable.

    Raises:
        InputError: A port is taken, an option cannot be used, or the extra is not installed.
    """
    page, metrics = _page(serving.web), _metrics(serving.metrics_port)
    linger = serving.linger
    if serving.opened and page is None:
        message = "is about the page that --web serves"
        raise InputError(Problem(key="--open", message=message, remedy="add --web"))
    if linger is not None and page is None and metrics is None:
        message = "is about what --web or --metrics-port serves"
        raise InputError(Problem(key="--web-linger", message=message, remedy="add --web"))
    stay_s = _stay_s(linger)
    if page is None and metrics is None:
        yield None
        return
    with LivePage(page, metrics) as served:
        if served.url:
            sys.stderr.write(f"live: {served.url}\n")
        if served.metrics_url and not quiet:
            sys.stderr.write(f"metrics: {served.metrics_url}\n")
        if serving.opened:
            served.open()
        yield served
        if stay_s and (page is not None or linger is not None):
            sys.stdout.flush()
            what = "The report stays" if page is not None else "The metrics stay"
            until = "" if math.isinf(stay_s) else f"for {stay_s:g} s, or "
            url = served.url or served.metrics_url
            sys.stderr.write(f"{what} {until}until Ctrl-C:\n  {url}\n")
            served.stay(None if math.isinf(stay_s) else stay_s)


def finish(served: LivePage | None, *documents: Mapping[str, Any]) -> None:
    """Show the finished report on the page, if one is served."""
    if served is not None:
        served.finish(*map(encoded, documents))


def _page(web: str | None) -> ListenAddress | None:
    if web is None:
        return None
    return ListenAddress(option="--web", port=0 if web == ANY_PORT else _port("--web", web))


def _metrics(given: str | None) -> ListenAddress | None:
    if given is None:
        return None
    host, _, port = given.rpartition(":")
    host = host.strip("[]")
    return ListenAddress(
        option="--metrics-port", host=host or LOOPBACK, port=_port("--metrics-port", port)
    )


def _port(option: str, text: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text) <= _MOST_PORT:
        return int(text)
    message = f'"{text}" is not a port'
    remedy = f"expected a number from 1 to {_MOST_PORT}"
    raise InputError(Problem(key=option, message=message, remedy=remedy))


def _stay_s(linger: str | None) -> float:
    """Return how long the report is served after the run, in seconds.

    Raises:
        InputError: It is not a duration.
    """
    if linger is None:
        return math.inf if sys.stderr.isatty() and sys.stdin.isatty() else 0.0
    if linger.isascii() and linger.isdecimal():
        return float(linger)
    try:
        return parse_duration(linger)
    except ValueError:
        message = f'"{linger}" is not a duration'
        problem = Problem(key="--web-linger", message=message, remedy="expected e.g. 30s or 10m")
        raise InputError(problem) from None


class SearchView:
    """Shows a search on stderr: a line per probe, and on a terminal one that is redrawn.

    Args:
        served: The page of the search, if there is one.
        quiet: Whether to show nothing.

    Attributes:
        notes: Notes of the probes, such as on their metrics, each once.
    """

    def __init__(self, served: LivePage | None, *, quiet: bool) -> None:
        self._quiet = quiet
        self._served = served
        self._metrics = metrics_settings(os.environ)
        self.notes: dict[str, None] = {}
        self._screen = Screen(sys.stderr)

    def watch(self, number: int, rate: float, /) -> ProgressView:
        """Return the view of a probe in progress."""

        async def show(progress: Any) -> None:
            if self._quiet or not terminal.is_drawable(sys.stderr):
                return
            try:
                while True:
                    columns, _ = terminal.size(sys.stderr)
                    row = live.probe_line(number, copies(rate), progress, columns - 1)
                    self._screen.show(f"\r{row}\x1b[K")
                    await anyio.sleep(_REDRAW_S)
            finally:
                self._screen.show("\r\x1b[K")

        shown: ProgressView = show
        if self._served is not None:
            shown = self._served.with_page(shown, f"probe {number} at {copies(rate)}")
        if self._metrics is None and self._served is None:
            return shown
        sending = shown if self._metrics is None else telemetry.with_metrics(shown, self._metrics)

        async def noted(progress: Any) -> None:
            try:
                await sending(progress)
            finally:
                self.notes |= dict.fromkeys(progress.notes)

        return noted

    def show_probe(self, probe: Mapping[str, Any], /) -> None:
        """Show the result of a probe."""
        if self._served is not None:
            row = probe_row(probe)
            self._served.probed([row.number, copies(row.rate), row.verdict, row.reason])
        if not self._quiet:
            self._screen.show(f"{probe_line(probe)}\n")

    def interrupted(self, signals: int, /) -> None:
        """Show what happens after a signal, and what another signal would do."""
        if signals > 1:
            self._screen.show("Interrupted again: saving what is known.\n")
        else:
            self._screen.show("Interrupted: waiting for the count. Ctrl-C again: save at once.\n")

    def settle(self) -> None:
        """Wait until everything is on the screen."""
        self._screen.settle()
