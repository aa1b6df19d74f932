"""The events: one column per core field, and properties in tables of events of the same shape."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadcheck.emulator.store.dedup import InsertIds
from loadcheck.emulator.store.values import StringIndex, Values

Ints = NDArray[np.int32]


class Shape:
    """The events that have the same properties: for each property a column of value numbers."""

    __slots__ = ("columns", "keys", "number", "rows")

    def __init__(self, number: int, keys: tuple[str, ...]) -> None:
        self.number = number
        self.keys = keys
        self.columns = tuple(array("i") for _ in keys)
        self.rows = array("i")


class EventStore:
    """Everything that was accepted and not discarded.

    A property's key is its scope and name: ``e:`` event properties, ``u:`` user properties as
    they were at the time of the event, ``g:`` groups, ``f:`` the event's other fields.

    Attributes:
        users: The user ids.
        devices: The device ids that were sent.
        types: The event types.
        values: The property values.
        insert_ids: The ``insert_id``s of the last days and older.
        owners: For every device the first user seen on it, -1 for none; shorter than ``devices``
            where no later device has one.
        client_times: For the few events whose time was shifted, what it was before and when they
            were sent, both by the client's clock.
        erased: How many events were deleted.
    """

    ERASED = 2**63 - 1
    """When events become visible that were deleted."""

    def __init__(self) -> None:
        self.users = StringIndex()
        self.devices = StringIndex()
        self.types = StringIndex()
        self.values = Values()
        self.insert_ids = InsertIds()
        self.owners = array("i")
        self.user = array("i")
        self.device = array("i")
        self.type = array("i")
        self.time = array("q")
        self.uploaded = array("q")
        self.visible = array("q")
        self.insert_id = array("i")
        self.shape = array("i")
        self.place = array("i")
        self.shapes: list[Shape] = []
        self.client_times: dict[int, tuple[int, int]] = {}
        self.erased = 0
        self._shape_of: dict[tuple[str, ...], Shape] = {}

    def __len__(self) -> int:
        return len(self.user)

    def shape_for(self, keys: tuple[str, ...]) -> Shape:
        """Return the shape of events with these properties."""
        shape = self._shape_of.get(keys)
        if shape is None:
            shape = self._shape_of[keys] = Shape(len(self.shapes), keys)
            self.shapes.append(shape)
        return shape

    def append(
        self,
        user: int,
        device: int,
        event_type: int,
        time: int,
        uploaded: int,
        visible: int,
        insert_id: int,
        shape: Shape,
        values: Iterable[Any],
    ) -> None:
        """Add an event. Numbers are those of the indexes; -1 means that there is none.

        By position, as this is the hot path.
        """
        row = len(self.user)
        self.user.append(user)
        self.device.append(device)
        self.type.append(event_type)
        self.time.append(time)
        self.uploaded.append(uploaded)
        self.visible.append(visible)
        self.insert_id.append(insert_id)
        self.shape.append(shape.number)
        self.place.append(len(shape.rows))
        shape.rows.append(row)
        add = self.values.add
        for column, value in zip(shape.columns, values, strict=True):
            column.append(add(value))

    def erase(self, rows: Iterable[int]) -> None:
        """Make events invisible for ever."""
        for row in rows:
            self.visible[row] = self.ERASED
            self.erased += 1

    def own(self, device: int, user: int) -> None:
        """Note that a user was seen on a device; the first one counts."""
        owners = self.owners
        while len(owners) <= device:
            owners.append(-1)
        if owners[device] < 0:
            owners[device] = user

    def identities(self) -> Ints:
        """Return for every event whom it counts for.

        A user id wins; events without one count for the first user of their device, or else for
        the device itself, numbered after the users [D] Track unique users.
        """
        users = np.array(self.user, dtype=np.int32)
        anonymous = np.flatnonzero(users < 0)
        if len(anonymous):
            owners = np.full(len(self.devices), -1, dtype=np.int32)
            owners[: len(self.owners)] = self.owners
            devices = np.array(self.device, dtype=np.int32)[anonymous]
            owned = owners[devices]
            users[anonymous] = np.where(owned >= 0, owned, len(self.users) + devices)
        return users

    def counts_by_type(self) -> list[tuple[str, int]]:
        """Return the event types and how many events of each there are, the most first."""
        counts = np.bincount(np.array(self.type, dtype=np.int32), minlength=len(self.types))
        order = np.argsort(-counts, kind="stable").tolist()
        return [(self.types[number], int(counts[number])) for number in order]

    def column(self, key: str) -> Ints:
        """Return for every event the number of its value of a property, -1 where it has none."""
        column = np.full(len(self), -1, dtype=np.int32)
        for shape in self.shapes:
            if key in shape.keys and shape.rows:
                found = shape.columns[shape.keys.index(key)]
                column[np.array(shape.rows, dtype=np.int32)] = np.array(found, dtype=np.int32)
        return column
