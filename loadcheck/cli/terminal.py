"""What commands print, and where: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import anyio
import orjson

from loadcheck.escaping import printable, printable_json
from loadcheck.report import live, terminal
from loadcheck.secrets import cover

_REDRAW_S = 0.25
_LINE_S = 2.0
_NARROWEST = 60
_WIDEST = 140


def has_color(stream: TextIO) -> bool:
    """Tell whether to colour a stream: a terminal, unless NO_COLOR (no-color.org) says not to."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def width() -> int:
    """Return the columns to fill."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((100, 24)).columns))


def print_summary(document: Mapping[str, Any], *, path: Path | None, stream: TextIO) -> None:
    """Print a result for a person."""
    shown = shown_path(path)
    stream.write(terminal.summary(document, color=has_color(stream), width=width(), path=shown))


def print_headline(document: Mapping[str, Any], *, path: Path | None, stream: TextIO) -> None:
    """Print the verdict in one line."""
    stream.write(f"{terminal.headline(document)}  {shown_path(path)}".rstrip() + "\n")


def write_json(document: Mapping[str, Any]) -> None:
    """Print a document on stdout."""
    data = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(printable_json(data))
    sys.stdout.buffer.flush()


def shown_path(path: Path | None) -> str:
    """Return how a path is shown: without secrets, and without what would act on a terminal."""
    return "" if path is None else printable(cover(str(path)))


async def no_view(run: live.Running) -> None:
    """Show nothing."""


async def line_view(run: live.Running) -> None:
    """Write a plain line every other second: for logs and pipes."""
    while True:
        await anyio.sleep(_LINE_S)
        sys.stderr.write(f"{live.line(run)}\n")
        sys.stderr.flush()


async def live_view(run: live.Running) -> None:
    """Draw a few lines over and over; they are wiped when the run has ended."""
    color = has_color(sys.stderr)
    drawn = 0
    try:
        while True:
            rows = live.lines(run, color=color, width=width() - 1)
            up = f"\x1b[{drawn}A" if drawn else ""
            sys.stderr.write(up + "".join(f"\r{row}\x1b[K\n" for row in rows))
            sys.stderr.flush()
            drawn = len(rows)
            await anyio.sleep(_REDRAW_S)
    finally:
        if drawn:
            sys.stderr.write(f"\x1b[{drawn}A\r\x1b[J")
            sys.stderr.flush()
