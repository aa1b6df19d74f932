"""The summary of a results document for a terminal: the verdict first, then why."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadcheck.errors import many
from loadcheck.report import headline, words
from loadcheck.report.pages import CheckRow
from loadcheck.report.view import Counted, RunView, run_view
from loadcheck.result import Document


class CapturedConsole:
    """Captures what is printed as text.

    Attributes:
        console: The console to print to.
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


COLORS: Mapping[str, str] = {"pass": "green", "fail": "red", "unknown": "yellow"}
_MARKS = {"pass": "✓", "fail": "✗", "unknown": "?"}
_MAX_REASONS = 3
_WIDE = 40
"""Maximum width of the column of thresholds, beside which the measured values are aligned."""
_EXAMPLE = 160
_TITLES = ("p50", "p90", "p99", "p99.9", "max", "samples")
_DISPENSABLE = ("p90", "p99.9", "samples")
"""Columns of the latencies that are dropped in a narrow terminal, in this order."""

_SENT_AGAIN = {
    "retries": "retries",
    "stale_retries": "sent again: an idle connection was closing",
    "resends": "resends",
}


def summary(document: Document, *, color: bool, width: int, paths: Sequence[str] = ()) -> str:
    """Return the summary of a results document; the verdict stands first and last.

    Args:
        document: A results document of any phase.
        color: Whether to use terminal colours.
        width: Columns of the terminal.
        paths: Files of the result, shown at the end.
    """
    view = run_view(document)
    paper = CapturedConsole(color=color, width=width)
    console = paper.console
    _verdict(view, console)
    blocks = [_totals(view), _latencies(view, width - 1), _failures(view), *_checks(view)]
    for block in blocks:
        if block.row_count:
            console.print()
            console.print(Padding(block, (0, 0, 0, 1)))
    if view.document["warnings"]:
        console.print()
    for warning in view.document["warnings"]:
        console.print(_hanging(Text("!", style="yellow"), Text(warning, style="yellow")))
    print_paths(console, paths)
    _verdict(view, console)
    return paper.text()


def _verdict(view: RunView, console: Console) -> None:
    """Print the verdict and its cause; in two lines where one is too short."""
    print_headline(
        console,
        badge=view.badge,
        color=COLORS[view.verdict] if view.badge == view.verdict else "yellow",
        name=view.name,
        cause=view.cause,
        note=view.ended,
    )


def print_paths(console: Console, paths: Sequence[str]) -> None:
    """Print the files of a result, below an empty line."""
    console.print()
    for path in paths:
        console.print(Text(f"  {path}", style="dim"), soft_wrap=True)


def print_headline(
    console: Console, *, badge: str, color: str, name: str, cause: str, note: str = ""
) -> None:
    """Print a verdict, its subject and its cause; the cause below if the line is too short."""
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


def _totals(view: RunView) -> Table:
    table = _grid()
    copies, rates = view.document["copies"], view.rates
    started = words.count(copies["started"])
    if rates is None or not copies["started"]:
        table.add_row("sent", f"{started} of {many(copies['planned'], 'copies')}")
    else:
        table.add_row(
            "sent",
            f"{many(copies['started'], 'copies')} in {rates.duration}{rates.by}   "
            f"{rates.most_in_flight}",
        )
        achieved = f"achieved {rates.achieved}"
        if rates.target:
            achieved = f"target {rates.target}   {achieved} ({rates.share})   peak {rates.peak}"
        table.add_row("rate", achieved)
    table.add_row("outcomes", _outcomes(view.document))
    if view.counted is not None:
        table.add_row("counted", _counted(view.counted))
        if view.counted.lag:
            visible = Text()
            for name, lag in view.counted.lag.items():
                visible.append(f"{name} {lag}   ", "yellow" if lag[0] in "n≥" else "")
            table.add_row("visible in", visible)
    if view.document.get("spent"):
        table.add_row("spent", _spent(view.document["spent"]))
    if view.document.get("deletion"):
        table.add_row("deletion", _deletion(view.document["deletion"]))
    return table


def _spent(spent: Mapping[str, Any]) -> str:
    """Return what was sent to the service and queried: what a run costs."""
    text = f"{many(spent['users'], 'users')}, {many(spent['events'], 'events')}"
    if spent["controls"]:
        text += f" and {words.count(spent['controls'])} of controls"
    if spent["queries"]:
        text += f", {many(spent['queries'], 'queries')}"
    if spent["query_cost"] != spent["queries"]:
        text += f" that cost {words.count(spent['query_cost'])}"
    if flown := spent.get("preflight"):
        text += (
            f"; before it {many(flown['users'], 'users')} and {many(flown['queries'], 'queries')}"
        )
    return text


def _deletion(section: Mapping[str, Any]) -> Text:
    """Return the progress of the deletion of the run's users."""
    users = many(section["users"], "users")
    if section["phase"] == "begun":
        done = f"{words.count(section['done'])} of {many(section['batches'], 'requests')}"
        return Text(f"{users}, begun: {done} done", style="yellow")
    if section["phase"] == "requested":
        by = f", done by {max(section['jobs'])}" if section["jobs"] else ""
        return Text(f"{users}, requested{by}")
    left = section["after"]
    return (
        Text(f"{many(section['users'], 'users are')} deleted")
        if not left
        else Text(
            f"{words.count(left)} of {users} {'is' if left == 1 else 'are'} still counted",
            style="red",
        )
    )


def _outcomes(document: Document) -> Text:
    copies, load = document["copies"], document.get("load") or {}
    text = Text()
    for name in ("acknowledged", "rejected", "indeterminate", "skipped"):
        style = "" if name == "acknowledged" or not copies[name] else "yellow"
        text.append(f"{words.count(copies[name])} {name}   ", style=style)
    for name, meaning in _SENT_AGAIN.items():
        if load.get(name):
            text.append(f"{words.count(load[name])} {meaning}   ", style="yellow")
    return text


def _counted(counted: Counted) -> str:
    if counted.users == words.count(None):
        return "unknown"
    events = f", {many(counted.events, 'events')}" if counted.events else ""
    return f"{many(counted.users, 'unique users')}{events}   expected {counted.expected}"


def _latencies(view: RunView, width: int) -> Table:
    times = [*view.times, *(each for each in view.own_times if each.kind == "lateness")]
    titles = list(_TITLES)
    wide = 13 + max((len(each.step) for each in times), default=0)
    for title in _DISPENSABLE:
        if wide + 10 * len(titles) > width:
            titles.remove(title)
    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    if not times:
        return table
    table.add_column("step", overflow="fold")
    table.add_column("")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    before = ""
    for each in times:
        cells = {**each.figures, "samples": each.samples}
        table.add_row(
            each.step if each.step != before else "",
            Text(each.kind, style="dim"),
            *(cells[title] for title in titles),
        )
        before = each.step
    return table


def _failures(view: RunView) -> Table:
    """Return the most frequent failures of each step."""
    table = _grid()
    examples = {step: (status, body) for step, status, body in reversed(view.examples)}
    for step, group in groupby(view.reasons, key=lambda reason: reason.step):
        ranked = list(group)
        for reason in ranked[:_MAX_REASONS]:
            said = f"{reason.text} ({headline.times(reason.number)})"
            table.add_row(step, Text(said, style="yellow"))
        if len(ranked) > _MAX_REASONS:
            rest = headline.times(sum(reason.number for reason in ranked[_MAX_REASONS:]))
            table.add_row(step, f"other reasons ({rest}): see the results file")
        if step in examples:
            status, body = examples[step]
            text = " ".join(body.split())[:_EXAMPLE] or "empty"
            table.add_row(step, Text(f"first {status} response: {text}", style="dim"))
    return table


def _checks(view: RunView) -> tuple[Table, Table]:
    """Return the findings, failures first, and the thresholds."""
    found = [(each.verdict, each.text, f"  [{each.name}]") for each in view.findings]
    return _marked(found), _thresholds(view.thresholds)


def _thresholds(checks: Sequence[CheckRow]) -> Table:
    wide = min(_WIDE, max((len(each.name) for each in checks), default=0))
    return _marked([(each.verdict, f"{each.name:<{wide}}   ", each.text) for each in checks])


def _marked(rows: Iterable[tuple[str, str, str]]) -> Table:
    """Return a table with a row for each verdict, text, and dimmed text after it."""
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for verdict, text, dim in rows:
        mark = Text(f" {_MARKS[verdict]}", style=f"bold {COLORS[verdict]}")
        table.add_row(mark, Text(text).append(dim, style="dim"))
    return table


def thresholds(document: Mapping[str, Any], *, color: bool, width: int) -> str:
    """Return the judged thresholds of all flows of a mix, a line each; "" if it has none."""
    limits = run_view(document).thresholds[len(document.get("thresholds", ())) :]
    paper = CapturedConsole(color=color, width=width)
    if limits:
        paper.console.print(_thresholds(limits))
    return paper.text()


def _hanging(mark: Text, text: Text) -> Padding:
    """Return a text after a mark, with its lines aligned."""
    table = Table.grid(padding=(0, 1))
    table.add_row(mark, text)
    return Padding(table, (0, 0, 0, 2))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table
