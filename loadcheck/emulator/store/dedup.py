"""Which events came already: by ``insert_id`` and device, for seven days.

An open-addressing hash table of numbers, 12 to 16 bytes an entry where a dict takes 200.

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


WINDOW_MS = 7 * 24 * 3_600_000  # [D] HTTP V2 API


class InsertIds:
    """The ``insert_id``s seen, each with its device and the time it came.

    The device is given as a number: that of an explicit ``device_id``, or -1 - the user's number
    where the device is derived from the user.
    """

    __slots__ = ("_devices", "_ends", "_seen_ms", "_table", "_text")

    def __init__(self) -> None:
        self._table = ProbingTable()
        self._text = bytearray()
        self._ends = array("Q", [0])
        self._devices = array("i")
        self._seen_ms = array("q")

    def __len__(self) -> int:
        return len(self._devices)

    def __getitem__(self, number: int) -> str:
        return self._text[self._ends[number] : self._ends[number + 1]].decode(
            "utf-8", "surrogatepass"
        )

    def add(self, insert_id: str, device: int, now_ms: int) -> int:
        """Return the number of a new entry, or -1 if the pair came within the last seven days."""
        key_hash = hash((insert_id, device))
        table = self._table
        slots, hashes = table.slots, table.hashes
        position = key_hash & table.mask
        while slot := slots[position]:
            number = slot - 1
            if (
                hashes[number] == key_hash
                and self._devices[number] == device
                and now_ms - self._seen_ms[number] < WINDOW_MS
                and self[number] == insert_id
            ):
                return -1
            position += 1
        self._text += insert_id.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._text))
        self._devices.append(device)
        self._seen_ms.append(now_ms)
        return table.insert(key_hash, position)
