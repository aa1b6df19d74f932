"""What commands print, and where: results on stdout, everything else on stderr."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from loadcheck.cli.streams import Screen
from loadcheck.errors import ResultFileError
from loadcheck.escaping import printable
from loadcheck.report import headline, live, terminal
from loadcheck.result import save_elsewhere
from loadcheck.result.store import encoded
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
    stream.write(f"{headline.line(document)}  {shown_path(path)}".rstrip() + "\n")


def print_run(
    document: Mapping[str, Any],
    path: Path,
    *,
    unsaved: ResultFileError | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the result of a run, and hand over what could not be saved.

    Raises:
        ResultFileError: ``unsaved``.
    """
    stream = sys.stderr if as_json or (unsaved and not sys.stdout.isatty()) else sys.stdout
    show = print_headline if quiet else print_summary
    show(document, path=None if unsaved else path, stream=stream)
    if as_json:
        write_json(document)
    elif unsaved is not None:
        offer(document, path)
    if unsaved is not None:
        raise unsaved


def write_json(document: Mapping[str, Any]) -> None:
    """Print a document on stdout."""
    sys.stdout.buffer.write(encoded(document))
    sys.stdout.buffer.flush()


def shown_path(path: Path | None) -> str:
    """Return how a path is shown: without secrets, and without what would act on a terminal."""
    return "" if path is None else printable(cover(str(path)))


def offer(document: Mapping[str, Any], path: Path) -> None:
    """Hand over a document that could not be saved: on stdout, where nobody has to read it.

    On a terminal it goes to the directory for temporary files, if that can be had.
    """
    elsewhere = save_elsewhere(document, path.name) if sys.stdout.isatty() else None
    if elsewhere is None:
        write_json(document)
    else:
        sys.stderr.write(f"the document is in {shown_path(elsewhere)}\n")


def print_later(document: Mapping[str, Any], *, path: Path | None, live: bool) -> None:
    """Say on stderr how a run that was interrupted can be asked about later."""
    if path is None or document["scenario"].get("target", {}).get("kind") == "emulator":
        return  # an embedded emulator has ended with its run
    away, name = " --live" if live else "", shown_path(Path(shlex.quote(str(path))))
    sys.stderr.write(f"To ask the service again: loadcheck reconcile{away} {name}\n")


async def no_view(run: live.Running) -> None:
    """Show nothing but that a signal was heard."""
    await _plain(run, every_s=math.inf)


async def line_view(run: live.Running) -> None:
    """Write a plain line every other second: for logs and pipes."""
    await _plain(run, every_s=_LINE_S)


async def _plain(run: live.Running, *, every_s: float) -> None:
    screen, heard = Screen(sys.stderr), 0
    try:
        while True:
            await run.wait(every_s)
            if run.signals == heard:
                screen.show(f"{live.line(run)}\n")
            else:
                heard = run.signals
                screen.show(f"{live.interruption(run)}\n")
    finally:
        if run.signals != heard:
            screen.show(f"{live.interruption(run)}\n")
        screen.settle()


async def live_view(run: live.Running) -> None:
    """Draw a few lines over and over; they are wiped when the run has ended."""
    color = has_color(sys.stderr)
    screen, drawn = Screen(sys.stderr), 0
    try:
        while True:
            rows = live.lines(run, color=color, width=width() - 1)
            up = f"\x1b[{drawn}A" if drawn else ""
            screen.show(up + "".join(f"\r{row}\x1b[K\n" for row in rows))
            drawn = len(rows)
            await run.wait(_REDRAW_S)
    finally:
        if drawn:
            screen.show(f"\x1b[{drawn}A\r\x1b[J")
        screen.settle()
