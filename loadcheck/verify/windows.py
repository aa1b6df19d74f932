"""Outages: stretches of send order in which users are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_LEAST_LOST = 5
_LEAST_PER_BUCKET = 2.5
_LEAST_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A run of neighbouring short buckets.

    Attributes:
        first: Its first bucket in send order.
        last: Its last one.
        lost: Users that are certainly missing from it.
        sent: Acknowledged users in it.
    """

    first: int
    last: int
    lost: int
    sent: int


def windows(missing: Ints, sent: Ints) -> tuple[Window, ...]:
    """Return the outages among the buckets in send order.

    Scattered losses make short runs with one missing user a bucket, and are no outage: a window
    has at least five, and either 2.5 a bucket or half of those sent in it.

    Args:
        missing: Users that are certainly missing from each bucket.
        sent: Acknowledged users in each.
    """
    found = []
    for first, last in _runs(missing > 0):
        lost, users = int(missing[first : last + 1].sum()), int(sent[first : last + 1].sum())
        dense = lost >= _LEAST_PER_BUCKET * (last - first + 1) or lost >= _LEAST_SHARE * users
        if lost >= _LEAST_LOST and dense:
            found.append(Window(first=first, last=last, lost=lost, sent=users))
    return tuple(found)


def _runs(short: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the first and last index of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], short, [False])).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2).tolist():
        yield begin, end - 1
