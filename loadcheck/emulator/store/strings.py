"""Strings numbered in the order of their arrival."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from loadcheck.emulator.store.probing import ProbingTable


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
