"""Counts by bucket, and what must hold before they are believed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.workflow.identity import read_label, size

Ints = npt.NDArray[np.int64]

_TOO_MANY = 2**63
_DECIMAL = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One group-by that was found good.

    Attributes:
        name: The partition.
        counts: What the service counts in each bucket.
    """

    name: str
    counts: Ints

    @property
    def total(self) -> int:
        """The sum over all buckets."""
        return int(self.counts.sum())


def read_tally(name: str, labels: Any, values: Any, *, limit: int, expected: Ints) -> Tally | str:
    """Return the counts of an answer, or why it is no evidence.

    A service keeps the largest groups and drops the rest, and the smallest are those from which
    most is missing. So fewer rows than the limit must have come, each with a label that was sent;
    that they add up to the count without groups is for the caller to see.

    Args:
        name: The partition.
        labels: One a row: a text, or an array whose last item is the text.
        values: One number a row.
        limit: The most rows that the service returns.
        expected: How many copies were sent in each bucket.
    """
    rows, numbers = _rows(labels), _rows(values)
    if len(rows) != len(numbers):
        return f"{len(rows):,} labels and {len(numbers):,} values came back"
    if len(rows) >= limit:
        return f"{len(rows):,} rows came back, as many as the service returns: some may be missing"
    counts = [0] * size(name)  # no array: a sum of absurd counts must not wrap around
    for label, value in zip(rows, numbers, strict=True):
        text = label[-1] if isinstance(label, list) and label else label
        bucket = read_label(name, text) if isinstance(text, str) else None
        count = whole(value)
        if count is None:
            return f"the row {text!r} holds no count"
        if count and (bucket is None or not expected[bucket]):
            return f"a row {text!r} came back, which was never sent"
        if bucket is not None:
            counts[bucket] += count
    if sum(counts) >= _TOO_MANY:
        return "its rows add up to more than can be counted"
    return Tally(name=name, counts=np.array(counts, dtype=np.int64))


def whole(value: Any) -> int | None:
    """Return a JSON value as a count; None if it is no whole number from zero to 2^63 - 1.

    Counts come as integers, as floats without a fraction, and as decimal strings: JSON's numbers
    are doubles to many, so services that count beyond 2^53 write strings.
    """
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            return None
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value < _TOO_MANY or value != int(value):  # NaN is not within
        return None
    return int(value)


def _rows(value: Any) -> Sequence[Any]:
    """Return the rows; an expression that gave a single value gave one row."""
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
