"""The store as one query sees it: copied at one instant, so that a thread may read it.

Conditions and groups are evaluated once per distinct value of a property instead of once per event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from loadcheck.emulator.store import EventStore, Ints, StringIndex, Taxonomy, Values, label_of

OPERATORS = (
    "is",
    "is not",
    "contains",
    "does not contain",
    "less",
    "less or equal",
    "greater",
    "greater or equal",
    "set is",
    "set is not",
)
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "less": lambda left, right: left < right,
    "less or equal": lambda left, right: left <= right,
    "greater": lambda left, right: left > right,
    "greater or equal": lambda left, right: left >= right,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on one property.

    Attributes:
        key: The property, as the store keys it.
        op: One of :data:`OPERATORS`.
        values: The values to compare with; one match is enough.
    """

    key: str
    op: str
    values: tuple[str, ...]

    def mask(self, column: Column, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which of these codes of a column meet the condition."""
        if self.op in ("is", "is not") and not column.has_lists:
            wanted = np.array(column.find(self.values), dtype=np.int32)
            found = np.isin(codes, wanted)
            return found if self.op == "is" else ~found
        # one entry per code, the absent value (-1) first
        size = int(codes.max(initial=-1)) + 2
        present = np.zeros(size, dtype=bool)
        present[codes + 1] = True
        holds = np.zeros(size, dtype=bool)
        for place in np.flatnonzero(present).tolist():
            holds[place] = self.holds(None if place == 0 else column.value(place - 1))
        return holds[codes + 1]

    def holds(self, value: Any) -> bool:
        """Return whether a property of this value meets the condition; None: it is absent.

        A list meets a condition if one of its elements does; a negated one, if none does.
        """
        elements = value if type(value) is list else [value]
        labels = [label_of(element) for element in elements]
        if self.op in ("is", "is not"):
            return any(label in self.values for label in labels) == (self.op == "is")
        if self.op in ("set is", "set is not"):
            return (set(labels) == set(self.values)) == (self.op == "set is")
        if self.op in ("contains", "does not contain"):
            # without case [U]; an absent property contains nothing
            texts = [label.lower() for label in labels] if value is not None else []
            found = any(wanted.lower() in text for text in texts for wanted in self.values)
            return found == (self.op == "contains")
        return _compares(elements, self.op, self.values)


def _compares(elements: Sequence[Any], op: str, values: Sequence[str]) -> bool:
    compare = _COMPARISONS[op]
    left = [number for element in elements if (number := _number(element)) is not None]
    right = [number for value in values if (number := _number(value)) is not None]
    return any(compare(one, other) for one in left for other in right)


def _number(value: Any) -> float | None:
    if type(value) is bool or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Groups:
    """Events and the group of each.

    Attributes:
        rows: The events; an event in several groups is repeated.
        codes: The group number of each.
        labels: The values that make up each group; those seen, in alphabetical order.
    """

    rows: NDArray[np.integer[Any]]
    codes: NDArray[np.int64]
    labels: list[tuple[str, ...]]

    def only(self, kept: NDArray[np.integer[Any]]) -> Groups:
        """Return the groups of these numbers, in this order."""
        if len(kept) == len(self.labels) == 1:  # as without a group_by: nothing to sort
            return self
        places = np.full(len(self.labels), -1)
        places[kept] = np.arange(len(kept))
        rows, codes = self.rows, places[self.codes]
        if len(kept) < len(self.labels):
            inside = codes >= 0
            rows, codes = rows[inside], codes[inside]
        return Groups(rows, codes, [self.labels[number] for number in kept.tolist()])


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
    """Return the rows (repeated for lists), the index of each in ``rows``, codes and labels."""
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


NONE = "(none)"


class Column(Protocol):
    """The values of one property: a code per event, -1 where it is absent."""

    codes: Ints

    @property
    def has_lists(self) -> bool:
        """Whether a value may be a list."""
        ...

    def find(self, labels: Iterable[str]) -> list[int]:
        """Return the codes of the values with these labels; lists excluded."""
        ...

    def value(self, code: int) -> Any:
        """Return the value of a code."""
        ...


class PropertyColumn:
    """The column of a property."""

    __slots__ = ("_values", "codes")

    def __init__(self, codes: Ints, values: Values) -> None:
        self.codes = codes
        self._values = values

    @property
    def has_lists(self) -> bool:
        """Whether a value may be a list."""
        return self._values.has_lists

    def find(self, labels: Iterable[str]) -> list[int]:
        """Return the codes of the values with these labels; lists excluded."""
        found: list[int] = []
        for label in labels:
            found += self._values.labelled(label)
            if label == NONE:
                found.append(-1)
        return found

    def value(self, code: int) -> Any:
        """Return the value of a code."""
        return self._values[code]


class IdColumn:
    """The column of the user ids or the device ids."""

    __slots__ = ("_ids", "codes")

    has_lists = False

    def __init__(self, codes: Ints, ids: StringIndex) -> None:
        self.codes = codes
        self._ids = ids

    def find(self, labels: Iterable[str]) -> list[int]:
        """Return the codes of these ids."""
        found = [self._ids.find(label) for label in labels if label != NONE]
        found = [code for code in found if code >= 0]
        return [*found, -1] if NONE in labels else found

    def value(self, code: int) -> Any:
        """Return the id of a code."""
        return self._ids[code]


class View:
    """What a query needs of the store.

    Attributes:
        types: The event type of every event, as a number.
        times: When it happened, in ms since the epoch.
        visible: From when on it is counted, likewise.
        people: The number of the person it counts for.
        population: How many such numbers there are.
        columns: The requested properties, by key.
    """

    def __init__(self, store: EventStore, keys: Iterable[str], taxonomy: Taxonomy) -> None:
        self.types = np.array(store.type, dtype=np.int32)
        self.times = np.array(store.time, dtype=np.int64)
        self.visible = np.array(store.visible, dtype=np.int64)
        self.people = store.identities()
        self.population = len(store.users) + len(store.devices)
        self.columns: dict[str, Column] = {
            key: _column(store, key if taxonomy.queryable_property(key) else "") for key in keys
        }


def _column(store: EventStore, key: str) -> Column:
    if key == "user_id":
        return IdColumn(np.array(store.user, dtype=np.int32), store.users)
    if key == "device_id":
        return IdColumn(np.array(store.device, dtype=np.int32), store.devices)
    return PropertyColumn(store.column(key), store.values)


def labels_of(value: Any) -> list[str]:
    """Return the labels under which a value is grouped: each element of a list is one."""
    if type(value) is list:
        return sorted({label_of(element) for element in value}) or [NONE]
    return [label_of(value)]
