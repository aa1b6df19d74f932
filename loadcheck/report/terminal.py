"""The summary of a results document for a terminal: the verdict first, then why.

Captures rich output as text.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadcheck.escaping import printable_document
from loadcheck.report import headline, words


class CapturedConsole:
    """Takes what would be printed and gives it back as text.

    Attributes:
        console: Print here.
    """

    __slots__ = ("_buffer", "console")

    def __init__(self, *, color: bool, width: int) -> None:
        self._buffer = io.StringIO()
        self.console = Console(
            file=self._buffer,
            width=width,
            force_terminal=color,
            no_color=not color,
            color_system="standard" if color else None,
            highlight=False,
            emoji=False,
            markup=False,
        )

    def text(self) -> str:
        """Return what was printed, without the blanks that fill lines up to the width."""
        return "".join(f"{line.rstrip()}\n" for line in self._buffer.getvalue().splitlines())


_COLORS = {"pass": "green", "fail": "red", "unknown": "yellow"}
_MARKS = {"pass": "✓", "fail": "✗", "unknown": "?"}
_MAX_REASONS = 3
_WIDE = 40
"""Up to so many columns what thresholds measured stands in a column."""
_EXAMPLE = 160
_DISPENSABLE = ("p90", "p99.9", "samples")
"""Columns of the latencies that a narrow terminal goes without, in this order."""

_SENT_AGAIN = {
    "stale_retries": "sent again: an idle connection was closing",
    "resends": "resends",
}

Document = Mapping[str, Any]


def summary(document: Document, *, color: bool, width: int, paths: Sequence[str] = ()) -> str:
    """Return the summary of a results document; the verdict stands first and last.

    Args:
        document: A results document of any phase.
        color: Whether to use terminal colours.
        width: Columns of the terminal.
        paths: Files that it is in; shown at the end.
    """
    document = printable_document(document)
    paper = CapturedConsole(color=color, width=width)
    console = paper.console
    _verdict(document, console)
    blocks = [_totals(document)]
    if "steps" in document:
        blocks.append(_latencies(document, width - 1))
    blocks += [_failures(document), *_checks(document)]
    for block in blocks:
        if block.row_count:
            console.print()
            console.print(Padding(block, (0, 0, 0, 1)))
    if document["warnings"]:
        console.print()
    for warning in document["warnings"]:
        console.print(_hanging(Text("!", style="yellow"), Text(warning, style="yellow")))
    console.print()
    for path in paths:
        console.print(Text(f"  {path}", style="dim"), soft_wrap=True)
    _verdict(document, console)
    return paper.text()


def _verdict(document: Document, console: Console) -> None:
    """Print the verdict and its cause; in two lines where one is too short."""
    shown, verdict = headline.badge(document), document["verdict"]
    print_headline(
        console,
        badge=shown,
        color=_COLORS[verdict] if shown == verdict else "yellow",
        name=str(document["scenario"].get("name", "")),
        cause=headline.cause(document),
        note=headline.ended(document),
    )


def print_headline(
    console: Console, *, badge: str, color: str, name: str, cause: str, note: str = ""
) -> None:
    """Print a verdict, what it is of and why; the cause below where the line is too short."""
    title = Text(f" {badge.upper()} ", style=f"bold reverse {color}")
    title.append("  ", style="not bold not reverse")
    title.append(name, style="not reverse default")
    reason = Text(cause)
    if note:
        reason.append(f"  ({note})" if cause else f"({note})", style="yellow")
    if title.cell_len + 2 + reason.cell_len <= console.width:
        console.print(Text.assemble(title, "  ", reason))
        return
    console.print(title)
    console.print(Padding(reason, (0, 0, 0, 2)))


def _totals(document: Document) -> Table:
    table = _grid()
    table.add_row("sent", _sent(document))
    if (load := document.get("load")) and document["copies"]["started"]:
        table.add_row("rate", _rate(load))
    table.add_row("outcomes", _outcomes(document))
    seen = document.get("consistency")
    if seen and headline.is_checked(document):
        table.add_row("counted", _counted(seen))
        lag = seen.get("visibility")
        if lag and lag["samples"]:
            table.add_row("visible in", _visible(lag))
    return table


def _sent(document: Document) -> str:
    copies, load = document["copies"], document.get("load")
    if not (load and copies["started"]):
        return f"{words.count(copies['started'])} of {words.count(copies['planned'])} copies"
    return (
        f"{words.count(copies['started'])} copies in {words.clock(load['duration_s'])}"
        f"   {load['max_in_flight']:,} in flight at most"
    )


def _rate(load: Mapping[str, Any]) -> str:
    achieved = words.rate(load["reached_rate"])
    if load["asked_rate"] is None:
        return f"achieved {achieved}"
    return (
        f"target {words.rate(load['asked_rate'])}   achieved {achieved}"
        f" ({words.share(load['reached_ratio'])})   peak {words.rate(load['peak_rate'])}"
    )


def _outcomes(document: Document) -> Text:
    copies, load = document["copies"], document.get("load")
    text = Text()
    for name in ("acknowledged", "rejected", "indeterminate", "skipped"):
        style = "" if name == "acknowledged" or not copies[name] else "yellow"
        text.append(f"{words.count(copies[name])} {name}   ", style=style)
    for name, meaning in {"retries": "retries", **_SENT_AGAIN}.items():
        if load and load.get(name):
            text.append(f"{words.count(load[name])} {meaning}   ", style="yellow")
    return text


def _counted(seen: Mapping[str, Any]) -> str:
    if seen["uniques"] is None:
        return "unknown"
    counted = f"{words.count(seen['uniques'])} unique users"
    if seen["totals"] is not None:
        counted += f", {words.count(seen['totals'])} events"
    band = f"{words.count(seen['lower'])} … {words.count(seen['upper'])}"
    expected = words.count(seen["lower"]) if seen["lower"] == seen["upper"] else band
    return f"{counted}   expected {expected}"


def _visible(lag: Mapping[str, Any]) -> Text:
    """Return how long after their acknowledgement users were counted."""
    text = Text()
    for name in ("p50", "p95", "p99", "max"):
        high, low = lag[f"{name}_s"], lag.get("lower", {}).get(f"{name}_s")
        text.append(f"{name} {_within(low, high)}   ", "yellow" if high is None else "")
    return text


def _within(low: float | None, high: float | None) -> str:
    """Return an interval of seconds; without an end: never, or nobody knows."""
    if high is None:
        return "never" if low is None else f"≥ {words.clock(low)}"
    least, most = words.clock(low or 0.0), words.clock(high)
    if least == most:
        return most
    if least == words.clock(0.0):
        return f"≤ {most}"
    return f"{least.removesuffix(' s')}–{most}" if most.endswith(" s") else f"{least}–{most}"


def _latencies(document: Document, width: int) -> Table:
    rows = []
    for name, step in document["steps"].items():
        kinds = [(kind, step[kind]) for kind in ("response_time", "service_time")]
        kinds += [(kind, step[kind]) for kind in ("failed", "throttled")]
        rows += [(name, kind, h) for kind, h in kinds if h is not None and h["count"]]
    lateness = document["generator"]["lateness"]
    if lateness["count"]:
        rows.append(("generator", "lateness", lateness))
    figures = {"p50": "p50", "p90": "p90", "p99": "p99", "p99.9": "p999", "max": "max"}
    titles = [*figures, "samples"]
    wide = 13 + max((len(name) for name, *_ in rows), default=0)
    for title in _DISPENSABLE:
        if wide + 10 * len(titles) > width:
            titles.remove(title)
    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    if not rows:
        return table
    table.add_column("step", overflow="fold")
    table.add_column("")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    shown = ""
    for name, kind, histogram in rows:
        cells = {title: words.duration(histogram[f"{p}_ms"]) for title, p in figures.items()}
        cells["samples"] = words.count(histogram["count"])
        table.add_row(
            name if name != shown else "",
            Text(kind.replace("_", " "), style="dim"),
            *(cells[title] for title in titles),
        )
        shown = name
    return table


def _failures(document: Document) -> Table:
    """Return what went wrong most often, step by step."""
    table = _grid()
    for name, step in document.get("steps", {}).items():
        ranked = sorted(step["reasons"].items(), key=lambda item: -item[1])
        for reason, number in ranked[:_MAX_REASONS]:
            table.add_row(name, Text(f"{reason} ({headline.times(number)})", style="yellow"))
        if len(ranked) > _MAX_REASONS:
            rest = sum(number for _, number in ranked[_MAX_REASONS:])
            table.add_row(name, f"other reasons ({headline.times(rest)}): see the results file")
        if step["examples"]:
            status, body = next(iter(step["examples"].items()))
            text = " ".join(body.split())[:_EXAMPLE] or "empty"
            table.add_row(name, Text(f"first {status} response: {text}", style="dim"))
    return table


def _checks(document: Document) -> tuple[Table, Table]:
    """Return findings and thresholds, what failed first."""
    found = Table.grid(padding=(0, 1))
    found.add_column()
    found.add_column(overflow="fold")
    for finding in headline.findings(document):
        text = Text(finding["summary"])
        text.append(f"  [{finding['check']}]", style="dim")
        found.add_row(_mark(finding["verdict"]), text)
    limits = Table.grid(padding=(0, 1))
    limits.add_column()
    limits.add_column(overflow="fold")
    thresholds = document.get("thresholds", ())
    wide = min(_WIDE, max((len(each["expression"]) for each in thresholds), default=0))
    for threshold in thresholds:
        row = Text(f"{threshold['expression']:<{wide}}   ")
        row.append(headline.measured(threshold), style="dim")
        limits.add_row(_mark(threshold["verdict"]), row)
    return found, limits


def _hanging(mark: Text, text: Text) -> Padding:
    """Return a text whose further lines begin below its first one."""
    table = Table.grid(padding=(0, 1))
    table.add_row(mark, text)
    return Padding(table, (0, 0, 0, 2))


def _mark(verdict: str) -> Text:
    return Text(f" {_MARKS[verdict]}", style=f"bold {_COLORS[verdict]}")


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table
