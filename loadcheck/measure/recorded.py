"""What all records have in common: they compare, merge and travel by what they hold."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from typing import Any

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap


class Recorded:
    """A record that can be sent to another process and added to others of its kind.

    While it is filled it knows the clock of its own process: the monotonic reading at which the
    load began. That reading means nothing elsewhere and is no part of its state. All instants
    that it holds are nanoseconds since the load began, so ``a + b`` is right whatever the clocks
    of the processes that recorded ``a`` and ``b``. What was added up or unpickled is to be read,
    not to be filled further.

    Adding is associative and commutative.
    """

    __slots__ = ()

    @abstractmethod
    def __getstate__(self) -> tuple[Any, ...]:
        """Return all that it holds."""

    @abstractmethod
    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take what :meth:`__getstate__` returned."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.__getstate__() == other.__getstate__()

    __hash__ = None  # type: ignore[assignment]  # mutable


class Settled(tuple[Any, ...]):
    """A tuple of what never changes any more: it travels without being looked through again."""

    __slots__ = ()


Sparse = tuple[bytes, bytes]
"""Those entries of an array that are not zero: their places and their values."""


def pack(counts: npt.NDArray[Any]) -> Sparse:
    """Return a flat array of counts by its entries that are not zero."""
    # of truth values the places are found ten times as fast as of numbers
    places = np.flatnonzero(counts != 0)
    return places.astype("<u4").tobytes(), counts[places].astype("<u8").tobytes()


def unpack(packed: Sparse, counts: npt.NDArray[Any]) -> None:
    """Add to a flat array what :func:`pack` returned."""
    places, values = packed
    counts[np.frombuffer(places, dtype="<u4")] += np.frombuffer(values, dtype="<u8").astype(
        counts.dtype
    )


def bitmap(numbers: npt.NDArray[Any]) -> BitMap:
    """Return the set of some numbers: out of an array of C's it is made eight times as fast."""
    listed = array("I")
    listed.frombytes(numbers.astype(np.uint32).tobytes())
    return BitMap(listed)
