"""A document whose every value knows where it was written; merging and overriding keep that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from loadcheck.errors import Place

Scalar = str | int | float | bool | datetime | date | time

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it was written."""

    value: dict[str, Node] | list[Node] | Scalar
    place: Place

    def plain(self) -> Any:
        """Return the value as ``tomllib`` gave it, without places."""
        match self.value:
            case dict() as table:
                return {key: node.plain() for key, node in table.items()}
            case list() as array:
                return [node.plain() for node in array]
            case scalar:
                return scalar

    def walk(
        self, path: tuple[str | int, ...] = ()
    ) -> Iterator[tuple[tuple[str | int, ...], Node]]:
        """Yield every node below this one, this one first, each with its path."""
        yield path, self
        match self.value:
            case dict() as table:
                for key, node in table.items():
                    yield from node.walk((*path, key))
            case list() as array:
                for index, node in enumerate(array):
                    yield from node.walk((*path, index))


def dotted(path: Sequence[str | int]) -> str:
    """Return ``path`` as a TOML key, quoted where needed; array entries are numbered from 0."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else quoted(part) for part in map(str, path))


def quoted(text: str) -> str:
    """Return ``text`` in quotes, control characters escaped."""
    return json.dumps(text, ensure_ascii=False)


def grow(
    value: Any,
    *,
    file: str,
    lines: Mapping[tuple[str | int, ...], int] | None = None,
    path: tuple[str | int, ...] = (),
    line: int | None = None,
) -> Node:
    """Return ``value``, as ``tomllib`` gave it, with the place of each part.

    Args:
        value: A table, array or scalar.
        file: What to call the source.
        lines: Path → line; a path that is missing is in the line of the value around it.
        path: Where ``value`` stands in its source.
        line: The line of the value around it.
    """
    lines = lines or {}
    line = lines.get(path, line)
    place = Place(file=file, line=line, key=dotted(path))

    def below(part: str | int, entry: Any) -> Node:
        return grow(entry, file=file, lines=lines, path=(*path, part), line=line)

    match value:
        case dict():
            return Node({key: below(key, entry) for key, entry in value.items()}, place)
        case list():
            return Node([below(index, entry) for index, entry in enumerate(value)], place)
        case _:
            return Node(value, place)


def merge_tree(lower: Node, upper: Node, *, path: tuple[str, ...] = ()) -> Node:
    """Return ``upper`` with what only ``lower`` has.

    Tables merge; scalars and arrays of ``upper`` replace those of ``lower``. Two exceptions: the
    ``overlay`` of both apply, the lower first; and a workflow input is one value, replaced whole.
    """
    if path == ("overlay",) and isinstance(lower.value, list) and isinstance(upper.value, list):
        return Node([*lower.value, *upper.value], upper.place)
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    if path[:1] == ("inputs",) and len(path) > 1:
        return upper
    merged = dict(lower.value)
    for key, node in upper.value.items():
        below = merged.get(key)
        merged[key] = merge_tree(below, node, path=(*path, key)) if below else node
    return Node(merged, upper.place)
