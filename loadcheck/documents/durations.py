"""Durations as people write them: ``"500ms"``, ``"5s"``, ``"2m"``, ``"1h30m"``."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {"h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000)}
_PART = r"(?:(?P<{0}>\d+(?:\.\d+)?){0})?"
_DURATION = re.compile("".join(_PART.format(unit) for unit in _UNITS), re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` stands for.

    Units are ``h``, ``m``, ``s`` and ``ms``, each at most once and in this order, without spaces;
    numbers may have decimals.

    Raises:
        ValueError: ``text`` is not a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"not a duration: {text!r}")
    parts = ((unit, number) for unit, number in match.groupdict().items() if number)
    try:
        return float(sum((Fraction(number) * _UNITS[unit] for unit, number in parts), Fraction()))
    except OverflowError:
        raise ValueError("not a duration: beyond any clock") from None


def format_duration(seconds: float) -> str:
    """Return ``seconds``, rounded to milliseconds, as :func:`parse_duration` reads it."""
    rest = round(seconds * 1000)
    text = ""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"
