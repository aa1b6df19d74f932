from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from loadcheck.verify.localize import Localized, Window
from loadcheck.verify.naming import SendTimes, describe_losses, localized_to_json
from loadcheck.workflow.identity import Buckets, Run

BEGAN = datetime(2026, 1, 2, 10, 2, 13, tzinfo=UTC)
DUE = [[10, 20, 30]]


def told(began_at: datetime | None = BEGAN, **found: Any) -> dict[str, Any]:
    buckets = Buckets(run_id="r", copies=60)
    moments = SendTimes(due=DUE, began_at=began_at)
    return localized_to_json(
        Localized(**found), Run(id="r", start_day="", end_day="").user_id, buckets, moments
    )


@pytest.mark.parametrize(
    ("number", "second"), [(0, 0), (9, 0), (10, 1), (29, 1), (30, 2), (59, 2), (60, 3), (99, 3)]
)
def test_copies_of_one_generator_start_in_the_order_of_their_numbers(
    number: int, second: int
) -> None:
    assert SendTimes(due=DUE, began_at=BEGAN).second(number) == second


def test_of_several_generators_each_goes_at_its_own_pace() -> None:
    # requests of two copies in turn; the second generator is slower
    moments = SendTimes(due=[[4, 2], [2, 0, 2]], began_at=BEGAN, copies_per_request=2)
    numbers = np.arange(10)
    assert moments.seconds(numbers).tolist() == [0, 0, 0, 0, 0, 0, 2, 2, 1, 1]
    assert moments.stretch(4, 9) == (0, 2)
    # the lower number was sent later, and so it stands behind
    ranks = moments.ranks(BitMap(range(10)), np.array([6, 8]))
    assert ranks.tolist() == [9, 7]


@given(
    paces=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=4),
    together=st.integers(1, 3),
)
def test_the_order_of_sending_is_that_of_the_seconds(paces: list[list[int]], together: int) -> None:
    moments = SendTimes(due=paces, began_at=None, copies_per_request=together)
    seconds = {}
    for generator, due in enumerate(paces):
        for own, second in enumerate([s for s, count in enumerate(due) for _ in range(count)]):
            number = (own // together * len(paces) + generator) * together + own % together
            seconds[number] = second
    numbers = np.array(sorted(seconds), dtype=np.int64)
    assert moments.seconds(numbers).tolist() == [seconds[n] for n in sorted(seconds)]
    in_order = sorted(seconds, key=lambda n: (seconds[n], n))
    ranks = moments.ranks(BitMap(sorted(seconds)), np.array(in_order, dtype=np.int64))
    assert ranks.tolist() == list(range(1, len(seconds) + 1))


def test_who_is_missing_has_a_name_and_a_time() -> None:
    assert told(lost=(7, 31), lost_at_least=3, lost_suspects=4)["lost"] == [
        {"user_id": "lc-r-0000007", "copy": 7, "second": 0, "sent_at": "2026-01-02T10:02:13Z"},
        {"user_id": "lc-r-0000031", "copy": 31, "second": 2, "sent_at": "2026-01-02T10:02:15Z"},
    ]
    assert told(lost=(7, 31), lost_at_least=3)["ambiguous"]["lost"] == 1


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ((7,), "; it is lc-r-0000007, sent at 10:02:13 UTC"),
        ((7, 9), "; 2 are named, the first lc-r-0000007, sent at 10:02:13 UTC"),
        ((7, 31), "; 2 are named, the first lc-r-0000007, sent from 10:02:13 to 10:02:15 UTC"),
        ((), ""),
    ],
)
def test_when_they_were_sent_is_said(lost: tuple[int, ...], words: str) -> None:
    assert describe_losses(told(lost=lost)) == words


def test_a_window_is_told_by_its_times_and_copies() -> None:
    window = Window(first=12, last=19, lost=5, sent=8)
    document = told(windows=(window,))
    assert document["windows"] == [
        {
            "first_copy": 12,
            "last_copy": 19,
            "from_s": 1,
            "to_s": 2,
            "from": "2026-01-02T10:02:14Z",
            "to": "2026-01-02T10:02:15Z",
            "lost": 5,
            "sent": 8,
        }
    ]
    assert describe_losses(document) == (
        "; 5 of them were sent between 10:02:14 and 10:02:15 UTC (copies 12 to 19)"
    )


def test_without_a_clock_seconds_have_to_do() -> None:
    assert describe_losses(told(None, lost=(7,))) == "; it is lc-r-0000007"
    window = Window(first=12, last=19, lost=5, sent=8)
    assert "in seconds 1 to 2 (copies 12 to 19)" in describe_losses(told(None, windows=(window,)))


def test_nothing_asked_nothing_told() -> None:
    assert describe_losses(None) == ""
