"""A capacity search for a terminal: the answer in a sentence, then the probes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadcheck.escaping import printable_document
from loadcheck.report import words
from loadcheck.report.terminal import CapturedConsole

_COLORS = {"pass": "green", "fail": "red", "unknown": "yellow"}
_STYLES = {"held": "green", "broke": "red", "unproven": "yellow", "cut": "dim"}
_COMPARISON = re.compile(r"(?P<metric>.+?)\s*(?:<=|>=|==|!=|<|>)\s*(?P<limit>.+)")
_NUMBER = re.compile(r"([\d.]+)\s*([a-z]+|%)")
_FAILURES = {
    "keeps up": "it falls behind",
    "skipped == 0": "copies have to be skipped: too many are under way",
    "lost": "users are lost",
    "duplicated": "events are duplicated",
    "unexpected": "users are counted that were never sent",
}
_ENDINGS = {
    "probes": "no more probes were allowed",
    "budget": "the budget had no room for more",
    "interrupted": "the search was interrupted",
}
_FINE = 10
"""Rates below are written with digits after the point."""

Document = Mapping[str, Any]


def sentence(document: Document) -> str:
    """Return the answer in a sentence."""
    answer = document["answer"]
    if answer is None:
        return "nothing is known: no probe has come to its end"
    low, high = answer["interval"]
    beyond = _beyond(answer)
    if low is None:
        return f"not even {copies(high)} {'hold' if beyond else 'are proven'}: {_measured(answer)}"
    if high is None or not beyond:
        return f"it takes at least {copies(low)}: {_not_beyond(answer)}"
    if answer["precise"]:
        return f"it takes {copies(low)} before {beyond}"
    return f"it takes {copies(low)}, and at {copies(high)} {beyond}: {_ended(answer)}"


def _not_beyond(answer: Document) -> str:
    """Return why it is not known what would break above."""
    if answer["interval"][1] is None:
        if answer["ending"] == "highest":
            return "the highest rate allowed"
        return f"{_ended(answer)} before anything broke"
    if answer["limited_by"] == "generator":
        return "beyond, loadcheck itself is the limit"
    return "beyond, there is no evidence"


def _ended(answer: Document) -> str:
    return _ENDINGS.get(answer["ending"], "the search goes on")


def headline(document: Document) -> str:
    """Return verdict, scenario and answer in one line, without colour."""
    document = printable_document(document)
    return _headline(document).plain.strip()


def probe_line(probe: Document) -> str:
    """Return one probe in one line."""
    probe = printable_document(probe)
    latency = probe["latency"]
    times = (
        f"p50 {words.duration(latency['p50_ms']):>7}  p99 {words.duration(latency['p99_ms']):>7}"
    )
    told = (
        f"{probe['number']:>3}  {copies(probe['rate']):>16}  {probe['verdict']:<8}  {times}"
        f"  errors {words.share(probe['error_rate'])}  visible {_lag(probe)}"
    )
    reason = reason_of(probe)
    return f"{told}  {reason}" if reason else told


def reason_of(probe: Document) -> str:
    """Return in a few words why the rate of a probe did not hold, and what it carried."""
    said = []
    match = _COMPARISON.fullmatch(probe["because"])
    if match is not None and probe["measured"] is not None:
        said.append(f"{match['metric']} {_value(probe)}")
    elif probe["because"]:
        said.append(_measured(probe))
    if probe["carried_rate"] is not None:
        said.append(f"carried {words.rate(probe['carried_rate'])}")
    return ", ".join(said)


def summary(document: Document, *, color: bool, width: int, path: str = "") -> str:
    """Return a search for a person.

    Args:
        document: The search's document.
        color: Whether to use terminal colours.
        width: Columns of the terminal.
        path: Where the document stands; shown at the end.
    """
    document = printable_document(document)
    paper = CapturedConsole(color=color, width=width)
    console = paper.console
    console.print(_headline(document), soft_wrap=True)
    console.print()
    console.print(Padding(_about(document), (0, 0, 0, 1)))
    if document["probes"]:
        console.print()
        console.print(Padding(_probes(document), (0, 0, 0, 1)))
    for warning in document["warnings"]:
        console.print(Padding(Text(f"! {warning}", style="yellow"), (0, 0, 0, 2)))
    if path:
        console.print()
        console.print(Text(f"  {path}", style="dim"), soft_wrap=True)
    return paper.text()


def copies(rate: float) -> str:
    """Return a rate of copies."""
    return f"{rate:,.0f} copies/s" if rate >= _FINE else f"{rate:.3g} copies/s"


def _headline(document: Document) -> Text:
    verdict, run = document["verdict"], document["run"]
    text = Text()
    text.append(f" {verdict.upper()} ", style=f"bold reverse {_COLORS[verdict]}")
    text.append(f"  {document['scenario'].get('name', '')}", style="bold")
    text.append(f"  {sentence(document)}")
    if run["error"]:
        text.append(f"  ({run['error']})", style="yellow")
    elif ending := words.ending(run, "search"):
        text.append(f"  ({ending})", style="yellow")
    return text


def _about(document: Document) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    search, answer = document["search"], document["answer"]
    number = len(document["probes"])
    table.add_row(
        "probed",
        f"{number} time{'' if number == 1 else 's'} in {words.clock(search['took_s'])}"
        f"   {words.count(search['events'])} events",
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
    for probe in sorted(document["probes"], key=lambda each: (each["rate"], each["number"])):
        latency = probe["latency"]
        table.add_row(
            copies(probe["rate"]).removesuffix(" copies/s"),
            Text(probe["verdict"], style=_STYLES[probe["verdict"]]),
            *(words.duration(latency[f"{name}_ms"]) for name in ("p50", "p99", "p999")),
            words.share(probe["error_rate"]),
            _lag(probe),
            words.count(latency["count"]),
            Text(reason_of(probe), style="dim"),
        )
    return table


def _lag(probe: Document) -> str:
    lag = probe["visibility"]
    if lag is None:
        return "–"
    return "never" if lag["p95_s"] is None else words.duration(1e3 * lag["p95_s"])


def _beyond(answer: Document) -> str:
    """Return what breaks above the answer, as a clause; "" if nothing is known to."""
    because = answer["because"]
    if answer["limited_by"] != "target":
        return ""
    if because in _FAILURES:
        return _FAILURES[because]
    match = _COMPARISON.fullmatch(because)
    if match is None:
        return f"the check {because} fails"
    limit = _NUMBER.sub(r"\1 \2", match["limit"])
    return f"{match['metric']} breaks {limit}"


def _measured(said: Document) -> str:
    """Return the threshold or check that decided, with what it measured."""
    because = str(said["because"])
    if because == "generator":
        return "loadcheck itself was the limit"
    if because == "evidence":
        return "what arrived is not known"
    told = because if _COMPARISON.fullmatch(because) else _FAILURES.get(because, because)
    if said["measured"] is None:
        return told
    return f"{told} measured {_value(said)}"


def _value(said: Document) -> str:
    write = {"ms": words.duration, "ratio": words.share, "1/s": words.rate, "count": words.count}
    return write[said["unit"]](said["measured"])
