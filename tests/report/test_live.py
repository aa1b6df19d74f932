from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from loadcheck.report import live


@dataclass
class Counters:
    started: int = 15_643
    skipped: int = 0
    acknowledged: int = 15_643
    rejected: int = 0
    indeterminate: int = 0
    retries: int = 0
    in_flight: int = 2
    uniques: int | None = 13_483


@dataclass
class Run:
    name: str = "burst"
    planned: int | None = 21_600
    duration_s: float | None = 16.0
    stage: str = "load"
    record: Counters = field(default_factory=Counters)
    elapsed_s: float = 10.0
    asked_rate: float | None = 2500.0
    trouble: str = ""
    signals: int = 0

    async def wait(self, seconds: float) -> None:
        raise NotImplementedError

    def latest(self, column: str) -> float | None:
        return {"started": 2500.0, "p50_ms": 0.12, "p99_ms": 2.2}[column]


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


def test_five_lines_tell_where_it_is() -> None:
    rows = live.lines(Run(), color=False, width=110)
    assert len(rows) == 5
    assert rows[0].endswith("load  10.0 s")
    assert rows[1] == ("  sent       15,643 of 21,600   2 in flight   rate 2,500/s, asked 2,500/s")
    assert rows[3] == "  latency    p50 120 µs   p99 2.2 ms  in the last second"
    assert rows[4] == "  counted    13,483 unique users of 15,643 acknowledged"


@pytest.mark.parametrize("width", [1, 20, 60, 80])
@pytest.mark.parametrize("color", [True, False])
def test_no_line_wraps(width: int, color: bool) -> None:
    run = Run(record=Counters(rejected=7), trouble="429: too many requests")
    for row in live.lines(run, color=color, width=width):
        assert len(plain(row)) <= width


def test_a_line_that_is_cut_leaves_no_colour_behind() -> None:
    for row in live.lines(Run(), color=True, width=12):
        assert row.count("\x1b[0m") == len(re.findall(r"\x1b\[[1-9]\d*m", row))


def test_a_closed_load_of_unknown_length() -> None:
    run = Run(planned=None, duration_s=None, asked_rate=None)
    rows = live.lines(run, color=False, width=110)
    assert rows[1] == "  sent       15,643   2 in flight   rate 2,500/s"
    assert "╌" * 30 in rows[0]


@pytest.mark.parametrize(("elapsed", "filled"), [(0, 0), (8, 15), (16, 30), (99, 30)])
def test_the_bar_is_time(elapsed: float, filled: int) -> None:
    row = live.lines(Run(elapsed_s=elapsed), color=False, width=110)[0]
    assert row.count("━") == filled


def test_trouble_is_told_in_the_log_line_too() -> None:
    assert live.line(Run(trouble="refused")).endswith("counted 13,483  (refused)")
    assert "(" not in live.line(Run())
