"""``--set load.rate=500``: values given on the command line, laid over the merged document."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from loadcheck.errors import Problem, ScenarioError
from loadcheck.scenario.model import Place
from loadcheck.scenario.positions import MAX_DEPTH
from loadcheck.scenario.tree import Node, dotted, grow

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_PATH = re.compile(rf"\s*{_KEY}(?:\s*\.\s*{_KEY})*\s*")
_PART = re.compile(_KEY)
_INDEX = re.compile(r"[0-9]{1,9}")
_EXPECTED = "expected PATH=VALUE, such as load.rate=500"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One value that replaces another, or is added.

    Attributes:
        source: The option as the user gave it, for messages.
        path: Keys from the top; array entries by number, from 0.
        value: What to put there.
    """

    source: str
    path: tuple[str, ...]
    value: Any


def parse_override(option: str) -> Override | Problem:
    """Read ``PATH=VALUE``: a dotted TOML key and a TOML value; a bare word is a string."""
    source = f"--set {option}"
    match = _PATH.match(option)
    if match is None or not option.startswith("=", match.end()):
        message = "the part before = is not a dotted key" if "=" in option else "there is no ="
        return Problem(message=message, file=source, remedy=_EXPECTED)
    path = tuple(_unquoted(part) for part in _PART.findall(match[0]))
    if len(path) > MAX_DEPTH:
        return Problem(message="nested too deeply", file=source)
    text = option[match.end() + 1 :].strip()
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError) as error:
        if text[:1] in ("[", "{", '"', "'"):
            reason = str(error).partition(" (at ")[0]
            message = f"the value is not TOML: {reason[:1].lower()}{reason[1:]}"
            return Problem(message=message, file=source, key=dotted(path))
        return Override(source=source, path=path, value=text)
    value = read["value"]
    if len(read) > 1 or isinstance(value, datetime | date | time):
        value = text
    return Override(source=source, path=path, value=value)


def override(document: Node, overrides: Sequence[Override]) -> tuple[Node, list[Problem]]:
    """Return ``document`` with the overrides applied in order, and those that do not fit."""
    problems: list[Problem] = []
    for change in overrides:
        try:
            document = _put(document, change, 0)
        except ScenarioError as misfit:
            problems.extend(misfit.problems)
    return document, problems


def _put(node: Node | None, change: Override, depth: int) -> Node:
    """Return ``node``, which is at the first ``depth`` keys of the path, with the change in it."""
    if depth == len(change.path):
        return grow(change.value, file=change.source, path=change.path)
    key, name = change.path[depth], dotted(change.path[:depth])
    if node is None:
        node = Node({}, Place(file=change.source, line=None, key=name))
    match node.value:
        case dict() as table:
            entry = _put(table.get(key), change, depth + 1)
            return Node({**table, key: entry}, node.place)
        case list() as array:
            if not _INDEX.fullmatch(key) or int(key) >= len(array):
                numbers = (
                    f"expected a number from 0 to {len(array) - 1}" if array else "it is empty"
                )
                raise _misfit(change, f'{name} has no entry "{key}"', numbers)
            entries = [*array]
            entries[int(key)] = _put(array[int(key)], change, depth + 1)
            return Node(entries, node.place)
        case _:
            raise _misfit(change, f"{name} is neither a table nor an array")


def _misfit(change: Override, message: str, remedy: str = "") -> ScenarioError:
    key = dotted(change.path)
    return ScenarioError(Problem(message=message, file=change.source, key=key, remedy=remedy))


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    try:
        return str(tomllib.loads(f"key = {part}")["key"])
    except tomllib.TOMLDecodeError:
        return part[1:-1]
