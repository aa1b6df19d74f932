"""Rows by the copies' numbers, and values by the same."""

from __future__ import annotations

import collections
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.data.order import BlockValues, key_of, mixed, permuted, rows_of
from loadcheck.data.values import Drawn, SpecError, drawn, word_of


def _numbers(first: int, count: int) -> Any:
    return np.arange(first, first + count, dtype=np.uint64)


@given(rows=st.integers(1, 3000), seed=st.integers(0, 2**63 - 1))
def test_a_shuffle_takes_every_row_once_a_pass(rows: int, seed: int) -> None:
    take = rows_of("shuffle", rows, seed, "x")
    passes = [list(take(_numbers(turn * rows, rows))) for turn in range(2)]
    for taken in passes:
        assert sorted(taken) == list(range(rows))
    if rows > 30:
        assert passes[0] != passes[1]
        assert passes[0] != list(range(rows))


@given(rows=st.integers(1, 70_000), seed=st.integers(0, 2**63 - 1), first=st.integers(0, 2**40))
def test_a_shuffle_is_the_permutation_of_its_pass(rows: int, seed: int, first: int) -> None:
    numbers, size = _numbers(first, 256), np.uint64(rows)
    keys = mixed(numbers // size, key_of(seed, "x", "shuffle"))
    taken = rows_of("shuffle", rows, seed, "x")(numbers)
    assert list(taken) == permuted(numbers % size, rows, keys).tolist()


def test_a_series_is_the_same_in_pieces() -> None:
    made = []

    def make(numbers: Any) -> list[int]:
        made.append(len(numbers))
        return [int(number) * 2 for number in numbers]

    cut = BlockValues(make, 64).cut(16)
    assert cut.size == 16
    values = [value for first in range(0, 128, 16) for value in cut.make(_numbers(first, 16))]
    assert values == list(range(0, 256, 2))
    assert made == [64, 64]


def test_a_row_depends_on_its_number_alone() -> None:
    for order in ("sequential", "shuffle", "random", "once"):
        take = rows_of(order, 1000, 7, "x")
        whole = list(take(_numbers(0, 500)))
        assert list(take(_numbers(123, 10))) == whole[123:133]
        assert max(whole) < 1000


def test_random_rows_are_even() -> None:
    taken = collections.Counter(rows_of("random", 10, 1, "x")(_numbers(0, 10_000)))
    assert len(taken) == 10
    assert all(850 < count < 1150 for count in taken.values())


def _drawn(spec: dict[str, Any], seed: int = 7) -> Drawn:
    word = word_of(spec)
    assert word is not None
    return drawn(spec, word, seed, "inputs.x")


def _first(spec: dict[str, Any], count: int = 4000, seed: int = 7) -> list[Any]:
    of = _drawn(spec, seed).of
    return [of(number) for number in range(count)]


SPECS: list[dict[str, Any]] = [
    {"choice": ["DE", None, {"a": [1]}], "weights": [3, 1, 1]},
    {"choice": [{"text": 4}, None]},
    {"int": [-5, 5]},
    {"float": [0, 1], "digits": 2},
    {"normal": {"mean": 50, "sd": 10}, "digits": 0, "min": 30},
    {"lognormal": {"median": 20, "p99": 300}},
    {"zipf": 100},
    {"uuid": True},
    {"hex": 20},
    {"text": [3, 9]},
    {"text": {"median": 200, "p99": 5000}},
    {"list": {"int": [1, 9]}, "length": [0, 5]},
    {"faker": "country", "locale": "de_DE", "pool": 50},
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: next(iter(spec)))
def test_values_are_the_same_for_the_same_seed_and_number(spec: dict[str, Any]) -> None:
    once, again = _first(spec, 300), _drawn(spec).of
    assert [again(number) for number in reversed(range(300))] == once[::-1]
    assert _first(spec, 300, seed=8) != once
    found = _drawn(spec)
    if found.json is not None:
        texts = [found.json(number) for number in range(300)]
    else:
        assert found.written is not None
        texts = list(found.written(_numbers(0, 300)))
    assert [json.loads(text) for text in texts] == once


def test_values_are_distributed_as_they_say() -> None:
    chosen = collections.Counter(_first({"choice": ["a", "b", "c"], "weights": [3, 1, 0]}))
    assert 2800 < chosen["a"] < 3200
    assert chosen["a"] + chosen["b"] == 4000
    assert set(_first({"int": [1, 6]})) == {1, 2, 3, 4, 5, 6}
    prices = sorted(_first({"lognormal": {"median": 20, "p99": 300}}))
    assert 18 < prices[2000] < 22
    assert 200 < prices[3960] < 450
    normal = _first({"normal": {"mean": 50, "sd": 10}})
    assert 49 < float(np.mean(normal)) < 51
    assert 9 < float(np.std(normal)) < 11
    ranks = collections.Counter(_first({"zipf": 1000, "exponent": 1.1}))
    assert ranks[1] > 1.7 * ranks[2] > 0
    assert {len(text) for text in _first({"text": [3, 5]})} == {3, 4, 5}
    assert len(set(_first({"uuid": True}))) == 4000
    lengths = collections.Counter(map(len, _first({"list": "x", "length": [0, 2]})))
    assert set(lengths) == {0, 1, 2}


def test_times_are_off_by_what_is_asked() -> None:
    found = _drawn({"timestamp": "s", "late": {"share": 0.25, "by": "10m"}})
    off = [found.of(number) for number in range(4000)]
    assert found.timed is not None
    assert found.timed(1_700_000_000_123) == 1_700_000_000
    assert set(off) == {0, -600_000}
    assert 900 < off.count(-600_000) < 1100
    jitter = _first({"timestamp": "ms", "jitter": "5s"})
    assert -5000 <= min(jitter) < -4000
    assert 4000 < max(jitter) <= 5000


@pytest.mark.parametrize(
    ("spec", "member", "message"),
    [
        ({"choice": ["a", "b"], "weights": [0, 0]}, "weights", "all 0"),
        ({"choice": ["a", "b"], "weights": [1]}, "weights", "2, one for each"),
        ({"choice": ["a", "b"], "weights": [1, -1]}, "weights", "-1"),
        ({"choice": []}, "choice", "not a list"),
        ({"choice": "DE"}, "choice", "not a list"),
        ({"choice": ["$copy.userId"]}, "", "not known inside"),
        ({"choice": ["a"], "wieghts": [1]}, "", "wieghts"),
        ({"int": [9, 1]}, "int", "nothing lies"),
        ({"normal": {"mean": 1}}, "normal", "mean and sd"),
        ({"lognormal": {"median": 5, "p99": 1}}, "lognormal", "median ≤ p99"),
        ({"zipf": 0}, "zipf", "found 0"),
        ({"text": -1}, "text", "found -1"),
        ({"list": {"int": [1, 2]}}, "length", "found None"),
        ({"timestamp": "ms", "late": {"share": 2, "by": "1s"}}, "late", "share 2"),
        ({"timestamp": "ms", "jitter": "2d"}, "jitter", "2d"),
        ({"faker": "cuontry"}, "faker", "no provider"),
        ({"faker": "country", "locale": "xx_XX"}, "faker", "no locale"),
        ({"faker": "country", "arguments": {"x": 1}}, "faker", "fails"),
    ],
)
def test_what_cannot_be_drawn_is_refused(spec: dict[str, Any], member: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        _drawn(spec)
    assert message in caught.value.message
    assert caught.value.member == member


@pytest.mark.parametrize(
    "value", [{"text": "hello"}, {"uuid": "x"}, {"int": 5}, {"text": 5, "author": "me"}, [1], "a"]
)
def test_plain_data_stays_plain(value: Any) -> None:
    assert word_of(value) is None
