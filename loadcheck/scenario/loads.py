"""``[load]`` and related tables: ``[retry] [timeouts] [capacity] [limits] thresholds``.

How many copies and when; timeouts and retries; the search for the highest rate; the limits of a
step; what must hold, and what ends a load early.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadcheck.data.order import Spread
from loadcheck.data.table import DataError
from loadcheck.data.trace import Trace, read_trace
from loadcheck.documents import format_duration
from loadcheck.documents.document import Node
from loadcheck.errors import Problem
from loadcheck.scenario import grammar
from loadcheck.scenario.data import read_wait
from loadcheck.scenario.model import (
    Capacity,
    ClosedLoad,
    Limit,
    OpenLoad,
    Retry,
    Stage,
    Threshold,
    Timeouts,
    Users,
)
from loadcheck.scenario.reader import (
    ProblemReport,
    TableReader,
    drop_none,
    number_of,
    seconds_of,
    share_of,
    text,
)
from loadcheck.scenario.shapes import MAX_DURATION_S

_MOST_IN_FLIGHT = OpenLoad(stages=()).max_in_flight
_NAME = re.compile(grammar.STAGE_NAME)
_MODELS = (
    'expected "open" (rate and duration, or stages) or "closed" (concurrency; copies or duration)'
)
_DURATION = 'expected a duration such as "30s"'


def read_load(top: TableReader, folder: Path) -> OpenLoad | ClosedLoad | None:
    """Read ``[load]``; None if it was reported.

    Args:
        top: The scenario.
        folder: The scenario's folder: a trace must be inside it.
    """
    if not top.require("load", "expected a table [load]"):
        return None
    table = TableReader(top["load"], top.report, known=grammar.LOAD)
    if not table.require("model", _MODELS):
        return None
    match table.choice("model"):
        case "open":
            _refuse(table, grammar.CLOSED_ONLY, "closed")
            return _open(table, folder)
        case "closed":
            _refuse(table, grammar.OPEN_ONLY, "open")
            return _closed(table)
        case _:
            return None


def _refuse(table: TableReader, names: Iterable[str], model: str) -> None:
    """Report those of the keys ``names`` that are present: they belong to ``model``."""
    for name in sorted(names):
        if name in table:
            remedy = f'"{name}" belongs to model = "{model}"'
            table.report.contradiction(table[name], table["model"], remedy)


def _open(table: TableReader, folder: Path) -> OpenLoad:
    before = len(table.report.problems)
    trace = None
    if "trace" in table:
        trace, stages = _trace(table, folder)
    elif "stages" in table:
        stages = _stages(table)
    else:
        stages = _constant(table)
    if "repeat" in table:
        stages = _repeated(table, stages)
    if "spikes" in table:
        stages = _spiked(table, stages)
    events = table.whole("events_per_copy") or 1
    if table.choice("rate_in") == "events" and events > 1:
        stages = tuple(
            replace(stage, rate=stage.rate / events, end_rate=stage.end_rate / events)
            for stage in stages
        )
    if len(table.report.problems) == before:
        _check_size(table, stages)
    most = table.whole("max_in_flight")
    return OpenLoad(
        stages=stages,
        trace=trace,
        **drop_none(
            max_in_flight=most, **_requests(table, "max_in_flight", most or _MOST_IN_FLIGHT)
        ),
        **table.fields("arrivals"),
    )


def _check_size(table: TableReader, stages: tuple[Stage, ...]) -> None:
    copies = sum((stage.rate + stage.end_rate) / 2 * stage.duration_s for stage in stages)
    where = next(table[name] for name in ("trace", "stages", "rate") if name in table)
    if copies == 0:
        table.report.add(where, "starts no copy", "expected a rate greater than 0")
    if copies > grammar.MAX_COPIES:
        remedy = f"expected at most {grammar.MAX_COPIES:,}"
        table.report.add(where, f"starts {copies:,.0f} copies", remedy)


def _trace(table: TableReader, folder: Path) -> tuple[Trace | None, tuple[Stage, ...]]:
    """Read the trace that a load follows; return it and the one stage that stands for it."""
    others = ("rate", "duration", "stages", "repeat", "spikes", "arrivals", "rate_in")
    table.exclude("trace", others, "the trace says when copies come")
    node, report = table["trace"], table.report
    if isinstance(node.value, str):
        node = Node({"file": node}, node.place)
    own = TableReader(node, report, known=grammar.TRACE)
    if not own.require("file", 'expected a file: file = "access.csv"'):
        return None, ()
    shown, column, unit = own.text("file"), own.text("column"), own.choice("unit")
    speed, scale = own.rate("speed"), own.rate("scale")
    path = None if shown is None else own.file("file", folder)
    if shown is None or path is None:
        return None, ()
    try:
        trace = read_trace(path, shown, column, unit)
    except DataError as error:
        key = own["file"].place.key
        problem = Problem(
            message=error.message, file=str(path), line=error.line, key=key, remedy=error.remedy
        )
        report.problems.append(problem)
        return None, ()
    trace.speed, trace.scale = speed or 1.0, scale or 1.0
    if trace.duration_s > MAX_DURATION_S:
        message = f"lasts {format_duration(trace.duration_s)}"
        report.add(own["file"], message, "play it faster: speed = 10")
    rate = trace.total / trace.duration_s
    stage = Stage(name="trace", duration_s=trace.duration_s, rate=rate, end_rate=rate)
    return trace, (stage,)


def _repeated(table: TableReader, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Return the stages repeated, with numbered names."""
    times = table.whole("repeat")
    if "stages" not in table:
        remedy = "give stages, or a longer duration"
        table.report.add(table["repeat"], "repeats stages, and there are none", remedy)
        return stages
    if times is None or times == 1 or not stages:
        return stages
    if times * len(stages) > grammar.MAX_STAGES:
        message = f"makes {times * len(stages):,} stages"
        remedy = f"expected at most {grammar.MAX_STAGES:,}"
        table.report.add(table["repeat"], message, remedy)
        return stages
    entries = table.tables("stages", grammar.STAGE) or []
    found: list[Stage] = []
    for number in range(1, times + 1):
        for entry, stage in zip(entries, stages, strict=True):
            begin = stage.rate
            if "rate" not in entry and found:  # it continues at the rate where the last one ended
                begin = found[-1].end_rate
            end = stage.end_rate if "ramp_to" in entry else begin
            name = f"{stage.name}-{number}"
            found.append(replace(stage, name=name, rate=begin, end_rate=end))
    twice = {stage.name for stage in found if sum(o.name == stage.name for o in found) > 1}
    if twice:
        message = f'gives two stages the name "{min(twice)}"'
        table.report.add(table["repeat"], message, "name them otherwise")
    return tuple(found)


def _spiked(table: TableReader, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Return a constant load with spikes."""
    own = table.table("spikes", grammar.SPIKES)
    if "stages" in table:
        remedy = "write the spikes as stages, and repeat them"
        table.report.contradiction(table["spikes"], table["stages"], remedy)
        return stages
    if own is None or not stages:
        return stages
    for name, expected in (("every", '"30s"'), ("duration", '"2s"'), ("rate", "2500")):
        own.require(name, f"expected {name} = {expected}")
    every_s, lasts_s, rate = own.duration("every"), own.duration("duration"), own.rate("rate")
    if every_s is None or lasts_s is None or rate is None:
        return stages
    base = stages[0]
    if lasts_s >= every_s:
        own.report.contradiction(own["duration"], own["every"], "a spike is shorter than that")
    if every_s > base.duration_s:
        message = f"is longer than the load ({format_duration(base.duration_s)})"
        own.report.add(own["every"], message, "no spike would come")
    if 2 * base.duration_s / every_s > grammar.MAX_STAGES:
        remedy = f"expected at most {grammar.MAX_STAGES // 2:,}"
        own.report.add(own["every"], "makes too many spikes", remedy)
        return stages
    return tuple(_with_spikes(base, every_s, lasts_s, rate))


def _with_spikes(base: Stage, every_s: float, lasts_s: float, rate: float) -> Iterator[Stage]:
    """Yield a constant stage split by spikes, each at the end of an interval of ``every_s``."""
    number, begin_s = 1, 0.0
    while begin_s < base.duration_s:
        spike_s, end_s = begin_s + every_s - lasts_s, begin_s + every_s
        for name, from_s, to_s, at in (
            (f"steady-{number}", begin_s, spike_s, base.rate),
            (f"spike-{number}", spike_s, end_s, rate),
        ):
            length_s = min(to_s, base.duration_s) - from_s
            if length_s > 0:
                yield Stage(name=name, duration_s=length_s, rate=at, end_rate=at)
        begin_s = number * every_s
        number += 1


def _constant(table: TableReader) -> tuple[Stage, ...]:
    if "rate" not in table and "duration" not in table:
        table.require("rate", "expected rate and duration, or stages")
        return ()
    table.require("rate", "expected copies per second")
    table.require("duration", _DURATION)
    rate, duration_s = table.rate("rate") or 0.0, table.duration("duration") or 0.0
    return (Stage(name="steady", duration_s=duration_s, rate=rate, end_rate=rate),)


def _stages(table: TableReader) -> tuple[Stage, ...]:
    table.exclude("stages", ("rate", "duration"), "give rate and duration, or stages")
    entries = table.tables("stages", grammar.STAGE) or []
    if not _fits(table["stages"], entries, ("stage", "stages"), table.report):
        return ()
    stages: list[Stage] = []
    for entry in entries:
        stages.append(_stage(entry, stages))
    return tuple(stages)


def _stage(table: TableReader, earlier: Sequence[Stage]) -> Stage:
    name = table.text("name") or f"stage-{len(earlier) + 1}"
    where = table.get("name") or table.node
    if not _NAME.fullmatch(name):
        table.report.found(where, "expected letters, digits, - and _")
    if any(name == stage.name for stage in earlier):
        table.report.add(where, f'another stage is named "{name}"', "names tell stages apart")
    table.require("duration", _DURATION)
    if "ramp_to" not in table:
        table.require("rate", "expected rate, ramp_to or both")
    duration_s = table.duration("duration") or 0.0
    before = earlier[-1].end_rate if earlier else 0.0
    start, end = table.rate("rate"), table.rate("ramp_to")
    rate = before if start is None else start
    return Stage(
        name=name,
        duration_s=duration_s,
        rate=rate,
        end_rate=rate if end is None else end,
    )


def _ramp(table: TableReader) -> tuple[Users, ...]:
    """Read ``ramp``: how the number of users changes over time."""
    others = ("concurrency", "duration")
    table.exclude("ramp", others, "the ramp says how many, and for how long")
    entries = table.tables("ramp", grammar.RAMP) or []
    found = []
    for entry in entries:
        for name, expected in (
            ("duration", _DURATION),
            ("concurrency", "expected how many users, e.g. concurrency = 50"),
        ):
            entry.require(name, expected)
        length_s, users = entry.duration("duration"), entry.whole("concurrency")
        if length_s is not None and users is not None:
            found.append(Users(duration_s=length_s, concurrency=users))
    node, report = table["ramp"], table.report
    complete = _fits(node, entries, ("stretch", "stretches"), report) and len(found) == len(entries)
    if complete and not any(each.concurrency for each in found):
        report.add(node, "brings no users", "expected concurrency of 1 or more somewhere")
    return tuple(found)


def _fits(
    node: Node, entries: Sequence[TableReader], words: tuple[str, str], report: ProblemReport
) -> bool:
    """Report an array that is empty or too long; return whether its length is valid."""
    if node.value == []:
        report.add(node, "is empty", f"expected at least one {words[0]}")
    elif len(entries) > grammar.MAX_STAGES:
        report.add(
            node, f"has {len(entries):,} {words[1]}", f"expected at most {grammar.MAX_STAGES:,}"
        )
    return 0 < len(entries) <= grammar.MAX_STAGES


def _closed(table: TableReader) -> ClosedLoad:
    if "ramp" in table:
        ramp = _ramp(table)
        most = max((stretch.concurrency for stretch in ramp), default=0) or 1
        return ClosedLoad(
            concurrency=most,
            ramp=ramp,
            **table.fields("copies"),
            duration_s=sum(stretch.duration_s for stretch in ramp),
            **drop_none(**_requests(table, "ramp", most)),
        )
    table.require("concurrency", "expected how many copies are in flight")
    if "copies" not in table and "duration" not in table:
        table.require("copies", "expected copies, duration or both: whichever ends first")
    concurrency = table.whole("concurrency")
    return ClosedLoad(
        concurrency=concurrency or 1,
        **table.fields("copies", "duration"),
        **drop_none(**_requests(table, "concurrency", concurrency)),
    )


def _requests(table: TableReader, bound: str, in_flight: int | None) -> dict[str, Any]:
    """Read the keys that open and closed loads share: requests, connections and workers."""
    together = table.whole("copies_per_request")
    if together is not None and in_flight is not None and together > in_flight:
        remedy = f"a request of {together:,} copies needs as many in flight: raise {bound}"
        usual = f"is more than {bound} ({in_flight:,})"
        table.refuse_beside("copies_per_request", bound, remedy, usual)
    return {
        **table.fields("events_per_copy", "preconnect"),
        "copies_per_request": together,
        "think_time": _think_time(table),
        "workers": _workers(table),
        "prefixes": _prefixes(table),
    }


def _think_time(table: TableReader) -> Spread | None:
    """Read how long copies wait between their steps."""
    shared = table.get("copies_per_request")
    if "think_time" in table and shared is not None and shared.value != 1:
        remedy = "copies that share a request have one step: leave one of them out"
        table.report.contradiction(table["think_time"], shared, remedy)
    return read_wait(table, "think_time")


def _workers(table: TableReader) -> int | None:
    """Return how many processes share the load; 0 for "auto", None if absent or reported."""
    node = table.get("workers")
    if node is None:
        return None
    if isinstance(node.value, str):
        if node.value != "auto":
            expected = f'expected a whole number from 1 to {grammar.MAX_WORKERS:,}, or "auto"'
            table.report.found(node, expected)
        return 0
    return table.whole("workers")


def _prefixes(table: TableReader) -> tuple[str, ...] | None:
    """Return the commands that start workers elsewhere, such as ``ssh host``."""
    entries = table.array("prefixes", 'commands, such as ["ssh host1", "ssh host2"]')
    if entries is None:
        return None
    prefixes = []
    for entry in entries:
        command = text(entry, table.report)
        try:
            words = shlex.split(command or "")
        except ValueError as error:
            table.report.add(entry, f"no command: {error}", "close the quotes")
            continue
        if command is not None and words:
            prefixes.append(command)
    return tuple(prefixes) or None


_RETRIED = re.compile(grammar.RETRIED)


def read_retry(top: TableReader) -> Retry:
    """Read ``[retry]``."""
    table = top.section("retry", grammar.RETRY)
    remedy = "the first wait is longer than the longest"
    defaults = Retry().backoff_s, Retry().max_backoff_s
    return Retry(
        **table.ascending(("backoff", "max_backoff"), defaults, remedy),
        **drop_none(on=_retried(table)),
        **table.fields("attempts", "stale"),
    )


def _retried(table: TableReader) -> tuple[str, ...] | None:
    entries = table.array("on", "strings")
    if entries is None:
        return None
    expected = 'expected "timeout", "connection", a status code ("429") or a class ("5xx")'
    for entry in entries:
        if not isinstance(entry.value, str) or not _RETRIED.fullmatch(entry.value):
            table.report.found(entry, expected)
    return tuple(dict.fromkeys(str(entry.value) for entry in entries))


def read_timeouts(top: TableReader) -> Timeouts:
    """Read ``[timeouts]``."""
    table = top.section("timeouts", grammar.TIMEOUTS)
    read = table.fields(*grammar.TIMEOUTS)
    for name in ("write", "read"):
        if read.get(f"{name}_s", 0.0) > read.get("request_s", Timeouts().request_s):
            remedy = "it could never be reached: the whole request has less time"
            usual = f"is longer than timeouts.request ({Timeouts().request_s:g}s)"
            table.refuse_beside(name, "request", remedy, usual)
    return Timeouts(**read)


_BUDGET = 'expected a length of time ("5m"), a number of events (2_000_000), or a list of both'


def read_capacity(top: TableReader) -> Capacity:
    """Read ``[capacity]``."""
    table = top.section("capacity", grammar.CAPACITY)
    lowest, highest = table.rate("from"), table.rate("to")
    if lowest is not None and highest is not None and lowest >= highest:
        table.report.contradiction(table["to"], table["from"], "the search goes up")
    budget_s, budget_events = _budget(table)
    least, most = (f"{100 * bound:g}%" for bound in (grammar.FINEST, grammar.COARSEST))
    gentlest, steepest = grammar.GENTLEST, grammar.STEEPEST
    precision = table.value("precision", _precision, f'expected a share from "{least}" to "{most}"')
    climb = table.value("climb", _climb, f"expected a factor from {gentlest:g} to {steepest:g}")
    return Capacity(
        lowest=lowest,
        highest=highest,
        budget_s=budget_s,
        budget_events=budget_events,
        **drop_none(precision=precision, climb=climb),
        **table.fields("probe", "warmup", "recovery", "samples", "probes"),
    )


def _precision(value: Any) -> float | None:
    share = value if isinstance(value, float) else share_of(value)
    fits = share is not None and grammar.FINEST <= share <= grammar.COARSEST
    return share if fits else None


def _climb(value: Any) -> float | None:
    factor = number_of(value)
    fits = factor is not None and grammar.GENTLEST <= factor <= grammar.STEEPEST
    return float(factor) if factor is not None and fits else None


def _budget(table: TableReader) -> tuple[float | None, int | None]:
    """Return the budget of a search: seconds and events, None where not limited."""
    node = table.get("budget")
    if node is None:
        return None, None
    seconds: float | None = None
    events: int | None = None
    for entry in node.value if isinstance(node.value, list) else [node]:
        amount = _amount(entry)
        if isinstance(amount, float) and seconds is None:
            seconds = amount
        elif isinstance(amount, int) and events is None:
            events = amount
        elif amount is None:
            table.report.found(entry, _BUDGET)
        else:
            table.report.add(entry, "is said twice", _BUDGET)
    return seconds, events


def _amount(node: Node) -> float | int | None:
    """Return a duration as a float of seconds, a number of events as an int; None for others."""
    if isinstance(node.value, str):
        return seconds_of(node.value) or None
    events = number_of(node.value)
    return int(events) if events is not None and events == int(events) and events > 0 else None


def read_limits(top: TableReader) -> Mapping[str, Limit]:
    """Read ``[limits]``: a table per step."""
    table = top.section("limits", None)
    limits = {}
    for step, node in table.entries.items():
        if not isinstance(node.value, dict):
            table.report.add(node, "is not a table", "expected { concurrency = 4, rate = 5 }")
            continue
        entry = TableReader(node, table.report, known=grammar.LIMIT)
        if not entry.entries:
            table.report.add(node, "limits nothing", "expected concurrency, rate or both")
        limits[step] = Limit(**entry.fields(*grammar.LIMIT))
    return limits


def read_thresholds(top: TableReader) -> tuple[Threshold, ...]:
    """Read ``thresholds``: strings, or tables with further options."""
    entries = top.array("thresholds", "strings, or tables { check, abort, grace }")
    read = [_threshold(node, top) for node in entries or ()]
    return tuple(threshold for threshold in read if threshold is not None)


def _threshold(node: Node, top: TableReader) -> Threshold | None:
    if not isinstance(node.value, dict):
        check = text(node, top.report)
        return None if check is None else Threshold(check=check)
    table = TableReader(node, top.report, known=grammar.THRESHOLD)
    table.require("check", 'expected what must hold, e.g. check = "error_rate < 1%"')
    read = table.fields("check", "abort", "grace")
    if "grace" in table and not read.get("abort"):
        table.report.add(
            table["grace"], "has no effect without abort = true", "add it, or leave grace out"
        )
    return Threshold(**read) if "check" in read else None
