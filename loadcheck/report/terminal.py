"""The summary of a results document for a terminal: the verdict first, then why.

Captures rich output as text.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadcheck.escaping import printable_document
from loadcheck.report import words


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
NOT_CHECKED = "consistency: not checked"
"""What is said of a run with verify.enabled = false."""
_MAX_REASONS = 3
_EXAMPLE = 160

_SENT_AGAIN = {
    "stale_retries": "sent again: an idle connection was closing",
    "resends": "resends",
}

Document = Mapping[str, Any]


def summary(document: Document, *, color: bool, width: int, path: str = "") -> str:
    """Return the summary of a results document.

    Args:
        document: A results document of any phase.
        color: Whether to use terminal colours.
        width: Columns of the terminal.
        path: Where the document stands; shown at the end.
    """
    document = printable_document(document)
    paper = CapturedConsole(color=color, width=width)
    console = paper.console
    console.print(_headline(document))
    console.print()
    console.print(Padding(_totals(document), (0, 0, 0, 1)))
    if "steps" in document:
        console.print()
        console.print(Padding(_latencies(document), (0, 0, 0, 1)))
    failures = _failures(document)
    if failures.row_count:
        console.print()
        console.print(Padding(failures, (0, 0, 0, 1)))
    checks = _checks(document)
    if checks.row_count:
        console.print()
        console.print(Padding(checks, (0, 0, 0, 1)))
    for warning in document["warnings"]:
        console.print(Padding(Text(f"! {warning}", style="yellow"), (0, 0, 0, 2)))
    if path:
        console.print()
        console.print(Text(f"  {path}", style="dim"), soft_wrap=True)
    return paper.text()


def headline(document: Document) -> str:
    """Return the verdict in one line, without colour."""
    document = printable_document(document)
    return _headline(document).plain.strip()


def _headline(document: Document) -> Text:
    verdict, run = document["verdict"], document["run"]
    shown = badge(document)
    color = _COLORS[verdict] if shown == verdict else "yellow"
    text = Text()
    text.append(f" {shown.upper()} ", style=f"bold reverse {color}")
    text.append(f"  {document['scenario'].get('name', '')}", style="bold")
    text.append(f"  {because(document)}")
    ending = words.ending(run)
    if ending and ending != shown:
        text.append(f"  ({ending})", style="yellow")
    return text


def badge(document: Document) -> str:
    """Return the verdict, unless it is of a part only of what was to be done, and says "pass".

    Neither a run that was interrupted nor one that goes on has passed.
    """
    run = document["run"]
    if run.get("in_progress"):
        return "in progress"
    return (
        "interrupted"
        if run["interrupted"] and document["verdict"] == "pass"
        else (str(document["verdict"]))
    )


def because(document: Document) -> str:
    """Return the reason for the verdict in a few words."""
    verdict, copies = document["verdict"], document["copies"]
    seen = document.get("consistency", {})
    checked = is_checked(document)
    if verdict == "pass" and checked:
        error = seen.get("approximate")
        within = f", within a declared error of {words.share(error)}" if error else ""
        return f"all {words.count(copies['acknowledged'])} acknowledged users counted{within}"
    reasons = []
    if seen.get("lost_at_least"):
        of = words.count(copies["acknowledged"])
        reasons.append(f"{words.count(seen['lost_at_least'])} of {of} acknowledged users lost")
    reasons += [
        f"{words.count(seen[name])} {name}"
        for name in ("unexpected", "duplicated")
        if seen.get(name)
    ]
    if not reasons:
        reasons += [f["check"] for f in document.get("findings", ()) if f["verdict"] == verdict]
    thresholds = document.get("thresholds", ())
    for kind, what in (("unknown", "without evidence"), ("fail", "broken")):
        # what is unknown hides no broken threshold
        missed = sum(threshold["verdict"] == kind for threshold in thresholds)
        if missed and verdict in (kind, "unknown"):
            reasons.append(f"{missed} of {len(thresholds)} thresholds {what}")
    if checked:
        return ", ".join(reasons)
    if verdict == "pass":
        reasons = [
            f"{len(thresholds)} of {len(thresholds)} thresholds hold"
            if thresholds
            else "no thresholds"
        ]
    return f"{', '.join(reasons)}; {NOT_CHECKED}"


def is_checked(document: Document) -> bool:
    """Return whether it was to be found out if users arrived."""
    return bool(document.get("consistency", {}).get("checked", True))


def _totals(document: Document) -> Table:
    table = _grid()
    table.add_row("sent", _sent(document))
    table.add_row("outcomes", _outcomes(document))
    seen = document.get("consistency")
    if seen and is_checked(document):
        table.add_row("counted", _counted(seen))
        lag = seen.get("visibility")
        if lag and lag["samples"]:
            table.add_row("visible", _visible(lag))
    return table


def _sent(document: Document) -> str:
    copies, load = document["copies"], document.get("load")
    if not load:
        return f"{words.count(copies['started'])} of {words.count(copies['planned'])} copies"
    sent = f"{words.count(copies['started'])} copies in {words.clock(load['duration_s'])}"
    reached = words.rate(load["reached_rate"])
    if load["asked_rate"] is None:
        return f"{sent}   {reached} with {load['max_in_flight']:,} in flight"
    return (
        f"{sent}   asked {words.rate(load['asked_rate'])}, reached {reached}"
        f" ({words.share(load['reached_ratio'])}), peak {words.rate(load['peak_rate'])}"
    )


def _outcomes(document: Document) -> Text:
    copies, load = document["copies"], document.get("load")
    text = Text()
    for name in ("acknowledged", "rejected", "indeterminate", "skipped"):
        style = "" if name == "acknowledged" or not copies[name] else "yellow"
        text.append(f"{words.count(copies[name])} {name}   ", style=style)
    if load:
        text.append(f"{words.count(load['retries'])} retries")
        for name, meaning in _SENT_AGAIN.items():
            if load.get(name):
                text.append(f"   {words.count(load[name])} {meaning}", style="yellow")
    return text


def _counted(seen: Mapping[str, Any]) -> str:
    if seen["uniques"] is None:
        return "not known"
    counted = f"{words.count(seen['uniques'])} unique users"
    if seen["totals"] is not None:
        counted += f", {words.count(seen['totals'])} events"
    band = f"{words.count(seen['lower'])} … {words.count(seen['upper'])}"
    expected = words.count(seen["lower"]) if seen["lower"] == seen["upper"] else band
    return f"{counted}   expected {expected}"


def _visible(lag: Mapping[str, Any]) -> Text:
    """Return how long after their acknowledgement users were counted."""
    text = Text("after ", style="dim")
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


def _latencies(document: Document) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    table.add_column("step")
    table.add_column("")
    for title in ("p50", "p90", "p99", "p99.9", "max", "samples"):
        table.add_column(title, justify="right")
    rows = []
    for name, step in document["steps"].items():
        kinds = [(kind, step[kind]) for kind in ("response_time", "service_time")]
        kinds += [(kind, step[kind]) for kind in ("failed", "throttled")]
        rows += [(name, kind, h) for kind, h in kinds if h is not None and h["count"]]
    rows.append(("generator", "lateness", document["generator"]["lateness"]))
    shown = ""
    for name, kind, histogram in rows:
        table.add_row(
            name if name != shown else "",
            Text(kind.replace("_", " "), style="dim"),
            *(words.duration(histogram[f"{p}_ms"]) for p in ("p50", "p90", "p99", "p999", "max")),
            words.count(histogram["count"]),
        )
        shown = name
    return table


def _failures(document: Document) -> Table:
    """Return what went wrong most often, step by step."""
    table = _grid()
    for name, step in document.get("steps", {}).items():
        ranked = sorted(step["reasons"].items(), key=lambda item: -item[1])
        for reason, number in ranked[:_MAX_REASONS]:
            table.add_row(name, Text(f"{words.count(number)} × {reason}", style="yellow"))
        if len(ranked) > _MAX_REASONS:
            rest = sum(number for _, number in ranked[_MAX_REASONS:])
            table.add_row(name, f"{words.count(rest)} × other reasons: see the results file")
        if step["examples"]:
            status, body = next(iter(step["examples"].items()))
            text = " ".join(body.split())[:_EXAMPLE] or "nothing"
            table.add_row(name, Text(f"a {status} said: {text}", style="dim"))
    return table


def _checks(document: Document) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for finding in document.get("findings", ()):
        table.add_row(_mark(finding["verdict"]), finding["check"], finding["summary"])
    for threshold in document.get("thresholds", ()):
        text = f"{threshold['expression']}   {measured(threshold)}"
        table.add_row(_mark(threshold["verdict"]), "threshold", text)
    return table


def measured(threshold: Mapping[str, Any]) -> str:
    """Return what a threshold was compared with, in words."""
    value, unit = threshold["measured"], threshold["unit"]
    if value is None and threshold.get("low") is None:
        # a lag without end is no number in JSON
        return "unbounded" if threshold["verdict"] == "fail" else "no samples"
    write = {"ms": words.duration, "ratio": words.share, "1/s": words.rate, "count": words.count}
    said = f"measured {'no end' if value is None else write[unit](value)}"
    if threshold["verdict"] != "unknown":
        return said
    low, high = threshold.get("low"), threshold.get("high")
    own_ms = threshold.get("own_delay_ms")
    if own_ms is not None:
        said += f", of which up to {words.duration(own_ms)} may be the generator's own delay"
    if low is None:
        return said
    between = f"between {write[unit](low)} and {'no end' if high is None else write[unit](high)}"
    return f"{said}: {between}"


def _mark(verdict: str) -> Text:
    return Text(f" {_MARKS[verdict]}", style=f"bold {_COLORS[verdict]}")


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    return table
