"""The store as one query sees it: copied at one instant, so that it may be read in a thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from loadcheck.emulator.store.events import EventStore, Ints
from loadcheck.emulator.store.records import Taxonomy
from loadcheck.emulator.store.values import StringIndex, Values, label_of

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
    """A property."""

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
    """A user or device id."""

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
        """Return an id."""
        return self._ids[code]


class View:
    """What a query needs of the store.

    Attributes:
        types: The event type of every event, as a number.
        times: When it happened.
        visible: From when on it is counted.
        people: Whom it counts for, as a number.
        population: How many such numbers there are.
        columns: The properties asked for.
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
