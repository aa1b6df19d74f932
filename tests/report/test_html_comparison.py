"""The page of a comparison."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from loadcheck.compare import Stored, compare
from loadcheck.report.comparison import is_shown
from loadcheck.report.html import page
from loadcheck.result.store import read
from tests.report.conftest import EARLY, Tab
from tests.report.test_html import EVIL, Structure, charts, series

Document = dict[str, Any]


@pytest.fixture
def run(intervals: Document) -> Document:
    """Return a run with intervals."""
    document = read(EARLY)
    stages = [("calm", 0.0, 5.0), ("storm", 5.0, 16.0)]
    return document | {
        "intervals": intervals,
        "stages": [
            {"name": name, "from_s": begin, "to_s": end, "rate": 1.0, "end_rate": 1.0}
            for name, begin, end in stages
        ],
    }


def compared(base: list[Document], candidate: list[Document]) -> Document:
    return compare(
        [Stored(file=f"base-{number}.json", document=one) for number, one in enumerate(base)],
        [Stored(file=f"new-{number}.json", document=one) for number, one in enumerate(candidate)],
        force=True,
    )


@pytest.fixture
def comparison(run: Document) -> Document:
    """Return the comparison of a run with one that lost users."""
    worse = copy.deepcopy(run)
    worse["consistency"] |= {"lost_at_least": 7, "lost_at_most": 7, "uniques": 21_593}
    worse["scenario"]["inputs"]["eventType"] = "another"
    return compared([run], [worse])


def test_the_word_and_what_it_rests_on_come_first(comparison: Document) -> None:
    text = page(comparison).decode()
    found = Structure(text)
    assert '<span class="badge">worse</span> Comparison: burst' in text
    assert '<p class="because">Worse by more than 5 %: the count lost.</p>' in text
    assert found.texts["h2"] == ["Figures", "Latency", "Over time", "Runs"]


def test_every_figure_has_a_row(comparison: Document) -> None:
    text = page(comparison).decode()
    shown = [figure for figure in comparison["figures"] if is_shown(figure)]
    assert text.count('<tr class="group">') == len({figure["group"] for figure in shown})
    assert text.count('class="fail">✗ worse') == 1
    assert text.count("= same") == sum(figure["word"] == "same" for figure in shown)


def test_runs_lie_over_each_other(comparison: Document) -> None:
    found = charts(comparison)
    assert list(found) == ["percentiles-1", "percentiles-2", "rate", "p50-1", "p99-1"]
    assert list(series(found["percentiles-1"])) == ["base", "candidate"]
    assert series(found["p99-1"])["base"][7.5] == pytest.approx(10, rel=0.01)
    assert series(found["rate"])["candidate"] == {0: 0.6, 5: 0.2, 10: 0}
    assert [mark["label"] for mark in found["rate"]["marks"]] == ["calm", "storm"]


def test_several_runs_of_a_side_bear_one_name(run: Document) -> None:
    found = charts(compared([run, run], [run, run, run]))
    lines = found["percentiles-1"]["series"]
    assert [(one["label"], one["quiet"]) for one in lines] == [
        *(("base", False), ("base 2", True)),
        *(("candidate", False), ("candidate 2", True), ("candidate 3", True)),
    ]


def test_runs_without_intervals_are_compared_all_the_same(run: Document) -> None:
    del run["intervals"]
    del run["stages"]
    assert list(charts(compared([run], [run]))) == ["percentiles-1", "percentiles-2"]


def test_in_what_runs_differ_is_told(comparison: Document) -> None:
    text = page(comparison).decode()
    assert "inputs.eventType" in text
    assert "another" in text


def test_a_bar_shows_how_sure_a_difference_is(comparison: Document) -> None:
    figure = comparison["figures"][0]
    figure |= {"base": 10.0, "candidate": 11.0, "difference": 1.0, "margin": 0.5, "word": "worse"}
    figure |= {"low": 0.2, "high": 1.8}
    figure["relative"] = {"difference": 0.1, "low": 0.02, "high": 0.18}
    found = Structure(page(comparison).decode())
    bars = [attributes for tag, attributes in found.tags if tag == "circle"]
    # the scale goes to four tolerances, 20 %, at least: a tenth is half way from the middle
    assert bars[0]["cx"] == "150"


def test_what_a_comparison_says_is_escaped(comparison: Document) -> None:
    comparison["scenario"]["name"] = comparison["notes"][0] = EVIL
    comparison["figures"][0] |= {"name": EVIL, "group": EVIL, "why": EVIL}
    comparison["differences"][0] |= {"base": EVIL, "key": EVIL}
    comparison["candidate"][0]["file"] = EVIL
    for side in ("base", "candidate"):
        steps = comparison[side][0]["curves"]["steps"]
        steps[EVIL] = steps.pop("uploadEvents")
    assert "<img" not in page(comparison).decode()


def test_it_is_drawn(tab: Tab, comparison: Document, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(page(comparison))
    tab.open(path)
    lines = tab.run(
        "[...document.querySelectorAll('figure.chart')]"
        ".map(one => one.querySelectorAll('.plot > svg .line').length)"
    )
    assert lines == [2] * 5
    assert tab.complaints() == []
    for width in (1280, 390):
        tab.shape(width)
        assert tab.run("document.documentElement.scrollWidth") <= width
