"""What was measured of each step, and why attempts failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadcheck.report import words
from loadcheck.report.html.model import Cell, Code, Section, Table

_MAX_REASONS = 20

Document = Mapping[str, Any]
Steps = Mapping[str, Mapping[str, Any]]


def steps_section(document: Document) -> Section | None:
    """Return the section of the steps; None if the run ended before they were summed up."""
    steps = document.get("steps")
    if not steps:
        return None
    failures = _failures(steps)
    return Section(
        name="steps",
        title="Steps",
        blocks=[
            _latencies(steps, document["generator"]),
            _answers(steps),
            *([failures] if failures is not None else []),
            *(
                Code(title=f"{name}: the first {status} said", text=body)
                for name, step in steps.items()
                for status, body in step["examples"].items()
            ),
        ],
    )


def _latencies(steps: Steps, generator: Mapping[str, Any]) -> Table:
    times = [
        (f"{name} {kind.replace('_', ' ')}", step[kind])
        for name, step in steps.items()
        for kind in ("response_time", "service_time", "failed", "throttled")
    ]
    times += [
        (what, generator.get(kind))
        for kind, what in (("lateness", "our own lateness"), ("loop_lag", "event loop lag"))
    ]
    return Table(
        columns=["", "p50", "p90", "p95", "p99", "p99.9", "longest", "samples"],
        rows=[[what, *_figures(one)] for what, one in times if one and one["count"]],
        note="Response time: from when a copy was due. Service time: from when a request was "
        "sent. Failed requests and 429s are in neither.",
    )


def _answers(steps: Steps) -> Table:
    return Table(
        columns=["step", "answer", "attempts"],
        rows=[
            [name, _answer(answer), words.count(number)]
            for name, step in steps.items()
            for answer, number in step["answers"].items()
        ],
    )


def _answer(answer: str) -> Cell:
    """Return a status code, or how an attempt ended without one."""
    text = answer if answer.isdecimal() else f"no answer: {answer}"
    return Cell(text=text, role="" if answer[:1] == "2" else "fail")


def _failures(steps: Steps) -> Table | None:
    rows = [
        [name, words.count(number), reason]
        for name, step in steps.items()
        for reason, number in sorted(step["reasons"].items(), key=lambda item: -item[1])
    ]
    columns = ["step", "attempts", "why they failed"]
    return Table(columns=columns, rows=rows[:_MAX_REASONS], numeric=False) if rows else None


def _figures(times: Mapping[str, Any]) -> list[str]:
    return [
        *(words.duration(times[f"{p}_ms"]) for p in ("p50", "p90", "p95", "p99", "p999", "max")),
        words.count(times["count"]),
    ]
