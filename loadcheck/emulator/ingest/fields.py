"""What an event may hold: the fields of the HTTP V2 and Batch APIs and their types [D]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_TEXT = 1024
MAX_DEPTH = 40
LATEST_MS = 253_402_300_799_999  # the year 9999; [U]: no bound is documented
MIN_ID_LENGTH = 5

_TEXT = (
    "user_id device_id event_type app_version platform os_name os_version device_brand "
    "device_manufacturer device_model carrier country region city dma language productId "
    "revenueType ip idfa idfv adid android_id insert_id user_agent library currency "
    "partner_id source_id version_name product_id revenue_type android_app_set_id"
)
_NUMBER = "price revenue location_lat location_lng"
_WHOLE = "time event_id session_id quantity"
_TABLE = "event_properties user_properties groups group_properties plan ingestion_metadata"
_FLAG = "$skip_user_properties_sync"

TYPES: Mapping[str, type] = {
    **dict.fromkeys(_TEXT.split(), str),
    **dict.fromkeys(_NUMBER.split(), float),
    **dict.fromkeys(_WHOLE.split(), int),
    **dict.fromkeys(_TABLE.split(), dict),
    _FLAG: bool,
}
"""The type of every known field. Null stands for absent, unknown fields are ignored [U].

Of the event types that are reserved [D], ``$identify`` and ``$groupidentify`` update properties,
and ``[Amplitude] …`` are events as any other: SDKs send them [S].
"""

CORE = frozenset(
    {
        "user_id",
        "device_id",
        "event_type",
        "time",
        "insert_id",
        "event_properties",
        "user_properties",
        "groups",
        _FLAG,
    }
)
"""Fields with a place of their own in the store; the others are kept as properties."""

FORBIDDEN_IDS = frozenset(
    {
        "anonymous",
        "nil",
        "none",
        "null",
        "n/a",
        "na",
        "undefined",
        "unknown",
        "",
        "00000000-0000-0000-0000-000000000000",
        "{}",
        "lmy47d",
        "0",
        "-1",
    }
)
"""Ids that no user or device may have [D] HTTP V2 API; compared without case [U]."""

_LONGEST_FORBIDDEN = max(map(len, FORBIDDEN_IDS))


def forbidden(identifier: str) -> bool:
    """Return whether no user or device may have this id."""
    return len(identifier) <= _LONGEST_FORBIDDEN and identifier.lower() in FORBIDDEN_IDS


def fits(value: object, expected: type) -> bool:
    """Return whether a value that is not exactly of the expected type may stand for it."""
    if value is None:
        return True
    # JSON knows one kind of number; true and false are not numbers
    return expected is float and type(value) is int


def too_deep(value: object, levels: int = MAX_DEPTH) -> bool:
    """Return whether objects and lists are nested deeper than allowed [D] HTTP V2 API."""
    layer: list[Any] = [value]
    for _ in range(levels):
        layer = [
            inner
            for entry in layer
            for inner in (entry.values() if type(entry) is dict else entry)
            if type(inner) in (dict, list)
        ]
        if not layer:
            return False
    return True
