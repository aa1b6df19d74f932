"""Property values numbered in the order of their arrival, without losing their type.

Strings numbered in the order of their arrival.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import orjson

from loadcheck.emulator.store.dedup import ProbingTable

MAX_TEXT = 1024  # characters; longer values are truncated, not refused [D] Limits


class Values:
    """Maps JSON values to numbers and back. 1, 1.0, true and "1" are four values."""

    __slots__ = ("_numbers", "_values")

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._numbers: dict[type, dict[Any, int]] = {
            kind: {} for kind in (str, int, float, bool, type(None), list, dict)
        }

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, number: int) -> Any:
        return self._values[number]

    def add(self, value: Any) -> int:
        """Return the number of ``value``, which is the next one if it was not there."""
        kind = type(value)
        key = value
        if kind is str and len(value) > MAX_TEXT:
            key = value = value[:MAX_TEXT]
        elif kind is list or kind is dict:
            key = orjson.dumps(value)
        numbers = self._numbers[kind]
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(self._values)
            self._values.append(value)
        return number

    @property
    def has_lists(self) -> bool:
        """Whether one of the values is a list."""
        return bool(self._numbers[list])

    def labelled(self, label: str) -> list[int]:
        """Return the numbers of the values that a query writes as ``label``; lists excluded."""
        found = []
        if label == "(none)" and None in self._numbers[type(None)]:
            found.append(self._numbers[type(None)][None])
        text = self._numbers[str].get(label)
        if text is not None:
            found.append(text)
        if label in ("true", "false"):
            flag = self._numbers[bool].get(label == "true")
            if flag is not None:
                found.append(flag)
        try:
            whole = self._numbers[int].get(int(label))
        except ValueError:
            whole = None
        if whole is not None and str(self._values[whole]) == label:
            found.append(whole)
        try:
            number = self._numbers[float].get(float(label))
        except ValueError:
            number = None
        if number is not None and label_of(self._values[number]) == label:
            found.append(number)
        return found


def label_of(value: Any) -> str:
    """Return a value as queries and group-bys write it."""
    if type(value) is str:
        return value
    if value is None:
        return "(none)"
    return orjson.dumps(value).decode()


class StringIndex:
    """Maps strings to numbers and back, in some 30 bytes a string beyond its text."""

    __slots__ = ("_ends", "_table", "_text")

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q", [0])
        self._table = ProbingTable()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        return self._text[self._ends[number] : self._ends[number + 1]].decode(
            "utf-8", "surrogatepass"
        )

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))

    def find(self, text: str) -> int:
        """Return the number of ``text``, or -1 if it is not there."""
        key_hash = hash(text)
        table = self._table
        slots, hashes = table.slots, table.hashes
        position = key_hash & table.mask
        while slot := slots[position]:
            if hashes[slot - 1] == key_hash and self[slot - 1] == text:
                return slot - 1
            position += 1
        return -1

    def add(self, text: str) -> int:
        """Return the number of ``text``, which is the next one if it was not there."""
        key_hash = hash(text)
        table = self._table
        slots, hashes = table.slots, table.hashes
        position = key_hash & table.mask
        while slot := slots[position]:
            if hashes[slot - 1] == key_hash and self[slot - 1] == text:
                return slot - 1
            position += 1
        self._text += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._text))
        return table.insert(key_hash, position)
