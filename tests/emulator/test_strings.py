"""The index of strings against a dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadcheck.emulator.store import ProbingTable, StringIndex


@given(st.lists(st.text(st.characters(codec=None), max_size=3)))
def test_numbers_strings_like_a_dict(texts: list[str]) -> None:
    index, known = StringIndex(), dict[str, int]()
    for text in texts:
        assert index.find(text) == known.get(text, -1)
        assert index.add(text) == known.setdefault(text, len(known))
    assert list(index) == list(known)
    assert all(index.find(text) == number for text, number in known.items())


def test_survives_growing() -> None:
    index = StringIndex()
    names = [f"user-{number}" for number in range(20_000)]
    assert [index.add(name) for name in names] == list(range(20_000))
    assert [index.find(name) for name in names] == list(range(20_000))
    assert index.find("user-20000") == -1


def test_probing_survives_many_equal_hashes() -> None:
    table = ProbingTable()
    last = 0
    for number in range(3000):
        position = table.mask  # all at the last home slot: only the tail is left
        while table.slots[position]:
            position += 1
        assert table.insert(-1, position) == number
        last = number
    assert sorted(slot for slot in table.slots if slot) == list(range(1, last + 2))
    assert table.slots[-1] == 0
