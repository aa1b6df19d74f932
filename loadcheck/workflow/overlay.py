"""Additions to a step's request that the document leaves out: the scenario's overlay.

An edit names a place in the request, ``body#/json/pointer``, ``query.NAME``,
``query.NAME#/json/pointer`` (a parameter that holds JSON text), ``header.NAME``, ``path.NAME`` or
``cookie.NAME``, and the value to put there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from loadcheck.documents.builder import describe
from loadcheck.documents.document import parse_pointer
from loadcheck.workflow.expressions.values import (
    Dynamic,
    Frame,
    JsonText,
    Text,
    UnsendableError,
    as_dynamic,
)

_AT = re.compile(r"(?:(body)|(query|header|path|cookie)\.([^#]+))(?:#(.*))?", re.DOTALL)
_BEHIND_LAST: Final = frozenset({"-"})
_FIRST: Final = frozenset({"-", "0"})


class Place(NamedTuple):
    """The place of an edit: ``where`` is body, query, header, path or cookie."""

    where: str
    name: str
    pointer: tuple[str, ...] | None


def parse_place(at: str) -> Place:
    """Read the place of an edit.

    Raises:
        ValueError: It is not one of the six forms.
    """
    match = _AT.fullmatch(at)
    pointer = None if match is None or match[4] is None else parse_pointer(match[4])
    if match is None or (match[1] and pointer is None):
        raise ValueError(
            'expected "body#/json/pointer", "query.NAME", "query.NAME#/json/pointer", '
            '"header.NAME", "path.NAME" or "cookie.NAME"'
        )
    return Place(match[1] or match[2], match[3] or "", pointer)


def put(tree: Any, pointer: Sequence[str], value: Any) -> Any:
    """Return ``tree`` with ``value`` at ``pointer``; ``tree`` itself stays as it is.

    Missing objects and arrays on the way are made: an array where the next token is ``-`` or 0.
    ``-`` appends (RFC 6901 section 4).

    Raises:
        ValueError: The pointer leads through a scalar, past the end of an array, or into a text
            that is known only when a copy runs.
    """
    if not pointer:
        return value
    token, rest = pointer[0], pointer[1:]
    if tree is None:
        tree = [] if token in _FIRST else {}
    if isinstance(tree, dict):
        return {**tree, token: put(tree.get(token), rest, value)}
    if isinstance(tree, list):
        index = _index(token, len(tree))
        if index is None or index > len(tree):
            raise ValueError(f'"{token}" is no index of an array of {len(tree)}')
        old = tree[index] if index < len(tree) else None
        return [*tree[:index], put(old, rest, value), *tree[index + 1 :]]
    if isinstance(tree, Dynamic):
        return _put_late(tree, pointer, value)
    known = not isinstance(tree, Text | JsonText)
    what = describe(tree) if known else f'"{tree}", known only when a copy runs'
    raise ValueError(f'there is no place "{token}" in {what}')


def _put_late(tree: Dynamic, pointer: Sequence[str], value: Any) -> Dynamic:
    """Return what will be a value with another one put into it, when a copy runs."""
    known = as_dynamic(value)

    def replaced(frame: Frame) -> Any:
        new = value if known is None else known.require(frame)
        try:
            return put(tree.require(frame), pointer, new)
        except ValueError as error:
            raise UnsendableError(f"{tree.text}: {error}") from None

    uses = tree.uses if known is None else tree.uses | known.uses
    return Dynamic(text=tree.text, evaluate=replaced, uses=uses)


def _index(token: str, size: int) -> int | None:
    """Return the index that a token means in an array; "-" is the one behind the last."""
    if token in _BEHIND_LAST:
        return size
    return int(token) if re.fullmatch(r"0|[1-9][0-9]*", token) else None
