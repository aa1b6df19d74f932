"""Which copies were sent and what became of each: one compressed bitmap per answer."""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Mapping

from pyroaring import BitMap

from loadcheck.measure.recorded import Recorded


class Outcome(enum.Enum):
    """What is known of a copy's ingest."""

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
        started: Copies whose flow has begun.
        skipped: Copies that fell due while too many were in flight, and were never sent.
        acknowledged, rejected, indeterminate: Started copies by :class:`Outcome`.
    """

    __slots__ = _COLUMNS

    def __init__(self) -> None:
        self.started = BitMap()
        self.skipped = BitMap()
        self.acknowledged = BitMap()
        self.rejected = BitMap()
        self.indeterminate = BitMap()

    def settle(self, number: int, outcome: Outcome) -> None:
        """Enter the outcome of a started copy."""
        if outcome is Outcome.ACKNOWLEDGED:
            self.acknowledged.add(number)
        elif outcome is Outcome.REJECTED:
            self.rejected.add(number)
        else:
            self.indeterminate.add(number)

    def open(self) -> BitMap:
        """Return the copies that were started and have no outcome."""
        return self.started - self.acknowledged - self.rejected - self.indeterminate

    def close(self) -> None:
        """Enter every copy without an outcome as indeterminate: the run ended without it."""
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
