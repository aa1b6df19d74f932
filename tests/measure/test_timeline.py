from __future__ import annotations

from loadcheck.measure.timeline import COUNTS, FIGURES, Timeline


def totals(**given: int) -> dict[str, int]:
    return dict.fromkeys(COUNTS, 0) | given


LEVELS: dict[str, int | None] = {"in_flight": 3, "uniques": None}
NO_FIGURES = dict.fromkeys(FIGURES)


def test_counts_are_kept_as_what_each_second_added() -> None:
    timeline = Timeline()
    timeline.close_second(0, totals(started=10), LEVELS, NO_FIGURES)
    timeline.close_second(1, totals(started=25), LEVELS, NO_FIGURES)
    assert timeline.column("started") == [10, 15]
    assert timeline.column("in_flight") == [3, 3]


def test_of_missed_seconds_the_first_has_what_was_counted() -> None:
    timeline = Timeline()
    timeline.close_second(0, totals(started=10), LEVELS, NO_FIGURES)
    timeline.close_second(3, totals(started=40), LEVELS, NO_FIGURES | {"p50_ms": 2.0})
    assert timeline.column("second") == [0, 1, 2, 3]
    assert timeline.column("started") == [10, 30, 0, 0]
    assert timeline.column("p50_ms") == [None, 2.0, None, None]


def test_all_columns_have_the_same_length() -> None:
    timeline = Timeline()
    timeline.close_second(2, totals(), LEVELS, NO_FIGURES)
    assert {len(column) for column in timeline.to_json().values()} == {3}
