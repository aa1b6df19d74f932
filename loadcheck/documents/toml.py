"""TOML files as nodes that know their lines.

``tomllib`` does not report the lines of keys, so a scanner reads the structure of the text and
skips its values. It does not validate: where the text is not TOML it stops, and ``tomllib`` reports
the error. It runs in linear time and refuses nesting that would exhaust a recursive parser.
"""

from __future__ import annotations

import json
import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadcheck.documents.document import Node, annotate, dotted
from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.errors import Problem, ScenarioError, nearest

KeyPath = tuple[str | int, ...]

MAX_DEPTH = 40
"""Most levels of nested keys, arrays and tables."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""\"{0,2}'
    r"|'''.*?''''{0,2}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_OTHER = re.compile(r"[^,\]}#\n]*")


class TooDeepError(ValueError):
    """The document nests deeper than :data:`MAX_DEPTH`."""

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(f"nested too deeply in line {line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redefinition:
    """A key or table that the text defines twice, which TOML forbids."""

    path: KeyPath
    first_line: int
    line: int


@dataclass(slots=True)
class Positions:
    """The result of the scanner.

    Attributes:
        lines: Path of each table, key and array entry → the line, counted from 1, on which it
            begins; arrays are indexed from 0. A table that is only implied by other headers
            begins where it is first mentioned.
        repeat: The first key or table defined twice, if any.
    """

    lines: dict[KeyPath, int] = field(default_factory=dict)
    repeat: Redefinition | None = None


def locate(text: str) -> Positions:
    """Find the line of every key and array entry in a TOML document.

    Raises:
        TooDeepError: The document nests deeper than :data:`MAX_DEPTH`.
    """
    scanner = _Scanner(text)
    with suppress(_StopError):
        scanner.document()
    return scanner.found


class _StopError(Exception):
    """The text is not TOML from here on."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.found = Positions()
        self._text = text
        self._at = 0
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._array_lengths: dict[KeyPath, int] = {}
        self._defined: dict[KeyPath, int] = {}

    def document(self) -> None:
        base: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._take("[["):
                base = self._array_entry()
            elif self._take("["):
                base = self._table()
            else:
                self._pair(base)
            self._skip(_BLANK)

    def _array_entry(self) -> KeyPath:
        line = self._line()
        path = self._header()
        self._expect("]]")
        index = self._array_lengths.get(path, 0)
        self._array_lengths[path] = index + 1
        entry = (*path, index)
        self._mark(entry, line)
        return entry

    def _table(self) -> KeyPath:
        line = self._line()
        path = self._header()
        self._expect("]")
        self._define(path, line)
        return path

    def _header(self) -> KeyPath:
        """Read the key of a header; an array of tables within it means its last entry."""
        path: KeyPath = ()
        for part in self._key():
            if path in self._array_lengths:
                path = (*path, self._array_lengths[path] - 1)
            path = (*path, part)
        return path

    def _pair(self, base: KeyPath, depth: int = 0) -> None:
        line = self._line()
        path = base + self._key()
        self._expect("=")
        self._define(path, line)
        self._skip(_SPACE)
        self._value(path, depth + 1)

    def _value(self, path: KeyPath, depth: int) -> None:
        if max(depth, len(path)) > MAX_DEPTH:
            raise TooDeepError(self._line())
        if self._take("["):
            index = 0
            while not self._closed("]"):
                entry = (*path, index)
                self._mark(entry, self._line())
                self._value(entry, depth + 1)
                self._separator("]")
                index += 1
        elif self._take("{"):
            while not self._closed("}"):
                self._pair(path, depth)
                self._separator("}")
        elif self._text.startswith(('"', "'"), self._at):
            self._match(_STRING)
        elif not self._match(_OTHER).strip():
            raise _StopError

    def _key(self) -> KeyPath:
        """Read a dotted key and return its path."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            if self._text.startswith(('"', "'"), self._at):
                parts.append(self._quoted())
            else:
                parts.append(self._match(_BARE))
            self._skip(_SPACE)
            if len(parts) > MAX_DEPTH:
                raise TooDeepError(self._line())
            if not self._take("."):
                return tuple(parts)

    def _quoted(self) -> str:
        token = self._match(_STRING)
        if token[0] == "'" or "\\" not in token:
            return token[1:-1]
        try:
            return str(tomllib.loads(f"key = {token}")["key"])
        except tomllib.TOMLDecodeError:
            raise _StopError from None

    def _define(self, path: KeyPath, line: int) -> None:
        if path in self._defined:
            repeat = Redefinition(path=path, first_line=self._defined[path], line=line)
            self.found.repeat = self.found.repeat or repeat
            return
        self._defined[path] = line
        self._mark(path, line)
        self.found.lines[path] = line

    def _mark(self, path: KeyPath, line: int) -> None:
        for end in range(1, len(path) + 1):
            self.found.lines.setdefault(path[:end], line)

    def _line(self) -> int:
        return bisect_right(self._line_starts, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _StopError
        self._at = match.end()
        return match[0]

    def _take(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise _StopError

    def _closed(self, bracket: str) -> bool:
        self._skip(_BLANK)
        return self._take(bracket)

    def _separator(self, bracket: str) -> None:
        """Skip the comma after an entry; it is optional before ``bracket``."""
        self._skip(_BLANK)
        if not self._take(",") and not self._text.startswith(bracket, self._at):
            raise _StopError


MAX_BYTES = 1_000_000
"""The largest scenario file accepted: far larger than any written by hand."""

_WHERE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_UNQUOTED = re.compile(r"""=\s*[^\s"'\[{#]""")


def read(path: Path, file: str) -> Node:
    """Read the TOML document at ``path``.

    Args:
        path: The file.
        file: The file as the user named it, for messages.

    Raises:
        ScenarioError: It cannot be read, is not UTF-8, not TOML, too large or nested too deeply.
    """
    try:
        content = read_file(path, MAX_BYTES)
    except UnreadableError as error:
        remedy = error.remedy or _meant(path) or nearest_file(path) or "name a file that is there"
        problem = Problem(message=error.message, file=file, remedy=remedy)
        raise ScenarioError(problem) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        raise ScenarioError(
            Problem(
                message=f"is not UTF-8: byte 0x{content[error.start]:02X} in column {column}",
                file=file,
                line=before.count(b"\n") + 1,
                remedy="save the file as UTF-8",
            )
        ) from None
    return parse(text, file)


def _meant(path: Path) -> str:
    """Return a remedy for a short name ("burst" for scenarios/burst.toml); "" if none fits."""
    name = path.with_suffix(".toml").name
    for folder in (path.parent, path.parent / "scenarios"):
        beside = folder / name
        if beside.is_file():
            return f'did you mean "{beside}"?'
    near = nearest(name, (each.name for each in (path.parent / "scenarios").glob("*.toml")))
    return near.replace('"', f'"{path.parent / "scenarios"}/', 1)


def nearest_file(path: Path) -> str:
    """Return a remedy naming the file beside ``path`` with the most similar name; "" if none is."""
    try:
        beside = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]
    except (OSError, ValueError):  # ValueError: a NUL in a folder's name
        return ""
    return nearest(path.name, beside)


def parse(text: str, file: str) -> Node:
    """Parse a TOML document.

    Raises:
        ScenarioError: It is not TOML, or nested too deeply.
    """
    try:
        positions = locate(text)
    except TooDeepError as error:
        remedy = f"expected at most {MAX_DEPTH} levels"
        problem = Problem(message="nested too deeply", file=file, line=error.line, remedy=remedy)
        raise ScenarioError(problem) from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(_syntax_problem(text, file, str(error), positions.repeat)) from None
    except ValueError:  # int() refuses thousands of digits
        problem = Problem(
            message="is not TOML: a number of thousands of digits",
            file=file,
            remedy="expected a number below 2^63",
        )
        raise ScenarioError(problem) from None
    return annotate(document, file=file, lines=positions.lines)


def _syntax_problem(text: str, file: str, error: str, repeat: Redefinition | None) -> Problem:
    lines = text.split("\n")
    where = _WHERE.search(error)
    line, column = len(lines), len(lines[-1]) + 1
    if where and where["line"]:
        line, column = int(where["line"]), int(where["column"])
    if repeat and repeat.line <= line:
        return Problem(
            message="is given twice",
            file=file,
            line=repeat.line,
            key=dotted(repeat.path),
            remedy=f"it is already in line {repeat.first_line}",
        )
    reason = _WHERE.sub("", error)
    reason = reason[:1].lower() + reason[1:]
    return Problem(
        message=f"is not TOML: {reason}, column {column}",
        file=file,
        line=line,
        remedy=toml_remedy(reason, lines[line - 1]),
    )


_REMEDIES = (
    (r"'\n'", "close the quotation mark"),
    ("after a key", "write KEY = VALUE, or [TABLE]"),
    ("invalid statement", "write KEY = VALUE, or [TABLE]"),
    ("key part", "a key has only letters, digits, - and _, unless it is in quotes"),
    ("unterminated string", "close the quotation mark"),
    ("character", "leave it out, or write it as \\u and four hexadecimal digits, in double quotes"),
    ("expected newline", "write one KEY = VALUE per line, and text in quotes"),
    ("unclosed", "close the bracket"),
    ("at the end of", "close the bracket"),
    ("twice", "give it once"),
    ("overwrite", "give it once"),
    ("invalid value", "expected text in quotes, a number, true, false, an array or a table"),
)


def toml_remedy(reason: str, line: str) -> str:
    """Return the remedy for an error of the TOML parser.

    Args:
        reason: The parser's message.
        line: The text of the line it is about.
    """
    if reason.startswith("invalid value") and line.lstrip().startswith("["):
        return "the array above it is not closed: close the bracket"
    if _is_bare_word(reason, line):
        return "put text in quotes"
    found = (remedy for part, remedy in _REMEDIES if part in reason.lower())
    return next(found, "look for a quotation mark or a bracket that is not closed")


def _is_bare_word(reason: str, line: str) -> bool:
    expected = reason.startswith(("invalid value", "expected newline"))
    return expected and _UNQUOTED.search(line) is not None


def as_toml(value: Any) -> str:
    """Return a JSON value as TOML, on one line.

    Raises:
        ScenarioError: It contains null, which TOML lacks, or a value that is not JSON.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        members = (f"{as_toml(str(name))} = {as_toml(part)}" for name, part in value.items())
        return f"{{ {', '.join(members)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    message = f"TOML has no {type(value).__name__}"
    remedy = "expected a string, a number, true or false, an array or a table"
    raise ScenarioError(Problem(message=message, remedy=remedy))
