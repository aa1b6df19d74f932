from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from loadcheck.cli.terminal import Redrawing
from loadcheck.measure.histogram import Histogram
from loadcheck.report import live as views
from loadcheck.verify import Verdict
from loadcheck.verify.metrics import BoundedFigure, Metric, MetricKind
from loadcheck.verify.thresholds import Judged, ParsedThreshold

live: Any = views  # it takes a Progress, and looks at no more of it than Run has
WIDTHS = (60, 80, 120, 200)


def times() -> Histogram:
    histogram = Histogram()
    for index in range(1000):
        histogram.record(60_000 + index * index * 10)
    return histogram


def judged(expression: str, value: float | None, verdict: Verdict) -> Judged:
    threshold = ParsedThreshold(
        check=expression,
        metric=Metric(name="p99", kind=MetricKind.DURATION),
        operator="<",
        limit=250.0,
    )
    measured = None if value is None else BoundedFigure.exactly(value)
    return Judged(threshold=threshold, measured=measured, verdict=verdict)


STANDING = (
    judged("uploadEvents.p99 < 250ms", 1.81, Verdict.PASS),
    judged("burst: uploadEvents.p99 < 1ms", 1.81, Verdict.FAIL),
    judged("visible.p95 < 60s", None, Verdict.UNKNOWN),
)


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
    part: str = "burst (2 of 3)"
    record: Counters = field(default_factory=Counters)
    elapsed_s: float = 10.0
    left_s: float | None = 6.0
    asked_rate: float | None = 2500.0
    trouble: str = ""
    signals: int = 0
    news: Sequence[str] = ()
    checked: bool = True
    asked: int = 0
    is_shared: bool = False
    standing: Sequence[Judged] = STANDING
    standing_together: Sequence[Judged] = ()
    times: Histogram = field(default_factory=times)

    def spent(self) -> dict[str, int]:
        return {"queries": self.asked, "query_cost": 3 * self.asked}

    @property
    def acknowledged_users(self) -> int:
        return self.record.acknowledged

    @property
    def outline(self) -> Run:
        return self

    async def wait(self, seconds: float) -> None:
        raise NotImplementedError

    def latest(self, column: str) -> float | None:
        return self.recent(column, 1)[-1]

    def recent(self, column: str, seconds: int) -> Sequence[float | None]:
        columns: dict[str, list[float | None]] = {
            "started": [200, 200, 200, 200, 2500, 2500, 2500, 2500, 2500, 2500],
            "p50_ms": [0.2, 0.12],
            "p99_ms": [0.6, 0.4, 1.3, None, 2.2, 2.2, 2.4, 1.5, 1.8, 2.2],
            "lateness_p99_ms": [0.036],
        }
        return columns[column][-seconds:]

    def thresholds(self) -> Sequence[Judged]:
        return self.standing

    def together(self) -> Sequence[Judged]:
        return self.standing_together

    def cpu_share(self) -> float | None:
        return 0.58


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


def rows(run: Run, *, color: bool = False, width: int = 80, height: int = 24) -> list[str]:
    drawn: list[str] = live.LiveView(run, color=color).rows(width, height)
    return drawn


def test_of_workers_what_was_sent_since_their_reports_may_be_visible() -> None:
    # they report once a second
    shown = "\n".join(
        rows(Run(is_shared=True, record=Counters(uniques=11_000, acknowledged=10_900)))
    )
    assert "visible     11,000 of ≥ 10,900 acknowledged" in shown
    assert "busiest worker 58 % of a core" in shown
    shown = "\n".join(
        rows(Run(is_shared=True, record=Counters(uniques=10_000, acknowledged=10_900)))
    )
    assert "visible     10,000 of 10,900 acknowledged" in shown


def test_it_tells_everything_that_a_reader_asks_for() -> None:
    shown = rows(Run())
    assert shown[0].startswith(" burst  burst (2 of 3)  ━")
    assert shown[0].endswith("10.0 s, 6.0 s left")
    assert shown[1].startswith(" rate        target 2,500/s   achieved 2,500/s   ▁▁▁▁██████")
    assert shown[2] == " copies      15,643 of 21,600 sent   2 in flight"
    assert shown[3].startswith(" outcomes    15,643 acknowledged   0 rejected   0 indeterminate")
    assert shown[4] == " latency     p50 120 µs   p99 2.2 ms   ▂▂▅ ███▅▆█"
    assert re.fullmatch(r" histogram   60 µs [▁▂▃▄▅▆▇█ ]{40} 10\.0 ms", shown[5])
    assert shown[6].startswith(" visible     13,483 of 15,643 acknowledged   86 %   ━")
    assert shown[7] == " thresholds  ✓ uploadEvents.p99 < 250ms       1.81 ms"
    assert shown[8] == "             ✗ burst: uploadEvents.p99 < 1ms  1.81 ms"
    assert shown[9] == "             ? visible.p95 < 60s              no data"
    assert shown[10] == " generator   lateness p99 36 µs   CPU 58 % of a core"


@pytest.mark.parametrize("width", [1, 20, *WIDTHS])
@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize(
    "name", ["burst", "a scenario with a very long name indeed " * 3, "日本" * 40]
)
def test_no_line_wraps(width: int, color: bool, name: str) -> None:
    record = Counters(rejected=7, indeterminate=123_456_789, skipped=1, retries=12)
    run = Run(name=name, record=record, trouble="429: too many requests " * 9, signals=1)
    for row in rows(run, color=color, width=width):
        assert live.cells(row) <= width, row


@pytest.mark.parametrize("height", [1, 3, 5, 8, 24])
def test_a_low_terminal_goes_without_what_matters_least(height: int) -> None:
    shown = rows(Run(signals=1), height=height)
    assert len(shown) <= height
    assert shown[0].startswith(" burst")
    if height >= 5:
        assert any("outcomes" in row for row in shown)
        assert "Ctrl-C" in shown[-1]


def test_a_line_that_is_cut_leaves_no_colour_behind() -> None:
    for row in rows(Run(), color=True, width=12):
        assert row.count("\x1b[0m") == len(re.findall(r"\x1b\[[1-9]\d*m", row))


def test_without_colour_the_same_is_said() -> None:
    assert [plain(row) for row in rows(Run(), color=True)] == rows(Run())
    assert not any("\x1b" in row for row in rows(Run()))


def test_a_closed_load_of_unknown_length() -> None:
    shown = rows(Run(planned=None, duration_s=None, asked_rate=None, left_s=None, part=""))
    assert shown[0].startswith(" burst  load  ╌")
    assert shown[0].endswith("  10.0 s")
    assert shown[1].startswith(" rate        achieved 2,500/s   ")
    assert shown[2] == " copies      15,643 sent   2 in flight"


def test_waiting_for_the_count_says_for_how_long_at_most() -> None:
    assert "waiting for the count" in rows(Run(stage="settle"))[0]
    assert rows(Run(stage="settle"))[0].endswith("10.0 s, at most 6.0 s left")


@pytest.mark.parametrize(("elapsed", "filled"), [(0, 0), (8, 15), (16, 30), (99, 30)])
def test_the_bar_is_time(elapsed: float, filled: int) -> None:
    assert rows(Run(elapsed_s=elapsed), width=120)[0].count("━") == filled


def test_all_are_visible_only_when_nobody_is_missing() -> None:
    record = Counters(acknowledged=100_000, uniques=99_999)
    assert "   99 %" in rows(Run(record=record))[6]
    assert "   100 %" in rows(Run(record=replace(record, uniques=100_000)))[6]
    assert rows(Run(record=replace(record, uniques=None)))[6].endswith("– of 100,000 acknowledged")
    assert rows(Run(checked=False))[6] == " visible     verification: disabled"


def test_of_many_thresholds_the_broken_ones_are_shown_and_the_rest_counted() -> None:
    many = [judged(f"m{index} < 1", 0.5, Verdict.PASS) for index in range(8)]
    many += [judged("bad < 1", 2.0, Verdict.FAIL), judged("none < 1", None, Verdict.UNKNOWN)]
    shown = rows(Run(standing=many))
    assert "✗ bad < 1" in shown[7]
    assert shown[13] == "             and 3 hold, 1 no data"


def test_no_response_yet() -> None:
    shown = rows(Run(times=Histogram(), standing=()))
    assert shown[5] == " histogram   no response yet"
    assert not any("thresholds" in row for row in shown)


def test_what_takes_longer_is_looked_at_once_a_second() -> None:
    run = Run()
    view = live.LiveView(run, color=False)
    view.rows(80, 24)
    run.standing = ()
    assert any("thresholds" in row for row in view.rows(80, 24))
    run.elapsed_s += 1
    assert not any("thresholds" in row for row in view.rows(80, 24))


def test_rows_are_drawn_over_those_before() -> None:
    drawn = Redrawing()
    assert drawn.frame(["one", "two"], 80) == "one\x1b[K\ntwo\x1b[K\n\x1b[J"
    assert drawn.frame(["three"], 80) == "\x1b[2A\rthree\x1b[K\n\x1b[J"
    assert drawn.frame([], 80) == "\x1b[1A\r\x1b[J"
    assert drawn.frame([], 80) == ""


def test_a_terminal_made_narrower_has_wrapped_what_was_drawn() -> None:
    drawn = Redrawing()
    drawn.frame(["x" * 100, "\x1b[1m" + "y" * 60 + "\x1b[0m"], 120)
    assert drawn.frame(["z"], 60).startswith("\x1b[3A\r")


BAD = Counters(rejected=1_234_567, indeterminate=123_456, skipped=999_999, in_flight=100_000)


@pytest.mark.parametrize(
    "run",
    [Run(), Run(record=BAD, trouble="429: too many requests " * 9), Run(elapsed_s=99_999.0)],
)
def test_the_plain_line_is_at_most_a_hundred_columns_wide(run: Run) -> None:
    assert len(live.line(run)) <= 100


def test_the_plain_line_tells_what_went_wrong_first() -> None:
    assert live.line(Run()) == (
        " 10.0 s  load      15,643 of 15,643 acknowledged  p99 2.2 ms  13,483 visible  2 in flight"
    )
    assert "1,234,567 rejected  123,456 indeterminate" in live.line(Run(record=BAD))
    assert "(refused)" in live.line(Run(trouble="refused"))
    assert "visible" not in live.line(Run(checked=False))


def test_one_flow_of_a_mix_tells_how_the_thresholds_of_all_stand() -> None:
    assert live.together_line(Run(), 100) == ""
    held = judged("p99 < 500ms", 2.2, Verdict.PASS)
    one = live.together_line(Run(standing_together=[held]), 100)
    assert one == " 10.0 s  load      none of 1 threshold broken so far  p99 < 500ms (2.2 ms)"
    broken = judged("p50 < 1ms", 1.2, Verdict.FAIL)
    told = live.together_line(Run(standing_together=[held, broken, *[held] * 9]), 100)
    assert "1 of 11 thresholds broken so far  p50 < 1ms (1.2 ms)  p99 < 500ms" in told
    assert len(told) <= 100


def test_what_becomes_of_workers_is_told_at_once() -> None:
    run = Run(news=["worker 1 is silent", "worker 1 (a\x1b[2J) is lost: killed"])
    (shown,) = (row for row in rows(run) if "worker 1" in row)
    assert shown.split() == ["workers", "worker", "1", "(a\\x1b[2J)", "is", "lost:", "killed"]
    assert live.news_since(run, 2) == []
    (line,) = live.news_since(run, 1)
    assert line.startswith(" 10.0 s  workers   worker 1 (a")


def test_what_asking_has_cost_is_shown() -> None:
    assert "54 queries, cost 162" in live.line(Run(asked=54))
    assert "queries" not in live.line(Run())
