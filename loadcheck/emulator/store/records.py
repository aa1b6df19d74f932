"""Events as the export and the user's activity show them.

Which names a query finds: a project has room for so many, the rest is stored unseen [D].
"""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from typing import Any

from loadcheck.emulator.config.model import TaxonomyLimits
from loadcheck.emulator.store.events import EventStore

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
    """Return the device id of events that came without: a hash of the user id [D]."""
    return hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()[:36] + "R"


def _time(epoch_ms: int) -> str:
    moment = dt.datetime.fromtimestamp(epoch_ms / 1000, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


class Taxonomy:
    """The names of a project in the order in which they came.

    Attributes:
        store: The events whose names they are.
    """

    def __init__(self, limits: TaxonomyLimits, store: EventStore) -> None:
        self._limits = limits
        self.store = store
        self._known_shapes = 0
        self._places: dict[str, int] = {}
        self._counts = {"e:": 0, "u:": 0}

    def queryable_type(self, number: int) -> bool:
        """Return whether the event type of this number can be asked for."""
        most = self._limits.event_types
        return number >= 0 and (most is None or number < most)

    def queryable_property(self, key: str) -> bool:
        """Return whether a property can be asked for."""
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
