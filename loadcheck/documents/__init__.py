"""Text with source positions; also the parsers for durations (``"1h30m"``) and URLs."""

from __future__ import annotations

import re
from datetime import datetime
from fractions import Fraction
from typing import Final
from urllib.parse import SplitResult, urlsplit

_UNITS = {"h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000)}
_PART = r"(?:(?P<{0}>\d+(?:\.\d+)?){0})?"
_DURATION = re.compile("".join(_PART.format(unit) for unit in _UNITS), re.ASCII)


def parse_duration(text: str) -> float:
    """Return a duration in seconds.

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


_UNUSABLE: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")


_HOST: Final = re.compile(r"(localhost|[0-9.]+|[\w-]+(?:\.[\w-]+)+)(:[0-9]{1,5})?(/[^\s?#@]*)?")


def format_instant(moment: datetime) -> str:
    """Return a UTC instant as ISO 8601 with milliseconds, ending in ``Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def with_scheme(text: str) -> str:
    """Return a remedy for a URL that lacks its scheme; "" if something else is wrong."""
    match = _HOST.fullmatch(text)
    if match is None:
        return ""
    near = match[1] == "localhost" or match[1].startswith("127.")
    return f"the scheme is missing: {'http' if near else 'https'}://{text}"


def split_http_url(url: str) -> SplitResult:
    r"""Return the parts of an http or https URL.

    White space, control characters and backslashes are refused, because URL parsers disagree about
    them: which host ``http://127.0.0.1\@host`` names depends on the parser.

    Raises:
        ValueError: It is not one; the message says why and quotes no part of it.
    """
    if _UNUSABLE.search(url):
        raise ValueError("has white space, a control character or a backslash in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an http or https URL")
    if port == 0:
        raise ValueError("has the port 0")
    return parts
