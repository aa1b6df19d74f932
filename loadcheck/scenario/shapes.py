"""Shapes: fragments of JSON Schema that define what a key of a scenario takes.

The reader uses them as well. Each is plain JSON: ``description`` gives the meaning, ``title`` the
kind of value in words where the JSON type is not specific enough, ``default`` and ``examples`` are
values as written in a scenario.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadcheck.documents import format_duration

Shape = Mapping[str, Any]
Keys = Mapping[str, Shape]

MAX_RATE = 1_000_000
"""Copies per second; ten times what one process can send."""
MAX_DURATION_S = 7 * 86_400.0
"""A week."""

_AMOUNT = r"[0-9]+(\.[0-9]+)?"
_DURATION = rf"^({_AMOUNT}h)?({_AMOUNT}m)?({_AMOUNT}s)?({_AMOUNT}ms)?$"


def text(says: str, *, pattern: str = r"\S", **more: Any) -> Shape:
    """Return the shape of a string in which ``pattern`` is found; by default, not a blank one."""
    return _described(says, {"type": "string", "pattern": pattern}, more)


def flag(says: str, **more: Any) -> Shape:
    """Return the shape of a boolean."""
    return _described(says, {"type": "boolean"}, more)


def choice(says: str, *words: str, **more: Any) -> Shape:
    """Return the shape of one of ``words``."""
    return _described(says, {"enum": list(words)}, more)


def whole(says: str, least: int, most: int, **more: Any) -> Shape:
    """Return the shape of an integer from ``least`` to ``most``."""
    return _described(says, {"type": "integer", "minimum": least, "maximum": most}, more)


def rate(says: str, *, zero: bool = False, **more: Any) -> Shape:
    """Return the shape of a number per second, above 0 unless ``zero`` is set."""
    return _described(says, {"title": "number per second", **_number(MAX_RATE, zero=zero)}, more)


def duration(says: str, *, zero: bool = False, **more: Any) -> Shape:
    """Return the shape of a duration; a default in seconds is shown as a duration ("30s")."""
    if isinstance(more.get("default"), float):
        more["default"] = format_duration(more["default"])
    least = r"^(?=.)" if zero else r"^(?=.*[1-9])"
    written = {"type": "string", "pattern": least + _DURATION.removeprefix("^")}
    number = _number(MAX_DURATION_S, zero=zero)
    return _described(says, {"title": "duration", "anyOf": [written, number]}, more)


def anything(says: str, **more: Any) -> Shape:
    """Return the shape of any value."""
    return _described(says, {"title": "any value"}, more)


def either(says: str, *shapes: Shape, **more: Any) -> Shape:
    """Return the shape of a value that has one of several shapes."""
    return _described(says, {"anyOf": list(shapes)}, more)


def table(says: str, keys: Keys, *, required: Sequence[str] = (), **more: Any) -> Shape:
    """Return the shape of a table with these keys.

    Only tables in arrays may require keys: other tables are merged with those of lower layers.
    """
    shape = {"type": "object", "properties": dict(keys), "additionalProperties": False}
    return _described(says, shape | ({"required": list(required)} if required else {}), more)


def named(says: str, name: str, shape: Shape, **more: Any) -> Shape:
    """Return the shape of a table whose keys the user names; ``name`` stands for one: "STEP"."""
    return _described(says, {"type": "object", "title": name, "additionalProperties": shape}, more)


def array(says: str, shape: Shape, **more: Any) -> Shape:
    """Return the shape of an array whose entries have ``shape``."""
    return _described(says, {"type": "array", "items": shape}, more)


def properties(shape: Shape) -> Keys:
    """Return the keys of a table, or of each table of an array."""
    found: Keys = shape.get("items", shape).get("properties", {})
    return found


def bounds(shape: Shape) -> tuple[int, int]:
    """Return minimum and maximum of a whole number, which may be one of several alternatives."""
    parts = (shape, *shape.get("anyOf", ()))
    return next((part["minimum"], part["maximum"]) for part in parts if "minimum" in part)


def zero_allowed(shape: Shape) -> bool:
    """Return whether a rate or a duration may be 0."""
    return "minimum" in shape or any("minimum" in part for part in shape.get("anyOf", ()))


def _number(most: float, *, zero: bool) -> dict[str, Any]:
    return {"type": "number", "minimum" if zero else "exclusiveMinimum": 0, "maximum": most}


def _described(says: str, shape: Mapping[str, Any], more: Mapping[str, Any]) -> Shape:
    """Return ``shape`` with its meaning, and with ``example`` as JSON Schema's ``examples``."""
    rest = {name: value for name, value in more.items() if name != "example" and value is not None}
    if "example" in more:
        rest["examples"] = [more["example"]]
    return {**({"description": says} if says else {}), **shape, **rest}
