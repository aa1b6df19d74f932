"""What is said to a refused upload, field by field as documented [D] HTTP V2 and Batch API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadcheck.emulator.http.message import Answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Indexes = dict[str, list[int]]


def bad_request(error: str, **details: Any) -> Answer:
    """Refuse the whole request, whatever its events are."""
    return json_answer(400, {"code": 400, "error": error, **details})


def bad_key(api_key: str) -> Answer:
    """Refuse an API key; the wording is what SDKs look for [S]."""
    return bad_request(f"Invalid API key: {api_key}")


def too_large() -> Answer:
    """Refuse a request of too many bytes or events."""
    return json_answer(413, {"code": 413, "error": "Payload too large"})


def bad_events(
    invalid: Indexes, missing: Indexes, lengths: Indexes, *, all_indexes: bool
) -> Answer:
    """Refuse events: which fields of which are wrong.

    ``/2/httpapi`` lists the first bad index per field, ``/batch`` all of them [D], conflicting.
    """
    if missing:
        error = "Request missing required field"
    elif invalid:
        error = "Invalid field values on some events"
    else:
        error = "Invalid id length for user_id or device_id"  # [S]

    def shown(indexes: Indexes) -> Indexes:
        return indexes if all_indexes else {field: found[:1] for field, found in indexes.items()}

    body: dict[str, Any] = {
        "code": 400,
        "error": error,
        "events_with_invalid_fields": shown(invalid),
        "events_with_missing_fields": shown(missing),
    }
    if lengths:
        body["events_with_invalid_id_lengths"] = shown(lengths)  # undocumented [S]
    return json_answer(400, body)


def silenced(
    threshold: int,
    *,
    devices: Sequence[str],
    events: Sequence[int],
    over_quota: Mapping[str, int],
) -> Answer:
    """Refuse events of silenced devices."""
    return json_answer(
        400,
        {
            "code": 400,
            "error": "Events silenced for device_id",
            "eps_threshold": threshold,
            "exceeded_daily_quota_devices": over_quota,
            "silenced_devices": devices,
            "silenced_events": events,
            "throttled_devices": {},
            "throttled_events": [],
        },
    )
