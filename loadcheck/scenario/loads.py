"""``[load]``: how many copies, and when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadcheck.scenario import grammar
from loadcheck.scenario.model import ClosedLoad, OpenLoad, Stage
from loadcheck.scenario.reader import Table, found, given

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    return OpenLoad(
        stages=stages,
        **given(
            arrivals=table.choice("arrivals", ("constant", "poisson")),
            max_in_flight=table.whole("max_in_flight", least=1, most=grammar.MAX_IN_FLIGHT),
            events_per_copy=_events(table),
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
    return ClosedLoad(
        concurrency=table.whole("concurrency", least=1, most=grammar.MAX_IN_FLIGHT) or 1,
        copies=table.whole("copies", least=1, most=grammar.MAX_COPIES),
        duration_s=table.duration("duration"),
        **given(events_per_copy=_events(table)),
    )


def _events(table: Table) -> int | None:
    return table.whole("events_per_copy", least=1, most=grammar.MAX_EVENTS_PER_COPY)
