"""Checks the events of an upload against the field rules: all of them hold, or it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadcheck.emulator.ingest.fields import (
    LATEST_MS,
    MAX_TEXT,
    TYPES,
    fits,
    forbidden,
    too_deep,
)
from loadcheck.emulator.ingest.refusal import EventProblems

if TYPE_CHECKING:
    from loadcheck.emulator.ingest.refusal import Indexes

_IDS = ("user_id", "device_id")
# what tells things apart is refused where it is too long [U]; values of properties are cut [D]
_NAMES = ("event_type", "insert_id", *_IDS)
_TABLES = ("event_properties", "user_properties", "groups", "group_properties")
_NOTHING: dict[str, Any] = {}
_type_of = TYPES.get


def check_events(events: list[Any], *, min_id_length: int, strip: bool) -> EventProblems | None:
    """Check every event; ids too short are stripped from the events where allowed.

    Args:
        events: As read from the request; must not be empty.
        min_id_length: Shortest id.
        strip: Whether a short id is stripped and only an event left without any is refused, as
            documented, or refused at once, as ``/2/httpapi`` was seen to [U-obs].
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
    """Return whether an event is fine and needs no closer look: most do not."""
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
