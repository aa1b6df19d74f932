"""Counts by bucket, and what must hold before they are believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.workflow.identity import read_label, size

Ints = npt.NDArray[np.int64]


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


def read_tally(
    name: str, labels: Any, values: Any, *, limit: int, total: int, expected: Ints
) -> Tally | str:
    """Return the counts of an answer, or why it is no evidence.

    A service keeps the largest groups and drops the rest (Amplitude Dashboard REST API, ``limit``),
    and the smallest are those from which most is missing. So fewer rows than the limit must have
    come, each with a label that was sent, and they must add up to the count without groups.

    Args:
        name: The partition.
        labels: One a row: a text, or an array whose last item is the text.
        values: One number a row.
        limit: The most rows that the service returns.
        total: The same count without groups.
        expected: How many copies were sent in each bucket.
    """
    rows, numbers = _rows(labels), _rows(values)
    if len(rows) != len(numbers):
        return f"{len(rows):,} labels and {len(numbers):,} values came back"
    if len(rows) >= limit:
        return f"{len(rows):,} rows came back, as many as the service returns: some may be missing"
    counts = np.zeros(size(name), dtype=np.int64)
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
    tally = Tally(name=name, counts=counts)
    if tally.total != total:
        return f"its rows add up to {tally.total:,}, the count without groups is {total:,}"
    return tally


def whole(value: Any) -> int | None:
    """Return a JSON value as a count; None if it is no whole number of zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value < 0 or value != int(value):
        return None
    return int(value)


def _rows(value: Any) -> Sequence[Any]:
    """Return the rows; an expression that gave a single value gave one row."""
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)
