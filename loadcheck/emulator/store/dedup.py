"""Which events came already: by ``insert_id`` and device, for seven days."""

from __future__ import annotations

from array import array

from loadcheck.emulator.store.probing import ProbingTable

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
