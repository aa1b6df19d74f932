"""Checks the events of an upload, which is accepted or refused as a whole.

Fields, their types and the refusals are those of the HTTP V2 and Batch APIs [D].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadcheck.emulator.message import Answer, json_answer

Indexes = dict[str, list[int]]
"""Field → indexes of the events in which it is wrong."""


class EventProblems:
    """What is wrong with the events of one upload, by field and index."""

    __slots__ = ("invalid", "lengths", "missing")

    def __init__(self) -> None:
        self.invalid: Indexes = {}
        self.missing: Indexes = {}
        self.lengths: Indexes = {}

    def __bool__(self) -> bool:
        return bool(self.invalid or self.missing or self.lengths)


def bad_request(error: str, **details: Any) -> Answer:
    """Return a 400 that refuses the whole request, regardless of its events."""
    return json_answer(400, {"code": 400, "error": error, **details})


def bad_key(api_key: str) -> Answer:
    """Return the refusal of an API key, in the wording that SDKs look for [S]."""
    return bad_request(f"Invalid API key: {api_key}")


def too_large() -> Answer:
    """Return the refusal of a request with too many bytes or events."""
    return json_answer(413, {"code": 413, "error": "Payload too large"})


def bad_events(problems: EventProblems, *, all_indexes: bool) -> Answer:
    """Return the refusal of events, with the wrong fields and the indexes of their events.

    ``/2/httpapi`` lists the first bad index per field, ``/batch`` all of them [D], conflicting.
    """
    if problems.missing:
        error = "Request missing required field"
    elif problems.invalid:
        error = "Invalid field values on some events"
    else:
        error = "Invalid id length for user_id or device_id"  # [S]

    def shown(indexes: Indexes) -> Indexes:
        return indexes if all_indexes else {field: found[:1] for field, found in indexes.items()}

    body: dict[str, Any] = {
        "code": 400,
        "error": error,
        "events_with_invalid_fields": shown(problems.invalid),
        "events_with_missing_fields": shown(problems.missing),
    }
    if problems.lengths:
        body["events_with_invalid_id_lengths"] = shown(problems.lengths)  # undocumented [S]
    return json_answer(400, body)


def silenced(
    threshold: int,
    *,
    devices: Sequence[str],
    events: Sequence[int],
) -> Answer:
    """Return the refusal of events from silenced devices."""
    return json_answer(
        400,
        {
            "code": 400,
            "error": "Events silenced for device_id",
            "eps_threshold": threshold,
            "exceeded_daily_quota_devices": {},
            "silenced_devices": list(devices),
            "silenced_events": list(events),
            "throttled_devices": {},
            "throttled_events": [],
        },
    )


def throttled(
    threshold: int,
    *,
    batch: bool,
    fast: Mapping[str, Mapping[str, int]] | None = None,
    over: Mapping[str, Mapping[str, int]] | None = None,
    events: Sequence[int] = (),
) -> Answer:
    """Return the refusal of events beyond a rate limit; no ids are listed if it is the project's.

    Args:
        threshold: Events per second that one id may send.
        batch: Whether the endpoint is ``/batch``, which has daily quotas of its own [D].
        fast: Under "users" and "devices", ids beyond the rate and their events per second.
        over: Likewise, ids beyond the daily quota and their numbers of events.
        events: Indexes of the events concerned.
    """
    fast, over = fast or {}, over or {}
    body: dict[str, Any] = {
        "code": 429,
        "error": "Too many requests for some devices and users",
        "eps_threshold": threshold,
        "throttled_devices": fast.get("devices", {}),
        "throttled_users": fast.get("users", {}),
        "throttled_events": list(events),
    }
    if batch or any(over.values()):  # SDKs read them on both [S]
        body["exceeded_daily_quota_users"] = over.get("users", {})
        body["exceeded_daily_quota_devices"] = over.get("devices", {})
    return json_answer(429, body)


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

Of the reserved event types [D], ``$identify`` and ``$groupidentify`` update properties, and
``[Amplitude] …`` are ordinary events, which SDKs send [S].
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
"""Ids that no user or device may have [D] HTTP V2 API; case is ignored [U]."""

_LONGEST_FORBIDDEN = max(map(len, FORBIDDEN_IDS))


def forbidden(identifier: str) -> bool:
    """Return whether no user or device may have this id."""
    return len(identifier) <= _LONGEST_FORBIDDEN and identifier.lower() in FORBIDDEN_IDS


def fits(value: object, expected: type) -> bool:
    """Return whether a value of another type is acceptable: null, or an integer as a number."""
    if value is None:
        return True
    # JSON has one number type; true and false are not numbers
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


_IDS = ("user_id", "device_id")
# identifiers that are too long are refused [U]; property values are truncated [D]
_NAMES = ("event_type", "insert_id", *_IDS)
_TABLES = ("event_properties", "user_properties", "groups", "group_properties")
_NOTHING: dict[str, Any] = {}
_type_of = TYPES.get


def check_events(events: list[Any], *, min_id_length: int, strip: bool) -> EventProblems | None:
    """Return what is wrong with the events, or None; strip short ids where allowed.

    Args:
        events: As read from the request; must not be empty.
        min_id_length: Minimum number of characters of an id.
        strip: Whether short ids are stripped and only an event left without any id is refused, as
            documented; else every short id is refused, as ``/2/httpapi`` was seen to do [U-obs].
    """
    problems: EventProblems | None = None
    for index, event in enumerate(events):
        if type(event) is dict and _plain(event, min_id_length):
            continue
        problems = problems or EventProblems()
        if type(event) is dict:
            _examine(event, index, min_id_length, problems, strip=strip)
        else:
            _note(problems.invalid, "event", index)
    return problems or None


def _plain(event: dict[str, Any], min_id_length: int) -> bool:
    """Return whether a quick check finds an event valid, as it does for most."""
    for name, value in event.items():
        expected = _type_of(name)
        if expected is not None and type(value) is not expected:
            return False
    get = event.get
    user_id = get("user_id", "")
    return (
        min_id_length <= len(user_id) <= MAX_TEXT
        and not forbidden(user_id)
        and 0 < len(get("event_type", "")) <= MAX_TEXT
        and len(get("insert_id", "")) <= MAX_TEXT
        and 0 <= get("time", 0) <= LATEST_MS
        and "device_id" not in event
        and "user_properties" not in event
        and "groups" not in event
        and "group_properties" not in event
        and not _nested(get("event_properties", _NOTHING))
    )


def _nested(properties: dict[str, Any]) -> bool:
    for value in properties.values():
        kind = type(value)
        if kind is dict or kind is list:
            return True
    return False


def _examine(
    event: dict[str, Any], index: int, min_id_length: int, problems: EventProblems, *, strip: bool
) -> None:
    for name, value in event.items():
        expected = _type_of(name)
        if expected is not None and type(value) is not expected and not fits(value, expected):
            _note(problems.invalid, name, index)
    if not event.get("event_type"):
        _note(problems.missing, "event_type", index)
    for name in _NAMES:
        value = event.get(name)
        if type(value) is str and len(value) > MAX_TEXT:
            _note(problems.invalid, name, index)
    time = event.get("time")
    if type(time) is int and not 0 <= time <= LATEST_MS:
        _note(problems.invalid, "time", index)
    for name in _TABLES:
        value = event.get(name)
        if type(value) is dict and too_deep(value):
            _note(problems.invalid, name, index)
    _examine_ids(event, index, min_id_length, problems, strip=strip)


def _examine_ids(
    event: dict[str, Any], index: int, min_id_length: int, problems: EventProblems, *, strip: bool
) -> None:
    given = [name for name in _IDS if event.get(name) is not None]
    texts = {name: event[name] for name in given if type(event[name]) is str}
    for name, value in texts.items():
        if forbidden(value):
            _note(problems.invalid, name, index)
    short = [
        name for name, value in texts.items() if len(value) < min_id_length and not forbidden(value)
    ]
    if not given:
        _note(problems.missing, "user_id", index)  # [U]: which of the two is named
    elif short and (not strip or len(short) == len(given)):
        for name in short:
            _note(problems.lengths, name, index)
    else:
        for name in short:
            del event[name]


def _note(problems: Indexes, name: str, index: int) -> None:
    listed = problems.setdefault(name, [])
    if index not in listed[-1:]:
        listed.append(index)
