from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.measure import Ledger, Outcome

outcomes = st.lists(st.none() | st.sampled_from(Outcome), max_size=200)


def ledger(fates: list[Outcome | None], first: int = 0) -> Ledger:
    result = Ledger()
    for number, outcome in enumerate(fates, first):
        result.started.add(number)
        if outcome is not None:
            result.settle(number, outcome)
    return result


@given(outcomes)
def test_every_started_copy_is_in_exactly_one_set_once_closed(fates: list[Outcome | None]) -> None:
    result = ledger(fates)
    result.close()
    sets = [result.acknowledged, result.rejected, result.indeterminate]
    assert sum(map(len, sets)) == len(result.started) == len(fates)
    assert not result.open()


def test_a_copy_without_an_outcome_is_indeterminate_never_acknowledged() -> None:
    result = ledger([None, Outcome.ACKNOWLEDGED])
    assert list(result.open()) == [0]
    result.close()
    assert list(result.indeterminate) == [0]


@given(outcomes, outcomes)
def test_merging_shards_equals_one_ledger(
    left: list[Outcome | None], right: list[Outcome | None]
) -> None:
    merged = ledger(left) + ledger(right, first=len(left))
    assert merged == ledger(left + right)


@given(outcomes)
def test_json_round_trip(fates: list[Outcome | None]) -> None:
    result = ledger(fates)
    assert Ledger.from_json(result.to_json()) == result


@pytest.mark.parametrize("text", ["%%%", "AAAA", ""])
def test_a_damaged_column_is_named(text: str) -> None:
    document = Ledger().to_json() | {"rejected": text}
    with pytest.raises(ValueError, match="rejected"):
        Ledger.from_json(document)


def test_a_missing_column_is_named() -> None:
    document = Ledger().to_json()
    del document["skipped"]
    with pytest.raises(ValueError, match="skipped is missing"):
        Ledger.from_json(document)


def test_a_million_copies_take_little_room() -> None:
    result = Ledger()
    for number in range(1_000_000):
        result.started.add(number)
        result.acknowledged.add(number)
    assert sum(map(len, result.to_json().values())) < 2000
