"""Splitting events by the values of properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loadcheck.emulator.query.view import NONE, labels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loadcheck.emulator.query.view import Column, View


@dataclass(frozen=True, slots=True)
class Groups:
    """Events and the group of each.

    Attributes:
        rows: The events; one stands here several times if it belongs to several groups.
        codes: The number of the group of each.
        labels: The values that make up each group; those seen, in alphabetical order.
    """

    rows: NDArray[np.integer[Any]]
    codes: NDArray[np.int64]
    labels: list[tuple[str, ...]]


def group(view: View, rows: NDArray[np.integer[Any]], keys: Sequence[str]) -> Groups:
    """Split events by properties; without any they are one group."""
    if not keys:
        return Groups(rows, np.zeros(len(rows), dtype=np.int64), [()])
    parts: list[tuple[NDArray[np.int64], list[str]]] = []
    for key in keys:
        rows, kept, codes, labels = _split(view.columns[key], rows)
        parts = [(earlier[kept], names) for earlier, names in parts]
        parts.append((codes, labels))
    combined = np.zeros(len(rows), dtype=np.int64)
    for codes, labels in parts:
        combined = combined * len(labels) + codes
    distinct, places = np.unique(combined, return_inverse=True)
    names = []
    for code in distinct.tolist():
        rest, label = code, []
        for _, labels in reversed(parts):
            rest, place = divmod(rest, len(labels))
            label.append(labels[place])
        names.append(tuple(reversed(label)))
    return Groups(rows, places.astype(np.int64), names)


def _split(
    column: Column, rows: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.integer[Any]], NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return the rows, which of the given ones each was, their codes, and what these mean."""
    codes = column.codes[rows]
    distinct, places = np.unique(codes, return_inverse=True)
    names = [[NONE] if code < 0 else labels_of(column.value(code)) for code in distinct.tolist()]
    labels = sorted({name for found in names for name in found})
    number = {name: place for place, name in enumerate(labels)}
    kept = np.arange(len(rows))
    if all(len(found) == 1 for found in names):
        first = np.array([number[found[0]] for found in names], dtype=np.int64)
        return rows, kept, first[places] if names else first, labels
    # a list counts for each of its elements
    lengths = np.array([len(found) for found in names])
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    flat = np.array([number[name] for found in names for name in found], dtype=np.int64)
    kept = np.repeat(kept, lengths[places])
    offsets = np.arange(len(kept)) - np.repeat(
        np.cumsum(lengths[places]) - lengths[places], lengths[places]
    )
    return rows[kept], kept, flat[starts[places][kept] + offsets], labels
