"""Durations as people write them: "500ms", "2s", "5m", "1h", "7d", or a number of seconds."""

from __future__ import annotations

import re

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(value: object) -> float | None:
    """Return a duration in milliseconds, or None if ``value`` is not one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value * 1000.0 if 0 <= value < float("inf") else None
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return sum(float(number) * _MS[unit] for number, unit in _PART.findall(value))
    return None


def duration(ms: float) -> str:
    """Return milliseconds as :func:`milliseconds` reads them: "500ms", "2s"."""
    return f"{ms / 1000:.12g}s" if ms >= _MS["s"] else f"{ms:.12g}ms"
