"""The options of the page of a run, and of its metrics, and what they come to."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from loadcheck.documents import parse_duration
from loadcheck.errors import InputError, Problem

if TYPE_CHECKING:
    from loadcheck.web import Address, LivePage

_ANY = "any"
_MOST_PORT = 65535

Web = Annotated[
    str | None,
    typer.Option(
        "--web",
        metavar="[=PORT]",
        help="Show the run on a page while it goes on, and its report at the same address; "
        "without a port at any that is free.",
        show_default=False,
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open that page in a browser.")]
Linger = Annotated[
    str | None,
    typer.Option(
        "--web-linger",
        metavar="TIME",
        help="Serve the finished report, and the last metrics, for so long, e.g. 10m; 0: end with "
        "the run. Ctrl-C ends it earlier.",
        show_default="until Ctrl-C on a terminal, else 0",
    ),
]
MetricsPort = Annotated[
    str | None,
    typer.Option(
        "--metrics-port",
        metavar="[HOST:]PORT",
        help="Serve metrics for Prometheus at /metrics while the run goes on, on loopback unless "
        "a host is named. Dashboard: loadcheck explain --grafana.",
        show_default=False,
    ),
]


class PortAfterWeb(TyperCommand):
    """Lets ``--web`` stand without a port: what follows it is a port only if it is a number."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's context is click's
        """Write the port that was left out."""
        written: list[str] = []
        for place, arg in enumerate(args):
            follows = args[place + 1] if place + 1 < len(args) else ""
            written.append(f"--web={_ANY}" if arg == "--web" and not follows.isdecimal() else arg)
        return super().parse_args(ctx, written)


@contextmanager
def live_page(
    web: str | None, metrics_port: str | None, linger: str | None, *, opened: bool, quiet: bool
) -> Iterator[LivePage | None]:
    """Serve the page of a run, or its metrics, for the length of a block, and for a while after it.

    Args:
        web: Port of the page; None for no page.
        metrics_port: Address of the metrics; None for none.
        linger: How long the finished report is served.
        opened: Whether to open the page in a browser.
        quiet: Whether only what cannot be done without is said.

    Raises:
        InputError: A port is taken, an option cannot be used, or the extra is not installed.
    """
    page, metrics = _page(web), _metrics(metrics_port)
    if opened and page is None:
        message = "is about the page that --web serves"
        raise InputError(Problem(key="--open", message=message, remedy="add --web"))
    if linger is not None and page is None and metrics is None:
        message = "is about what --web or --metrics-port serves"
        raise InputError(Problem(key="--web-linger", message=message, remedy="add --web"))
    stay_s = _stay_s(linger)
    if page is None and metrics is None:
        yield None
        return
    from loadcheck.web import LivePage  # noqa: PLC0415  # keeps --help quick

    with LivePage(page, metrics) as served:
        if served.url:
            sys.stderr.write(f"live: {served.url}\n")
        if served.metrics_url and not quiet:
            sys.stderr.write(f"metrics: {served.metrics_url}\n")
        if opened:
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
    """Have the finished report shown, if a page is served."""
    if served is not None:
        from loadcheck.result.store import encoded  # noqa: PLC0415  # keeps --help quick

        served.finish(*map(encoded, documents))


def _page(web: str | None) -> Address | None:
    from loadcheck.web import Address  # noqa: PLC0415  # keeps --help quick

    if web is None:
        return None
    return Address(option="--web", port=0 if web == _ANY else _port("--web", web))


def _metrics(given: str | None) -> Address | None:
    from loadcheck.web import LOOPBACK, Address  # noqa: PLC0415  # keeps --help quick

    if given is None:
        return None
    host, _, port = given.rpartition(":")
    host = host.strip("[]")
    return Address(
        option="--metrics-port", host=host or LOOPBACK, port=_port("--metrics-port", port)
    )


def _port(option: str, text: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text) <= _MOST_PORT:
        return int(text)
    message = f'"{text}" is no port'
    remedy = f"expected a number from 1 to {_MOST_PORT}"
    raise InputError(Problem(key=option, message=message, remedy=remedy))


def _stay_s(linger: str | None) -> float:
    """Return how long the report is served after the run, in seconds.

    Raises:
        InputError: It is no duration.
    """
    if linger is None:
        return math.inf if sys.stderr.isatty() and sys.stdin.isatty() else 0.0
    if linger.isascii() and linger.isdecimal():
        return float(linger)
    try:
        return parse_duration(linger)
    except ValueError:
        message = f'"{linger}" is no duration'
        problem = Problem(key="--web-linger", message=message, remedy="expected e.g. 30s or 10m")
        raise InputError(problem) from None
