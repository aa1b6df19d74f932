"""What is said to a refused upload, field by field as documented [D] HTTP V2 and Batch API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadcheck.emulator.http.message import Answer, json_answer

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
    """Refuse the whole request, whatever its events are."""
    return json_answer(400, {"code": 400, "error": error, **details})


def bad_key(api_key: str) -> Answer:
    """Refuse an API key; the wording is what SDKs look for [S]."""
    return bad_request(f"Invalid API key: {api_key}")


def too_large() -> Answer:
    """Refuse a request of too many bytes or events."""
    return json_answer(413, {"code": 413, "error": "Payload too large"})


def bad_events(problems: EventProblems, *, all_indexes: bool) -> Answer:
    """Refuse events: which fields of which are wrong.

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
    """Refuse events of silenced devices."""
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
    """Refuse events beyond a rate limit; no id is named where the project as a whole is meant.

    Args:
        threshold: Events per second that one id may send.
        batch: Whether it is ``/batch``, which tells daily quotas apart [D].
        fast: Ids beyond the rate, and theirs: for "users" and for "devices".
        over: Ids beyond the day's quota, and their events.
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
