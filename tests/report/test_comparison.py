from __future__ import annotations

from typing import Any

import pytest

from loadcheck.compare import Stored, compare
from loadcheck.report import comparison
from loadcheck.report.markdown import comparison_markdown
from tests.benchmarks import synthetic

Document = dict[str, Any]


@pytest.fixture(scope="module")
def worse() -> Document:
    base = synthetic.result(seconds=12, copies=12_000, seed=1, queries_per_s=2)
    service = synthetic.Service(p50_ms=30, failing=0.002)
    candidate = synthetic.result(seconds=12, copies=12_000, seed=2, service=service)
    candidate["environment"] = {**candidate["environment"], "python": "3.14.0"}
    return compare(
        [Stored(file="results/base.json", document=base)],
        [Stored(file="results/new.json", document=candidate)],
    )


@pytest.fixture(scope="module")
def same() -> Document:
    run = synthetic.result(seconds=30, copies=30_000, service=synthetic.Service(wander=0.005))
    return compare([Stored(file="a", document=run)], [Stored(file="b", document=run)])


def figure(**changes: Any) -> Document:
    return {
        "key": "up.p50",
        "group": "up",
        "name": "p50",
        "unit": "ms",
        "about": "target",
        "base": 20.0,
        "candidate": 22.0,
        "difference": 2.0,
        "low": 1.0,
        "high": 3.0,
        "relative": {"difference": 0.1, "low": 0.05, "high": 0.15},
        "word": "worse",
        "why": "",
        **changes,
    }


NONE = dict.fromkeys(("difference", "low", "high"))


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({}, ("20.0 ms", "22.0 ms", "+10.0 %", "+5.0 … +15.0 %")),
        (
            {"relative": {"difference": -0.004, "low": -2.5, "high": 0.0}},
            ("20.0 ms", "22.0 ms", "−0.40 %", "−250 … 0 %"),
        ),
        (
            {"about": "generator"},
            ("20.0 ms", "22.0 ms", "+2 ms", "+1 ms … +3 ms"),
        ),
        (
            {"unit": "ratio", "base": 0.001, "candidate": 0.003, "difference": 0.002}
            | {"low": 0.0012, "high": 0.0031},
            ("0.1 %", "0.3 %", "+0.20 pt", "+0.12 … +0.31 pt"),
        ),
        (
            {"unit": "count", "base": 0, "candidate": 3, "difference": 3, "low": 3, "high": 3},
            ("0", "3", "+3", "exact"),
        ),
        (
            {"unit": "count", "base": 0, "candidate": 0, "difference": 0, "low": -2, "high": 4},
            ("0", "0", "0", "−2 … +4"),
        ),
        (
            {"base": None, "difference": None, "low": None, "high": None, "relative": NONE}
            | {"why": "not known"},
            ("–", "22.0 ms", "–", "not known"),
        ),
    ],
)
def test_a_row_in_words(changes: Document, cells: tuple[str, ...]) -> None:
    assert comparison.row(figure(**changes)) == cells


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, True),
        ({"base": None, "candidate": None}, False),
        ({"base": 0, "candidate": 0, "word": "same"}, False),
        ({"base": 0, "candidate": 0, "word": "same", "key": "lost"}, True),
        ({"base": 0, "candidate": 0, "word": "unsure"}, True),
    ],
)
def test_what_says_nothing_is_left_out(changes: Document, shown: bool) -> None:
    assert comparison.is_shown(figure(**changes)) is shown


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_table_fits_the_terminal_and_its_columns_stand_below_each_other(
    worse: Document, width: int
) -> None:
    text = comparison.text(worse, color=False, width=width)
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= width
    rows = [line for line in lines if line.endswith(("✗ worse", "= same", "? unsure"))]
    assert len(rows) > 10
    assert len({max(line.rfind(mark) for mark in "✗=?✓") for line in rows}) == 1


def test_a_regression_is_told_first(worse: Document) -> None:
    first, *_ = comparison.text(worse, color=False, width=200).splitlines()
    assert first.startswith(
        " WORSE   made up  Worse by more than 5 %: uploadEvents response time p50, p90"
    )


def test_many_runs_are_not_all_named(worse: Document) -> None:
    many = {**worse, "base": worse["base"] * 9, "candidate": worse["candidate"] * 5}
    lines = comparison.text(many, color=False, width=100).splitlines()
    assert sum(line.startswith(" base") for line in lines) == 5
    assert " base       and 5 more" in lines
    assert sum("results/new.json" in line for line in lines) == 5


def test_colours_only_where_asked_for(worse: Document) -> None:
    assert "\x1b[" not in comparison.text(worse, color=False, width=100)
    assert "31m" in comparison.text(worse, color=True, width=100)


def test_what_else_differs_is_told(worse: Document) -> None:
    assert "Also different: environment.python (3.11" in comparison.text(
        worse, color=False, width=200
    )
    assert "→ 3.14.0)" in comparison_markdown(worse)


def test_the_same_is_said_with_what_nobody_can_be_sure_of(same: Document) -> None:
    text = comparison.text(same, color=False, width=200)
    assert text.startswith(" SAME   made up  No significant change beyond 5 %")


def test_an_unsure_comparison_says_of_what(worse: Document) -> None:
    figures = [{**one, "word": "unsure"} for one in worse["figures"]]
    text = comparison.text(
        {**worse, "verdict": "unsure", "figures": figures}, color=False, width=200
    )
    assert "Chance alone may explain" in text.splitlines()[0]
    assert "uploadEvents response time p50" in text.splitlines()[0]


def test_what_was_forced_is_told(worse: Document) -> None:
    document = {**worse, "forced": ["b.json: load.rate: differs"]}
    assert "! b.json: load.rate: differs" in comparison.text(document, color=False, width=80)
    assert "b.json: load.rate: differs" in comparison_markdown(document)


def test_markdown_is_a_table_that_github_renders(worse: Document) -> None:
    text = comparison_markdown(worse)
    assert text.startswith("## ❌ WORSE: made up\n")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {7}
    assert any("| ❌ **worse** |" in line for line in table)
    assert "`results/base.json`" in text


def test_a_name_cannot_break_out_of_the_markdown(worse: Document) -> None:
    document = {**worse, "scenario": {"name": "a|b <img> `x`"}}
    assert "a\\|b \\<img\\> \\`x\\`" in comparison_markdown(document)
