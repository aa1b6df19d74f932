"""An open-addressing hash table of numbers, 12 to 16 bytes an entry where a dict takes 200.

It knows hashes only; whether an entry of the same hash is the same thing, its owner decides.
"""

from __future__ import annotations

from array import array

import numpy as np

_FIRST_SIZE = 1 << 10
_TAIL = 1 << 10


class ProbingTable:
    """Entries numbered from 0, found by their hash through linear probing.

    The owner probes by itself, as a call per probe would cost more than the probe: it starts at
    ``slots[hash & mask]`` and goes on until it meets a 0; a slot holds the entry's number plus 1.
    The table does not wrap around but has a tail, which a 0 always ends.
    """

    __slots__ = ("_limit", "hashes", "mask", "slots")

    def __init__(self) -> None:
        self.hashes = array("q")
        self._resize(_FIRST_SIZE)

    def insert(self, key_hash: int, position: int) -> int:
        """Add an entry where probing ended and return its number."""
        number = len(self.hashes)
        self.hashes.append(key_hash)
        if number >= self._limit:
            self._resize((self.mask + 1) * 2)
        elif position >= len(self.slots) - 1:
            self._resize(self.mask + 1)  # for a longer tail
        else:
            self.slots[position] = number + 1
        return number

    def _resize(self, size: int) -> None:
        """Place all entries anew, in one sweep in the order of their home slots.

        Each goes to the first free slot: its home, or the one after its predecessor's.
        """
        self.mask = size - 1
        self._limit = size // 2
        homes = np.array(self.hashes, dtype=np.int64) & self.mask
        order = np.argsort(homes, kind="stable")
        steps = np.arange(len(homes))
        places = np.maximum.accumulate(homes[order] - steps) + steps
        end = max(size, int(places[-1]) + 1) if len(places) else size
        slots = np.zeros(end + _TAIL, dtype=np.int32)
        slots[places] = order + 1
        self.slots = array("i")
        self.slots.frombytes(slots.tobytes())
