"""A capacity search for a terminal: the answer in a sentence, then the probes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadcheck.errors import many, printable_document
from loadcheck.report import words
from loadcheck.report.terminal import COLORS, CapturedConsole, print_headline, print_paths
from loadcheck.report.view import FIGURES
from loadcheck.result import Document

_STYLES = {"held": "green", "broke": "red", "unproven": "yellow", "cut": "dim"}
_COMPARISON = re.compile(r"(?P<metric>.+?)\s*(?P<operator><=|>=|==|!=|<|>)\s*(?P<limit>.+)")
_NUMBER = re.compile(r"([\d.]+)\s*([a-z]+|%)")
_FAILURES = {
    "keeps up": "it falls behind",
    "skipped == 0": "copies are skipped: too many are in flight",
    "lost": "users are lost",
    "duplicated": "events are duplicated",
    "unexpected": "unexpected users are counted",
}
_ENDINGS = {
    "probes": "the maximum number of probes was reached",
    "budget": "the budget was spent",
    "interrupted": "the search was interrupted",
}
_FINE = 10
"""Rates below this are written with up to three significant digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRow:
    """A probe as displayed, with units.

    Attributes:
        number: Its place in the order in which probes were run.
        rate: Target rate in copies per second.
        verdict: "held", "broke", "unproven" or "cut".
        figures: Its latency, by the titles of :data:`~loadcheck.report.view.FIGURES`.
        samples: Number of samples of its latency.
        errors: Share of copies that were not acknowledged.
        lag: Time from acknowledgement until counted, 95th percentile.
        lost: Minimum number of lost users.
        reason: Why the rate did not hold, and the rate that was carried.
    """

    number: str
    rate: float
    verdict: str
    figures: Mapping[str, str]
    samples: str
    errors: str
    lag: str
    lost: str
    reason: str


def probe_row(probe: Document) -> ProbeRow:
    """Return a probe as displayed."""
    return ProbeRow(
        number=str(probe["number"]),
        rate=probe["rate"],
        verdict=probe["verdict"],
        figures={
            title: words.duration(probe["latency"][key])
            for title, key in FIGURES.items()
            if key in probe["latency"]
        },
        samples=words.count(probe["latency"]["count"]),
        errors=words.share(probe["error_rate"]),
        lag=_lag(probe),
        lost=words.count(probe["lost_at_least"]),
        reason=_reason(probe),
    )


def by_rate(document: Document) -> list[Document]:
    """Return the probes of the document, ordered by rate."""
    return sorted(document["probes"], key=lambda probe: (probe["rate"], probe["number"]))


def probe_rows(document: Document) -> list[ProbeRow]:
    """Return the probes as displayed, ordered by rate."""
    return [probe_row(probe) for probe in by_rate(document)]


def sentence(document: Document) -> str:
    """Return the answer in a sentence."""
    answer = document["answer"]
    if answer is None:
        return "no result: no probe was completed"
    low, high = answer["interval"]
    beyond = _beyond(answer)
    if low is None:
        if beyond:
            return f"does not sustain even {copies(high)}: {_measured(answer)}"
        return f"could not confirm even {copies(high)}: {_measured(answer)}"
    if high is None or not beyond:
        return f"sustains at least {copies(low)}: {_not_beyond(answer)}"
    if answer["precise"]:
        return f"sustains {copies(low)}; above that {beyond}"
    return f"sustains {copies(low)}, but at {copies(high)} {beyond}: {_ended(answer)}"


def _not_beyond(answer: Document) -> str:
    """Return why it is not known what would break above."""
    if answer["interval"][1] is None:
        if answer["ending"] == "highest":
            return "the highest rate allowed by --to"
        return f"{_ended(answer)} before anything broke"
    if answer["limited_by"] == "generator":
        return "above that, loadcheck itself is the limit"
    return "above that, there is not enough evidence"


def _ended(answer: Document) -> str:
    return _ENDINGS.get(answer["ending"], "the search is still running")


def headline(document: Document) -> str:
    """Return verdict, scenario and answer in one line, without colour."""
    document = printable_document(document)
    note = _note(document)
    name = document["scenario"].get("name", "")
    said = f"{badge(document).upper()}  {name}  {cause(document)}"
    return f"{said}  ({note})" if note else said


def badge(document: Document) -> str:
    """Return the verdict, or "lower bound" if the target was not what broke above the answer."""
    answer = document["answer"]
    if document["verdict"] == "pass" and (
        answer["interval"][1] is None or answer["limited_by"] != "target"
    ):
        return "lower bound"
    return str(document["verdict"])


def cause(document: Document) -> str:
    """Return the answer as a sentence without its full stop."""
    text = sentence(document)
    return f"{text[:1].upper()}{text[1:]}"


def _note(document: Document) -> str:
    run = document["run"]
    return str(run["error"] or words.ending(run, "search"))


def probe_line(probe: Document) -> str:
    """Return one probe in one line."""
    row = probe_row(printable_document(probe))
    times = f"p50 {row.figures['p50']:>7}  p99 {row.figures['p99']:>7}"
    line = (
        f"{row.number:>3}  {copies(row.rate):>16}  {row.verdict:<8}  {times}"
        f"  errors {row.errors}  visible {row.lag}"
    )
    return f"{line}  {row.reason}" if row.reason else line


def _reason(probe: Document) -> str:
    """Return in a few words why the rate of a probe did not hold, and what it carried."""
    said = []
    match = _COMPARISON.fullmatch(probe["because"])
    if match is not None and probe["measured"] is not None:
        said.append(f"{match['metric']} {words.in_unit(probe['measured'], probe['unit'])}")
    elif probe["because"]:
        said.append(_measured(probe))
    if probe["carried_rate"] is not None:
        said.append(f"carried {words.rate(probe['carried_rate'])}")
    return ", ".join(said)


def summary(document: Document, *, color: bool, width: int, paths: Sequence[str] = ()) -> str:
    """Return the summary of a search for a terminal.

    Args:
        document: The search's document.
        color: Whether to use terminal colours.
        width: Columns of the terminal.
        paths: Files of the result, shown at the end.
    """
    document = printable_document(document)
    paper = CapturedConsole(color=color, width=width)
    console = paper.console
    _verdict(document, console)
    console.print()
    console.print(Padding(_about(document), (0, 0, 0, 1)))
    if document["probes"]:
        console.print()
        console.print(Padding(_probes(document), (0, 0, 0, 1)))
    for warning in document["warnings"]:
        console.print(Padding(Text(f"! {warning}", style="yellow"), (0, 0, 0, 2)))
    print_paths(console, paths)
    _verdict(document, console)
    return paper.text()


def _verdict(document: Document, console: Console) -> None:
    print_headline(
        console,
        badge=badge(document),
        color=COLORS[document["verdict"]],
        name=str(document["scenario"].get("name", "")),
        cause=cause(document),
        note=_note(document),
    )


def copies(rate: float) -> str:
    """Return a rate with its unit, copies/s."""
    return f"{rate:,.0f} copies/s" if rate >= _FINE else f"{rate:.3g} copies/s"


def _about(document: Document) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    search, answer = document["search"], document["answer"]
    number = len(document["probes"])
    table.add_row(
        "probes",
        f"{number} in {words.clock(search['took_s'])}   {many(search['events'], 'events')}",
    )
    verify = document["scenario"].get("verify", {})
    more = ["consistency", "keeps up"] if verify.get("enabled", True) else ["keeps up"]
    table.add_row("must hold", "   ".join([*document["checks"], *more]))
    if answer is not None and None not in answer["interval"]:
        low, high = answer["interval"]
        wide = words.share(high / low - 1)
        table.add_row("interval", f"{copies(low)} … {copies(high)}   {wide} wide")
    return table


def _probes(document: Document) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="dim")
    for title in ("copies/s", ""):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for title in ("p50", "p99", "p99.9", "errors", "visible p95", "samples"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for row in probe_rows(document):
        table.add_row(
            copies(row.rate).removesuffix(" copies/s"),
            Text(row.verdict, style=_STYLES[row.verdict]),
            *(row.figures[title] for title in ("p50", "p99", "p99.9")),
            row.errors,
            row.lag,
            row.samples,
            Text(row.reason, style="dim"),
        )
    return table


def _lag(probe: Document) -> str:
    lag = probe["visibility"]
    if lag is None:
        return "–"
    return "never" if lag["p95_s"] is None else words.duration(1e3 * lag["p95_s"])


def _beyond(answer: Document) -> str:
    """Return what breaks above the answer, as a clause; "" if unknown."""
    because = answer["because"]
    if answer["limited_by"] != "target":
        return ""
    if because in _FAILURES:
        return _FAILURES[because]
    match = _COMPARISON.fullmatch(because)
    if match is None:
        return f"the check {because} fails"
    limit = _NUMBER.sub(r"\1 \2", match["limit"])
    return (
        f"{match['metric']} exceeds {limit}"
        if match["operator"][0] == "<"
        else (f"{match['metric']} misses {limit}")
    )


def _measured(said: Document) -> str:
    """Return the threshold or check that decided, with what it measured."""
    because = str(said["because"])
    if because == "generator":
        return "loadcheck itself was the limit"
    if because == "worker":
        return "one of the workers could not keep up, the others could have sent more"
    if because == "evidence":
        return "it is unknown what arrived"
    check = because if _COMPARISON.fullmatch(because) else _FAILURES.get(because, because)
    if said["measured"] is None:
        return check
    return f"{check} measured {words.in_unit(said['measured'], said['unit'])}"
