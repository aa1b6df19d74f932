"""``[load]``: how many copies, and when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadcheck.scenario import grammar
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Stage
from loadcheck.scenario.reader import Table, found, given

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_IN_FLIGHT = OpenLoad(stages=()).max_in_flight
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MODELS = (
    'expected "open" (rate and duration, or stages) or "closed" (concurrency; copies or duration)'
)
_DURATION = 'expected a duration such as "30s"'


def read_load(top: Table) -> OpenLoad | ClosedLoad | None:
    """Read ``[load]``; None if it was reported."""
    if not top.require("load", "expected a table [load]"):
        return None
    table = Table(top["load"], top.report, known=grammar.LOAD)
    if not table.require("model", _MODELS):
        return None
    match table.choice("model", ("open", "closed")):
        case "open":
            _refuse(table, grammar.CLOSED_LOAD - grammar.OPEN_LOAD, "closed")
            return _open(table)
        case "closed":
            _refuse(table, grammar.OPEN_LOAD - grammar.CLOSED_LOAD, "open")
            return _closed(table)
        case _:
            return None


def _refuse(table: Table, names: Iterable[str], model: str) -> None:
    """Report the keys that belong to the other model."""
    for name in sorted(names):
        if name in table:
            remedy = f'"{name}" belongs to model = "{model}"'
            table.report.contradiction(table[name], table["model"], remedy)


def _open(table: Table) -> OpenLoad:
    before = len(table.report.problems)
    stages = _stages(table) if "stages" in table else _constant(table)
    if len(table.report.problems) == before:
        _check_size(table, stages)
    most = table.whole("max_in_flight", least=1, most=grammar.MAX_IN_FLIGHT)
    return OpenLoad(
        stages=stages,
        **given(
            arrivals=table.choice("arrivals", ("constant", "poisson")),
            max_in_flight=most,
            **_requests(table, "max_in_flight", most or _MOST_IN_FLIGHT),
        ),
    )


def _check_size(table: Table, stages: tuple[Stage, ...]) -> None:
    copies = sum((stage.rate + stage.end_rate) / 2 * stage.duration_s for stage in stages)
    where = table["stages"] if "stages" in table else table["rate"]
    if copies == 0:
        table.report.add(where, "starts no copy", "expected a rate greater than 0")
    if copies > grammar.MAX_COPIES:
        remedy = f"expected at most {grammar.MAX_COPIES:,}"
        table.report.add(where, f"starts {copies:,.0f} copies", remedy)


def _constant(table: Table) -> tuple[Stage, ...]:
    if "rate" not in table and "duration" not in table:
        table.require("rate", "expected rate and duration, or stages")
        return ()
    table.require("rate", "expected copies per second")
    table.require("duration", _DURATION)
    rate, duration_s = table.rate("rate") or 0.0, table.duration("duration") or 0.0
    return (Stage(name="steady", duration_s=duration_s, rate=rate, end_rate=rate),)


def _stages(table: Table) -> tuple[Stage, ...]:
    for name in ("rate", "duration"):
        if name in table:
            remedy = "give rate and duration, or stages"
            table.report.contradiction(table[name], table["stages"], remedy)
    entries = table.tables("stages", grammar.STAGE) or []
    if table["stages"].value == []:
        table.report.add(table["stages"], "is empty", "expected at least one stage")
    if len(entries) > grammar.MAX_STAGES:
        message, remedy = f"has {len(entries):,} stages", f"expected at most {grammar.MAX_STAGES:,}"
        table.report.add(table["stages"], message, remedy)
        return ()
    stages: list[Stage] = []
    for entry in entries:
        stages.append(_stage(entry, stages))
    return tuple(stages)


def _stage(table: Table, earlier: Sequence[Stage]) -> Stage:
    name = table.text("name") or f"stage-{len(earlier) + 1}"
    where = table.get("name") or table.node
    if not _NAME.fullmatch(name):
        table.report.add(where, f"found {found(where)}", "expected letters, digits, - and _")
    if any(name == stage.name for stage in earlier):
        table.report.add(where, f'another stage is named "{name}"', "names tell stages apart")
    table.require("duration", _DURATION)
    if "ramp_to" not in table:
        table.require("rate", "expected rate, ramp_to or both")
    duration_s = table.duration("duration") or 0.0
    before = earlier[-1].end_rate if earlier else 0.0
    start, end = table.rate("rate", zero=True), table.rate("ramp_to", zero=True)
    rate = before if start is None else start
    return Stage(
        name=name,
        duration_s=duration_s,
        rate=rate,
        end_rate=rate if end is None else end,
    )


def _closed(table: Table) -> ClosedLoad:
    table.require("concurrency", "expected how many copies are in flight")
    if "copies" not in table and "duration" not in table:
        table.require("copies", "expected copies, duration or both: whichever ends first")
    concurrency = table.whole("concurrency", least=1, most=grammar.MAX_IN_FLIGHT)
    return ClosedLoad(
        concurrency=concurrency or 1,
        copies=table.whole("copies", least=1, most=grammar.MAX_COPIES),
        duration_s=table.duration("duration"),
        **given(**_requests(table, "concurrency", concurrency)),
    )


def _requests(table: Table, bound: str, in_flight: int | None) -> dict[str, int | None]:
    """Read what copies send in how many requests, over how many connections."""
    together = table.whole("copies_per_request", least=1, most=grammar.MAX_COPIES_PER_REQUEST)
    if together is not None and in_flight is not None and together > in_flight:
        remedy = f"a request of {together:,} copies needs as many in flight: raise {bound}"
        if bound in table:
            table.report.contradiction(table["copies_per_request"], table[bound], remedy)
        else:
            message = f"is more than {bound} ({in_flight:,})"
            table.report.add(table["copies_per_request"], message, remedy)
    return {
        "events_per_copy": table.whole(
            "events_per_copy", least=1, most=grammar.MAX_EVENTS_PER_COPY
        ),
        "copies_per_request": together,
        "preconnect": table.whole("preconnect", least=0, most=grammar.MAX_IN_FLIGHT),
    }
