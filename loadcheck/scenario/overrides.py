"""``--set load.rate=500``: values given on the command line, laid over the merged document."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from loadcheck.documents.document import Node, dotted, grow
from loadcheck.documents.toml import MAX_DEPTH, TooDeepError, locate, toml_remedy
from loadcheck.errors import Place, Problem, ScenarioError

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
    try:
        option.encode()
    except UnicodeEncodeError:  # how Python stands in for bytes of an argument that are not UTF-8
        shown = option.encode("utf-8", "replace").decode()
        return Problem(message="is not UTF-8", file=f"--set {shown}", remedy=_EXPECTED)
    source = f"--set {option}"
    match = _PATH.match(option)
    path = _path(match[0]) if match and option.startswith("=", match.end()) else None
    if match is None or path is None:
        message = "the part before = is not a dotted key" if "=" in option else "there is no ="
        return Problem(message=message, file=source, remedy=_EXPECTED)
    text = option[match.end() + 1 :].strip()
    # people do give credentials so: they are not repeated
    if path[0] == "inputs" or ("@" in text and path[0] in ("target", "workflow")):
        source = f"--set {match[0].strip()}=…"
    try:
        locate(f"value = {text}")
        read = tomllib.loads(f"value = {text}")
    except TooDeepError:
        message, remedy = "the value nests too deeply", f"expected at most {MAX_DEPTH} levels"
        return Problem(message=message, file=source, key=dotted(path), remedy=remedy)
    except ValueError as error:
        if text[:1] in ("[", "{", '"', "'"):
            reason = str(error).partition(" (at ")[0]
            message = f"the value is not TOML: {reason[:1].lower()}{reason[1:]}"
            remedy = toml_remedy(reason, "")
            return Problem(message=message, file=source, key=dotted(path), remedy=remedy)
        return Override(source=source, path=path, value=text)
    value = read["value"]
    if len(read) > 1 or isinstance(value, datetime | date | time):
        value = text
    return Override(source=source, path=path, value=value)


def _path(key: str) -> tuple[str, ...] | None:
    """Return the parts of a dotted key; None if it is none, or is too long."""
    if len(_PART.findall(key)) > MAX_DEPTH:
        return None
    try:
        value: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return None
    path = []
    while isinstance(value, dict):
        [(part, value)] = value.items()
        path.append(part)
    return tuple(path)


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
            remedy = f"leave out what follows {name}"
            raise _misfit(change, f"{name} is neither a table nor an array", remedy)


def _misfit(change: Override, message: str, remedy: str = "") -> ScenarioError:
    key = dotted(change.path)
    return ScenarioError(Problem(message=message, file=change.source, key=key, remedy=remedy))
