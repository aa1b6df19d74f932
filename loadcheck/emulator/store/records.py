"""Events as the export and the user's activity show them."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
