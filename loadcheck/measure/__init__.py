"""What is recorded during a run: pure data that merges by ``a + b``.

Here is what all records have in common: they are compared, merged and sent by their state; and the
ledger, which copies were sent and with which outcome, as one compressed bitmap per outcome.
"""

from __future__ import annotations

import base64
import binascii
import enum
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap


class Recorded:
    """A record that can be sent to another process and added to others of its kind.

    While it is filled it knows the clock of its own process: the monotonic reading at which the
    load began. That reading means nothing elsewhere and is not part of its state. All instants
    that it holds are nanoseconds since the load began, so ``a + b`` is right whatever the clocks
    of the processes that recorded ``a`` and ``b``. A record that was added up or unpickled is for
    reading only.

    Adding is associative and commutative.
    """

    __slots__ = ()

    @abstractmethod
    def __getstate__(self) -> tuple[Any, ...]:
        """Return its whole state."""

    @abstractmethod
    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take what :meth:`__getstate__` returned."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    __hash__ = None  # type: ignore[assignment]  # mutable


class Settled(tuple[Any, ...]):
    """A tuple of values that no longer change: it is sent without being traversed again."""

    __slots__ = ()


def known_sum(values: Iterable[Any]) -> Any:
    """Return the sum of numbers; None if one of them is None, that is, unknown."""
    found = list(values)
    return None if None in found else sum(found)


Sparse = tuple[bytes, bytes]
"""The nonzero entries of an array: their places and their values."""


def pack(counts: npt.NDArray[Any]) -> Sparse:
    """Return the nonzero entries of a flat array of counts."""
    # flatnonzero is ten times as fast on booleans as on numbers
    places = np.flatnonzero(counts != 0)
    return places.astype("<u4").tobytes(), counts[places].astype("<u8").tobytes()


def unpack(packed: Sparse, counts: npt.NDArray[Any]) -> None:
    """Add to a flat array what :func:`pack` returned."""
    places, values = packed
    gained = np.frombuffer(values, dtype="<u8").astype(counts.dtype, copy=False)
    np.add.at(counts, np.frombuffer(places, dtype="<u4"), gained)


_CHUNK = 1 << 18
"""Numbers of a set that are handled at a time: no array of all copies is ever needed."""


def array_of(numbers: BitMap) -> npt.NDArray[np.int64]:
    """Return the numbers of a set, ascending."""
    return np.array(numbers.to_array(), dtype=np.int64)


def in_chunks(numbers: BitMap) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the numbers of a set, ascending, a few at a time."""
    for begin in range(0, len(numbers), _CHUNK):
        yield array_of(numbers[begin : begin + _CHUNK])


def bitmap(numbers: npt.NDArray[Any]) -> BitMap:
    """Return numbers as a bitmap; built from a C array, which is eight times as fast."""
    listed = array("I")
    listed.frombytes(numbers.astype(np.uint32).tobytes())
    return BitMap(listed)


class Outcome(enum.Enum):
    """What is known about a copy's ingest."""

    ACKNOWLEDGED = "acknowledged"
    """The service answered, and the success criteria held."""
    REJECTED = "rejected"
    """Certainly no effect: refused before acceptance, or never sent."""
    INDETERMINATE = "indeterminate"
    """May or may not have taken effect."""


_COLUMNS = ("started", "skipped", "acknowledged", "rejected", "indeterminate")


class Ledger(Recorded):
    """Sets of copy numbers. A copy is put into ``started`` before its first byte is sent.

    Attributes:
        started: Copies whose flow has begun, for certain.
        skipped: Copies that fell due while too many were in flight, or the generator paused, and
            were never sent.
        acknowledged, rejected, indeterminate: Copies by :class:`Outcome`. Those that a lost
            generator may have started are indeterminate, but not in ``started``.
    """

    __slots__ = _COLUMNS

    def __init__(self) -> None:
        self.started = BitMap()
        self.skipped = BitMap()
        self.acknowledged = BitMap()
        self.rejected = BitMap()
        self.indeterminate = BitMap()

    def settle(self, number: int, outcome: Outcome) -> None:
        """Record the outcome of a started copy."""
        if outcome is Outcome.ACKNOWLEDGED:
            self.acknowledged.add(number)
        elif outcome is Outcome.REJECTED:
            self.rejected.add(number)
        else:
            self.indeterminate.add(number)

    @property
    def end(self) -> int:
        """The number after the last copy that fell due, or may have been started."""
        due = self.started | self.skipped | self.indeterminate
        return int(due.max()) + 1 if due else 0

    def open(self) -> BitMap:
        """Return the copies that were started and have no outcome."""
        return self.started - self.acknowledged - self.rejected - self.indeterminate

    def close(self) -> None:
        """Record every copy without an outcome as indeterminate: the run has ended."""
        self.indeterminate |= self.open()

    def __add__(self, other: Ledger) -> Ledger:
        merged = Ledger()
        for column in _COLUMNS:
            setattr(merged, column, getattr(self, column) | getattr(other, column))
        return merged

    def __getstate__(self) -> tuple[BitMap, ...]:
        return tuple(getattr(self, column) for column in _COLUMNS)

    def __setstate__(self, state: tuple[BitMap, ...]) -> None:
        for column, copies in zip(_COLUMNS, state, strict=True):
            setattr(self, column, copies)

    def to_json(self) -> dict[str, str]:
        """Return each set as a base64 string in the portable Roaring format."""
        document = {}
        for column in _COLUMNS:
            bitmap: BitMap = getattr(self, column)
            bitmap.run_optimize()
            document[column] = base64.b64encode(bitmap.serialize()).decode("ascii")
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, str]) -> Ledger:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: A column is missing or is not a serialized bitmap.
        """
        ledger = cls()
        for column in _COLUMNS:
            try:
                data = base64.b64decode(document[column], validate=True)
                setattr(ledger, column, BitMap.deserialize(data))
            except KeyError:
                raise ValueError(f"ledger: {column} is missing") from None
            except (binascii.Error, ValueError, TypeError, IndexError) as error:
                raise ValueError(f"ledger.{column}: not a serialized bitmap") from error
        return ledger
