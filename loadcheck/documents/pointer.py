"""JSON Pointer (RFC 6901)."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal


class Missing(enum.Enum):
    """The type of :data:`MISSING`."""

    MISSING = "no value"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING


_STRAY_TILDE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]*")


def parse_pointer(text: str) -> tuple[str, ...]:
    """Return the reference tokens of a JSON Pointer.

    Raises:
        ValueError: It is not one (RFC 6901 section 3).
    """
    if not text:
        return ()
    if not text.startswith("/"):
        raise ValueError(f'the JSON Pointer "{text}" does not start with "/"')
    if _STRAY_TILDE.search(text):
        raise ValueError(f'in the JSON Pointer "{text}" a "~" is neither "~0" nor "~1"')
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def format_pointer(tokens: Iterable[str | int]) -> str:
    """Return the JSON Pointer of these reference tokens."""
    return "".join(f"/{str(token).replace('~', '~0').replace('/', '~1')}" for token in tokens)


def look_up(value: Any, tokens: Iterable[str]) -> Any:
    """Return what the pointer leads to, or ``MISSING`` (RFC 6901 section 4)."""
    for token in tokens:
        if isinstance(value, dict):
            value = value.get(token, MISSING)
        elif isinstance(value, list) and _INDEX.fullmatch(token) and int(token) < len(value):
            value = value[int(token)]
        else:
            return MISSING
    return value


def compile_pointer(tokens: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return :func:`look_up` for this pointer, faster for the usual ones."""
    steps = tuple((token, int(token) if _INDEX.fullmatch(token) else -1) for token in tokens)
    if len(tokens) == 1:
        name = tokens[0]

        def member(value: Any) -> Any:
            return value.get(name, MISSING) if type(value) is dict else look_up(value, tokens)

        return member

    def walk(value: Any) -> Any:
        for name, index in steps:
            if isinstance(value, dict):
                value = value.get(name, MISSING)
            elif isinstance(value, list) and 0 <= index < len(value):
                value = value[index]
            else:
                return MISSING
        return value

    return walk
