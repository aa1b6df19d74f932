"""Documents that know where each value was written.

TOML is read into a tree of :class:`Node`: values with their places, which merging and overriding
keep. A :class:`Document` is YAML or JSON with the line of every value. YAML is read as version 1.2
with the core schema ("no" and dates are strings); duplicate keys, a second document and unknown
tags are refused, and size, depth and the number of values are limited. JSON Pointers (RFC 6901)
address values of a :class:`Document`.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final, Literal

from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.documents.formats import (
    Array,
    NotJsonError,
    Object,
    TreeError,
    compose,
    compose_json,
)
from loadcheck.errors import Location, Problem, WorkflowError

Scalar = str | int | float | bool | datetime | date | time

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it was written."""

    value: dict[str, Node] | list[Node] | Scalar
    place: Location

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
        """Yield this node and every node below it, depth first, each with its path."""
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
    """Return ``text`` in double quotes, with control characters escaped."""
    return json.dumps(text, ensure_ascii=False)


def annotate(
    value: Any,
    *,
    file: str,
    lines: Mapping[tuple[str | int, ...], int] | None = None,
    path: tuple[str | int, ...] = (),
    line: int | None = None,
) -> Node:
    """Return a value from ``tomllib`` as a tree of nodes with their places.

    Args:
        value: A table, array or scalar.
        file: The name of the source, for messages.
        lines: Path → line; a missing path has the line of the enclosing value.
        path: The path of ``value`` in its source.
        line: The line of the enclosing value.
    """
    lines = lines or {}
    line = lines.get(path, line)
    place = Location(file=file, line=line, key=dotted(path))

    def below(part: str | int, entry: Any) -> Node:
        return annotate(entry, file=file, lines=lines, path=(*path, part), line=line)

    match value:
        case dict():
            return Node({key: below(key, entry) for key, entry in value.items()}, place)
        case list():
            return Node([below(index, entry) for index, entry in enumerate(value)], place)
        case _:
            return Node(value, place)


def merge_tree(lower: Node, upper: Node, *, path: tuple[str, ...] = ()) -> Node:
    """Return ``lower`` overridden by ``upper``.

    Tables merge; scalars and arrays of ``upper`` replace those of ``lower``. Two exceptions: the
    ``overlay`` arrays are concatenated, lower first, and a workflow input is replaced as a whole.
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


class Missing(enum.Enum):
    """The type of :data:`MISSING`."""

    MISSING = "no value"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING
"""The value of an expression that resolves to nothing; distinct from null, never sent."""


_STRAY_TILDE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]*")


def parse_pointer(text: str) -> tuple[str, ...]:
    """Return the unescaped reference tokens of a JSON Pointer.

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
    """Return the value that a pointer references, or ``MISSING`` (RFC 6901 section 4)."""
    for token in tokens:
        if isinstance(value, dict):
            value = value.get(token, MISSING)
        elif isinstance(value, list) and _INDEX.fullmatch(token) and int(token) < len(value):
            value = value[int(token)]
        else:
            return MISSING
    return value


def compile_pointer(tokens: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a faster :func:`look_up` for one pointer, as a function of the value."""
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


_LOOK: Final = "look at this line and the one before: indentation, quotes, brackets"
MAX_BYTES: Final = 10 * 1024 * 1024


class Document:
    """A parsed YAML or JSON document.

    Attributes:
        name: The file or URL, as shown in messages.
        location: Absolute path or URL: the base of relative references.
        root: Its content: JSON values; objects and arrays keep the lines of their members.
    """

    def __init__(self, *, name: str, location: str, root: Any) -> None:
        self.name = name
        self.location = location
        self.root = root

    def line(self, path: Iterable[str | int]) -> int | None:
        """Return the line of the value at ``path``, or of its nearest ancestor that exists."""
        value, line = self.root, getattr(self.root, "line", None)
        for token in path:
            if isinstance(value, Object) and token in value:
                line = value.lines.get(str(token), line)
                value = value[str(token)]
            elif isinstance(value, Array) and isinstance(token, int) and token < len(value):
                line = value.lines[token]
                value = value[token]
            else:
                break
        return line


def read_document(path: Path, name: str) -> Document:
    """Read and parse a YAML or JSON file.

    Args:
        path: The file.
        name: The file as the user named it, for messages.

    Raises:
        WorkflowError: It cannot be read, is not YAML or JSON, or exceeds a limit.
    """
    return parse_document(read_content(path, name), name=name, location=str(path.resolve()))


def read_content(path: Path, name: str) -> bytes:
    """Return the bytes of a document.

    Args:
        path: The file.
        name: The file as the user named it, for messages.

    Raises:
        WorkflowError: It cannot be read, or is too large.
    """
    try:
        return read_file(path, MAX_BYTES)
    except UnreadableError as error:
        remedy = error.remedy or "name a file that is there"
        raise WorkflowError(Problem(message=error.message, file=name, remedy=remedy)) from None


def parse_document(content: bytes, *, name: str, location: str) -> Document:
    """Parse a YAML or JSON document.

    Raises:
        WorkflowError: It is not YAML or JSON, or exceeds a limit.
    """
    if len(content) > MAX_BYTES:
        message = f"larger than {MAX_BYTES // 1024 // 1024} MB"
        remedy = "leave out what the workflow does not use"
        raise WorkflowError(Problem(message=message, file=name, line=1, remedy=remedy))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise WorkflowError(
            Problem(message="not UTF-8", file=name, line=line, remedy="save it as UTF-8")
        ) from None
    try:
        root = _root(text)
    except TreeError as error:
        remedy = error.remedy or _LOOK
        problem = Problem(message=error.message, file=name, line=error.line, remedy=remedy)
        raise WorkflowError(problem) from None
    return Document(name=name, location=location, root=root)


def _root(text: str) -> Any:
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return compose_json(text)
        except NotJsonError:
            pass  # YAML flow style begins with the same characters
    return compose(text)
