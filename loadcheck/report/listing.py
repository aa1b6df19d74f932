"""Stored results for a terminal, one per line, with why they did not pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from loadcheck.errors import printable
from loadcheck.report import capacity, comparison, headline, trend, words
from loadcheck.report.terminal import CapturedConsole
from loadcheck.result.catalogue import CatalogueEntry, grouped

_COLORS = {
    "pass": "green",
    "better": "green",
    "same": "green",
    "fail": "red",
    "worse": "red",
    "unknown": "yellow",
    "unsure": "yellow",
}


_TITLES = ("when (UTC)", "scenario", "verdict", "rate", "p99", "lost", "dup.")
_WORDS = 3
"""Number of leading columns that hold words; the others hold numbers."""
_DISPENSABLE = (6, 4, 3)
"""Columns that are dropped in a narrow terminal, in this order."""
_GAP = "  "
_GOOD = ("pass", "same", "better")


def cause(document: Mapping[str, Any]) -> str:
    """Return why the verdict of a document of any kind is what it is."""
    kind = str(document["schema"]).partition("/")[0]
    return _CAUSES.get(kind, headline.cause)(document)


_CAUSES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "loadcheck.capacity": capacity.cause,
    "loadcheck.comparison": comparison.cause,
    "loadcheck.trend": trend.cause,
}


def text(entries: Sequence[CatalogueEntry], *, color: bool, width: int) -> str:
    """Return a line for each result, and below it why it did not pass; then unusable files.

    The flows of a mix follow a line for all of them together, with the id of that run.

    If the terminal is too narrow, file names have lines of their own.
    """
    entries = grouped([_printable(entry) for entry in entries])
    good = [entry for entry in entries if not entry.trouble]
    paper = CapturedConsole(color=color, width=width)
    for line in _rows(good, width) if good else ():
        paper.console.print(line, soft_wrap=True)
    for entry in entries:
        if entry.trouble:
            line = Text(f"{entry.path.name} {entry.trouble}", style="yellow")
            paper.console.print(line, soft_wrap=True)
    return paper.text()


def _rows(entries: Sequence[CatalogueEntry], width: int) -> Iterator[Text]:
    table = [[Text(title) for title in _TITLES], *map(_cells, entries)]
    widths = [max(row[index].cell_len for row in table) for index in range(len(_TITLES))]
    for index in _DISPENSABLE:
        if sum(widths) + len(_GAP) * (len(widths) - 1) > width:
            widths.pop(index)
            for row in table:
                row.pop(index)
    longest = max(cell_len(entry.path.name) for entry in entries)
    beside = sum(widths) + len(_GAP) * len(widths) + longest <= width
    head = _line(table[0], widths) + Text(f"{_GAP}file" if beside else "")
    head.stylize("dim")
    yield head
    for entry, row in zip(entries, table[1:], strict=True):
        line, name = _line(row, widths), Text(entry.path.name)
        if beside:
            yield line + Text(_GAP) + name
        else:
            yield line
            yield Text(_GAP) + name
        if entry.cause and entry.verdict not in _GOOD:
            cause = Text(f"{_GAP}{entry.cause}", style="dim")
            cause.truncate(width, overflow="ellipsis")
            yield cause
        shown = words.labels(entry.labels)
        if shown:
            labels = Text(f"{_GAP}{shown}", style="dim")
            labels.truncate(width, overflow="ellipsis")
            yield labels


def _cells(entry: CatalogueEntry) -> list[Text]:
    started = words.instant(entry.started_at).removesuffix(" UTC") if entry.started_at else ""
    return [
        Text(started),
        _what(entry),
        _verdict(entry),
        Text(words.rate(entry.rate)),
        Text(words.duration(entry.p99_ms)),
        _bad(entry.lost),
        _bad(entry.duplicated),
    ]


def _line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    """Return cells side by side: words flush left, numbers flush right."""
    line = Text()
    for index, (cell, wide) in enumerate(zip(cells, widths, strict=True)):
        blank = " " * (wide - cell.cell_len)
        line.append(_GAP if index else "")
        line = line + cell + Text(blank) if index < _WORDS else line + Text(blank) + cell
    return line


def rows(entries: Sequence[CatalogueEntry]) -> list[dict[str, Any]]:
    """Return the entries as JSON objects, for scripts."""
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
            "cause": entry.cause,
            "trouble": entry.trouble,
            "labels": dict(entry.labels),
            "mix": {n: entry.mix[n] for n in ("id", "name", "flow", "verdict")}
            if entry.mix
            else None,
        }
        for entry in entries
    ]


def _printable(entry: CatalogueEntry) -> CatalogueEntry:
    return dataclasses.replace(
        entry,
        path=Path(printable(str(entry.path))),
        started_at=printable(entry.started_at),
        scenario=printable(entry.scenario),
        verdict=printable(entry.verdict),
        phase=printable(entry.phase),
        cause=printable(entry.cause),
        trouble=printable(entry.trouble),
        labels={printable(name): printable(value) for name, value in entry.labels.items()},
        mix={n: printable(v) if isinstance(v, str) else v for n, v in entry.mix.items()},
    )


def _what(entry: CatalogueEntry) -> Text:
    text = Text(f"{_GAP if entry.mix else ''}{entry.scenario}")
    if entry.kind != "result":
        text.append(f"{' ' if entry.scenario else ''}({entry.kind})", style="dim")
    return text


def _verdict(entry: CatalogueEntry) -> Text:
    if entry.in_progress:
        return Text("in progress", style="yellow")
    if entry.phase not in ("", "complete"):
        return Text(f"{entry.verdict} (killed)", style=_COLORS.get(entry.verdict, ""))
    if entry.interrupted:
        return Text(f"{entry.verdict} (interrupted)", style="yellow")
    return Text(entry.verdict, style=_COLORS.get(entry.verdict, ""))


def _bad(number: int | None) -> Text:
    return Text(words.count(number), style="red" if number else "")
