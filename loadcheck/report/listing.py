"""Stored results as a table for a terminal, one a line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from loadcheck.escaping import printable
from loadcheck.report import words
from loadcheck.report.terminal import CapturedConsole
from loadcheck.result.catalogue import Entry

_COLORS = {
    "pass": "green",
    "better": "green",
    "same": "green",
    "fail": "red",
    "worse": "red",
    "unknown": "yellow",
    "unsure": "yellow",
}


def text(entries: Sequence[Entry], *, color: bool, width: int) -> str:
    """Return the table, and below it the files that are of no use."""
    entries = [_printable(entry) for entry in entries]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("when (UTC)", "scenario", "verdict"):
        table.add_column(title, no_wrap=True)
    for title in ("rate", "p99", "lost", "dup."):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    good = [entry for entry in entries if not entry.trouble]
    for entry in good:
        table.add_row(
            words.instant(entry.started_at).removesuffix(" UTC") if entry.started_at else "",
            _what(entry),
            _verdict(entry),
            words.rate(entry.rate),
            words.duration(entry.p99_ms),
            _bad(entry.lost),
            _bad(entry.duplicated),
            Text(entry.path.name),
        )
    paper = CapturedConsole(color=color, width=width)
    console = paper.console
    if good:
        console.print(table)
    for entry in entries:
        if entry.trouble:
            line = Text(f"{entry.path.name} {entry.trouble}", style="yellow")
            console.print(line, soft_wrap=True)
    return paper.text()


def rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the same for scripts."""
    return [
        {
            "file": str(entry.path),
            "kind": entry.kind,
            "started_at": entry.started_at or None,
            "scenario": entry.scenario,
            "verdict": entry.verdict,
            "phase": entry.phase,
            "in_progress": entry.in_progress,
            "interrupted": entry.interrupted,
            "rate": entry.rate,
            "p99_ms": entry.p99_ms,
            "lost": entry.lost,
            "duplicated": entry.duplicated,
            "trouble": entry.trouble,
        }
        for entry in entries
    ]


def _printable(entry: Entry) -> Entry:
    return dataclasses.replace(
        entry,
        path=Path(printable(str(entry.path))),
        started_at=printable(entry.started_at),
        scenario=printable(entry.scenario),
        verdict=printable(entry.verdict),
        phase=printable(entry.phase),
        trouble=printable(entry.trouble),
    )


def _what(entry: Entry) -> Text:
    text = Text(entry.scenario)
    if entry.kind != "result":
        text.append(f"{' ' if entry.scenario else ''}({entry.kind})", style="dim")
    return text


def _verdict(entry: Entry) -> Text:
    if entry.in_progress:
        return Text("in progress", style="yellow")
    if entry.phase not in ("", "complete"):
        return Text(f"{entry.verdict} (killed)", style=_COLORS.get(entry.verdict, ""))
    if entry.interrupted:
        return Text(f"{entry.verdict} (interrupted)", style="yellow")
    return Text(entry.verdict, style=_COLORS.get(entry.verdict, ""))


def _bad(number: int | None) -> Text:
    return Text(words.count(number), style="red" if number else "")
