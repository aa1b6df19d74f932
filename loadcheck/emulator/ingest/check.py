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

if TYPE_CHECKING:
    from loadcheck.emulator.ingest.refusal import Indexes

_IDS = ("user_id", "device_id")
_type_of = TYPES.get


class EventProblems:
    """What is wrong with the events of one upload, by field and index."""

    __slots__ = ("invalid", "lengths", "missing")

    def __init__(self) -> None:
        self.invalid: Indexes = {}
        self.missing: Indexes = {}
        self.lengths: Indexes = {}

    def __bool__(self) -> bool:
        return bool(self.invalid or self.missing or self.lengths)


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
        if type(event) is not dict:
            problems = problems or EventProblems()
            problems.invalid.setdefault("event", []).append(index)
            continue
        for name, value in event.items():
            expected = _type_of(name)
            if expected is None or type(value) is expected:
                continue
            if not fits(value, expected):
                problems = problems or EventProblems()
                problems.invalid.setdefault(name, []).append(index)
        if not _plain(event, min_id_length):
            problems = _examine(event, index, min_id_length, problems, strip=strip)
    return problems


def _plain(event: dict[str, Any], min_id_length: int) -> bool:
    """Return whether an event has nothing that would need a closer look: most do not."""
    get = event.get
    user_id = get("user_id")
    time = get("time", 0)
    properties = get("event_properties", ())
    return (
        type(user_id) is str
        and min_id_length <= len(user_id) <= MAX_TEXT
        and not forbidden(user_id)
        and bool(get("event_type"))
        and type(time) is int
        and 0 <= time <= LATEST_MS
        and "device_id" not in event
        and "user_properties" not in event
        and "groups" not in event
        and "group_properties" not in event
        and (type(properties) is not dict or not _nested(properties))
    )


def _nested(properties: dict[str, Any]) -> bool:
    for value in properties.values():
        kind = type(value)
        if kind is dict or kind is list:
            return True
    return False


def _examine(
    event: dict[str, Any],
    index: int,
    min_id_length: int,
    problems: EventProblems | None,
    *,
    strip: bool,
) -> EventProblems | None:
    found = EventProblems()
    if not event.get("event_type"):
        found.missing["event_type"] = [index]
    short = []
    for name in _IDS:
        value = event.get(name)
        if type(value) is not str:
            continue
        if forbidden(value) or len(value) > MAX_TEXT:
            found.invalid[name] = [index]
        elif len(value) < min_id_length:
            short.append(name)
    left = [name for name in _IDS if event.get(name) is not None and name not in short]
    if short and (not strip or not left):
        found.lengths.update({name: [index] for name in short})
    elif not left:
        found.missing["user_id"] = [index]  # [U]: which of the two is named
    else:
        for name in short:
            del event[name]
    time = event.get("time")
    if type(time) is int and not 0 <= time <= LATEST_MS:
        found.invalid["time"] = [index]
    for name in ("event_properties", "user_properties", "groups", "group_properties"):
        value = event.get(name)
        if type(value) is dict and too_deep(value):
            found.invalid[name] = [index]
    if not found:
        return problems
    problems = problems or EventProblems()
    for mine, theirs in (
        (problems.invalid, found.invalid),
        (problems.missing, found.missing),
        (problems.lengths, found.lengths),
    ):
        for name, indexes in theirs.items():
            listed = mine.setdefault(name, [])
            listed.extend(new for new in indexes if new not in listed)
    return problems
