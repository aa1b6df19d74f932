"""Stores accepted events in columns: one per core field, those of properties by shape.

Strings and property values are numbered in the order of their arrival, through hash tables of 12 to
16 bytes an entry where a dict takes 200. Also here: the ``insert_id``s, the names within the limits
of the project [D], and an event in the form of the export.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from loadcheck.emulator.config.model import TaxonomyLimits

_FIRST_SIZE = 1 << 10
_TAIL = 1 << 10


class ProbingTable:
    """Entries numbered from 0, found by their hash through linear probing.

    The owner probes itself, as a call per probe would cost more than the probe: it starts at
    ``slots[hash & mask]`` and goes on until it meets a 0; a slot holds the entry's number plus 1.
    The table does not wrap around but has a tail, which a 0 always ends.
    """

    __slots__ = ("_limit", "hashes", "mask", "slots")

    def __init__(self) -> None:
        self.hashes = array("q")
        self._resize(_FIRST_SIZE)

    def insert(self, key_hash: int, position: int) -> int:
        """Add an entry where probing ended and return its number."""
        number = len(self.hashes)
        self.hashes.append(key_hash)
        if number >= self._limit:
            self._resize((self.mask + 1) * 2)
        elif position >= len(self.slots) - 1:
            self._resize(self.mask + 1)  # for a longer tail
        else:
            self.slots[position] = number + 1
        return number

    def _resize(self, size: int) -> None:
        """Rehash all entries in one sweep in the order of their home slots.

        Each goes to the first free slot: its home, or the one after its predecessor's.
        """
        self.mask = size - 1
        self._limit = size // 2
        homes = np.array(self.hashes, dtype=np.int64) & self.mask
        order = np.argsort(homes, kind="stable")
        steps = np.arange(len(homes))
        places = np.maximum.accumulate(homes[order] - steps) + steps
        end = max(size, int(places[-1]) + 1) if len(places) else size
        slots = np.zeros(end + _TAIL, dtype=np.int32)
        slots[places] = order + 1
        self.slots = array("i")
        self.slots.frombytes(slots.tobytes())


WINDOW_MS = 7 * 24 * 3_600_000  # [D] HTTP V2 API


class InsertIds:
    """The ``insert_id``s seen, each with its device and the time it came.

    The device is given as a number: that of an explicit ``device_id``, or -1 - the user's number
    where the device is derived from the user.
    """

    __slots__ = ("_devices", "_ends", "_seen_ms", "_table", "_text")

    def __init__(self) -> None:
        self._table = ProbingTable()
        self._text = bytearray()
        self._ends = array("Q", [0])
        self._devices = array("i")
        self._seen_ms = array("q")

    def __len__(self) -> int:
        return len(self._devices)

    def __getitem__(self, number: int) -> str:
        return self._text[self._ends[number] : self._ends[number + 1]].decode(
            "utf-8", "surrogatepass"
        )

    def add(self, insert_id: str, device: int, now_ms: int) -> int:
        """Return the number of a new entry, or -1 if the pair came within the last seven days."""
        key_hash = hash((insert_id, device))
        table = self._table
        slots, hashes = table.slots, table.hashes
        position = key_hash & table.mask
        while slot := slots[position]:
            number = slot - 1
            if (
                hashes[number] == key_hash
                and self._devices[number] == device
                and now_ms - self._seen_ms[number] < WINDOW_MS
                and self[number] == insert_id
            ):
                return -1
            position += 1
        self._text += insert_id.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._text))
        self._devices.append(device)
        self._seen_ms.append(now_ms)
        return table.insert(key_hash, position)


_PROJECT = 1
_SCOPES = {"e:": "event_properties", "u:": "user_properties", "g:": "groups"}
_NAMES = {
    "app_version": "version_name",
    "device_model": "device_type",
}


def record(store: EventStore, row: int, amplitude_id: int) -> dict[str, Any]:
    """Return an event with all its fields [D] Export API."""
    time, uploaded = store.time[row], store.uploaded[row]
    client_time, client_upload = store.client_times.get(row, (time, uploaded))
    received = _time(uploaded)
    user, device, inserted = store.user[row], store.device[row], store.insert_id[row]
    user_id = None if user < 0 else store.users[user]
    device_id = derived_device(user_id or "") if device < 0 else store.devices[device]
    content: dict[str, Any] = {
        "app": _PROJECT,
        "user_id": user_id,
        "device_id": device_id,
        "amplitude_id": amplitude_id,
        "event_type": store.types[store.type[row]],
        "event_time": _time(time),
        "client_event_time": _time(client_time),
        "client_upload_time": _time(client_upload),
        "server_received_time": received,
        "server_upload_time": received,
        "processed_time": received,
        "$insert_id": None if inserted < 0 else store.insert_ids[inserted],
        "uuid": str(uuid.UUID(int=(amplitude_id << 64) | row)),
        "event_id": None,
        "session_id": -1,
        "event_properties": {},
        "user_properties": {},
        "groups": {},
        "sample_rate": None,
    }
    shape = store.shapes[store.shape[row]]
    place = store.place[row]
    for key, column in zip(shape.keys, shape.columns, strict=True):
        value = store.values[column[place]]
        scope, name = key[:2], key[2:]
        if scope in _SCOPES:
            content[_SCOPES[scope]][name] = value
        else:
            content[_NAMES.get(name, name)] = value
    return content


def derived_device(user_id: str) -> str:
    """Return the device id of events sent without one: a hash of the user id [D]."""
    return hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()[:36] + "R"


def _time(epoch_ms: int) -> str:
    moment = dt.datetime.fromtimestamp(epoch_ms / 1000, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


class Taxonomy:
    """The names of a project in the order of their arrival, which decides about their limits.

    Attributes:
        store: The events that have these names.
    """

    def __init__(self, limits: TaxonomyLimits, store: EventStore) -> None:
        self._limits = limits
        self.store = store
        self._known_shapes = 0
        self._places: dict[str, int] = {}
        self._counts = {"e:": 0, "u:": 0}

    def queryable_type(self, number: int) -> bool:
        """Return whether the event type of this number can be queried."""
        most = self._limits.event_types
        return number >= 0 and (most is None or number < most)

    def queryable_property(self, key: str) -> bool:
        """Return whether a property can be queried."""
        scope = key[:2]
        most = self._limits.event_properties if scope == "e:" else self._limits.user_properties
        if most is None or scope not in self._counts:
            return True
        self._take_stock()
        return self._places.get(key, 0) < most

    def _take_stock(self) -> None:
        for shape in self.store.shapes[self._known_shapes :]:
            for key in shape.keys:
                scope = key[:2]
                if scope in self._counts and key not in self._places:
                    self._places[key] = self._counts[scope]
                    self._counts[scope] += 1
        self._known_shapes = len(self.store.shapes)


MAX_TEXT = 1024  # characters; longer values are truncated, not refused [D] Limits


class Values:
    """Maps JSON values to numbers and back. 1, 1.0, true and "1" are four values."""

    __slots__ = ("_numbers", "_values")

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._numbers: dict[type, dict[Any, int]] = {
            kind: {} for kind in (str, int, float, bool, type(None), list, dict)
        }

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, number: int) -> Any:
        return self._values[number]

    def add(self, value: Any) -> int:
        """Return the number of ``value``, which is the next one if it was not there."""
        kind = type(value)
        key = value
        if kind is str and len(value) > MAX_TEXT:
            key = value = value[:MAX_TEXT]
        elif kind is list or kind is dict:
            key = orjson.dumps(value)
        numbers = self._numbers[kind]
        number = numbers.get(key)
        if number is None:
            number = numbers[key] = len(self._values)
            self._values.append(value)
        return number

    @property
    def has_lists(self) -> bool:
        """Whether one of the values is a list."""
        return bool(self._numbers[list])

    def labelled(self, label: str) -> list[int]:
        """Return the numbers of the values that a query writes as ``label``; lists excluded."""
        found = []
        if label == "(none)" and None in self._numbers[type(None)]:
            found.append(self._numbers[type(None)][None])
        text = self._numbers[str].get(label)
        if text is not None:
            found.append(text)
        if label in ("true", "false"):
            flag = self._numbers[bool].get(label == "true")
            if flag is not None:
                found.append(flag)
        try:
            whole = self._numbers[int].get(int(label))
        except ValueError:
            whole = None
        if whole is not None and str(self._values[whole]) == label:
            found.append(whole)
        try:
            number = self._numbers[float].get(float(label))
        except ValueError:
            number = None
        if number is not None and label_of(self._values[number]) == label:
            found.append(number)
        return found


def label_of(value: Any) -> str:
    """Return a value as queries and group-bys write it."""
    if type(value) is str:
        return value
    if value is None:
        return "(none)"
    return orjson.dumps(value).decode()


class StringIndex:
    """Maps strings to numbers and back, in about 30 bytes per string besides its text."""

    __slots__ = ("_ends", "_table", "_text")

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q", [0])
        self._table = ProbingTable()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        return self._text[self._ends[number] : self._ends[number + 1]].decode(
            "utf-8", "surrogatepass"
        )

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))

    def find(self, text: str) -> int:
        """Return the number of ``text``, or -1 if it is not there."""
        return self._look_up(text)[0]

    def add(self, text: str) -> int:
        """Return the number of ``text``, which is the next one if it was not there."""
        number, position = self._look_up(text)
        if number >= 0:
            return number
        self._text += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._text))
        return self._table.insert(hash(text), position)

    def _look_up(self, text: str) -> tuple[int, int]:
        """Return the number of ``text`` or -1, and its present or future position in the table."""
        key_hash = hash(text)
        table = self._table
        slots, hashes = table.slots, table.hashes
        position = key_hash & table.mask
        while slot := slots[position]:
            if hashes[slot - 1] == key_hash and self[slot - 1] == text:
                return slot - 1, position
            position += 1
        return -1, position


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
        insert_ids: The ``insert_id``s, expired ones included.
        owners: For every device the first user seen on it, -1 for none; shorter than ``devices``
            if the last devices have none.
        client_times: For the few events whose time was shifted, their original time and when they
            were sent, both by the client's clock, in ms since the epoch.
        erased: How many events were deleted.
    """

    ERASED = 2**63 - 1
    """When deleted events become visible: never."""

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
        """Add an event. Numbers are those of the indexes; -1 means none.

        Arguments are positional, as this is the hot path.
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
        """Return for every event the user it counts for.

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
