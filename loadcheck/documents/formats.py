"""JSON (RFC 8259) and YAML 1.2 (core schema) as trees of values that know their lines.

PyYAML only splits the text into events, using libyaml where available (ten times as fast). Scalars
are resolved here, so that no YAML 1.1 rule applies ("no" as false, "1:30" as 90, dates). Depth and
the number of values are limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import orjson
import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)


def describe(value: Any) -> str:
    """Return the JSON type of a value in words, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, dict) else "an array"


MAX_DEPTH: Final = 200
MAX_NODES: Final = 1_000_000

_INT64: Final = 1 << 63
_MAX_DIGITS: Final = 20


class Object(dict[str, Any]):
    """An object that knows the line it starts on and the line of each member."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Array(list[Any]):
    """An array that knows the line it starts on and the line of each item."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


Container: TypeAlias = Object | Array


class TreeError(Exception):
    """A text cannot be read as JSON or YAML; ``remedy`` may say how to fix it."""

    def __init__(self, message: str, line: int | None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.remedy = remedy


class Builder:
    """Builds a tree from parser events.

    Attributes:
        root: The value; complete once every container has ended.
    """

    def __init__(self) -> None:
        self.root: Any = None
        self._nodes = 0
        self._open: list[Container] = []
        self._keys: list[str | None] = []
        self._starts: list[int] = []

    @property
    def expects_key(self) -> bool:
        """Whether the next event is the key of a member."""
        return bool(self._open) and self._keys[-1] is None and type(self._open[-1]) is Object

    def key(self, text: str, line: int) -> None:
        """Add the key of a member.

        Raises:
            TreeError: The object already has this key.
        """
        parent = self._open[-1]
        if isinstance(parent, Object):
            if text in parent:
                first = f"first on line {parent.lines[text]}"
                raise TreeError(f'duplicate key "{text}"', line, first)
            parent.lines[text] = line
        self._keys[-1] = text

    def value(self, value: Any, line: int, nodes: int = 1) -> None:
        """Add a value.

        Args:
            value: The value.
            line: Its line.
            nodes: How many values to count for it, itself included.

        Raises:
            TreeError: The document has too many values.
        """
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise TreeError(f"more than {MAX_NODES:,} values, aliases expanded", line)
        if not self._open:
            self.root = value
            return
        parent = self._open[-1]
        if isinstance(parent, Array):
            parent.append(value)
            parent.lines.append(line)
        else:
            key = self._keys[-1]
            self._keys[-1] = None
            parent[key or ""] = value

    def begin(self, container: Container) -> None:
        """Open an object or an array.

        Raises:
            TreeError: It is nested too deeply.
        """
        if len(self._open) >= MAX_DEPTH:
            raise TreeError(f"nested deeper than {MAX_DEPTH} levels", container.line)
        self._starts.append(self._nodes)
        self.value(container, container.line)
        self._open.append(container)
        self._keys.append(None)

    def end(self) -> tuple[Container, int]:
        """Close the innermost container; return it and its number of values, itself included."""
        self._keys.pop()
        return self._open.pop(), self._nodes - self._starts.pop()


def whole_number(text: str, base: int, line: int) -> int:
    """Parse a whole number.

    Raises:
        TreeError: It does not fit into 64 bits, signed or unsigned.
    """
    value = int(text, base) if len(text.lstrip("+-0")) <= _MAX_DIGITS else 2 * _INT64
    if not -_INT64 <= value < 2 * _INT64:
        raise TreeError("a whole number beyond 64 bits", line)
    return value


_TOKEN = re.compile(
    r"[ \t\r\n]*(?P<token>(?P<sign>[{}\[\],:])"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")'
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][-+]?[0-9]+)?)"
    r"|(?P<word>true|false|null))"
)
_END = re.compile(r"[ \t\r\n]*\Z")
_WORDS: Final = {"true": True, "false": False, "null": None}


class NotJsonError(Exception):
    """A text is not JSON; it may still be YAML."""


def compose_json(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        NotJsonError: It is not JSON.
        TreeError: It has a duplicate key or an invalid escape, or exceeds a limit.
    """
    return _Reader(text).whole()


class _Reader:
    """Parses token by token; ``_expected`` is what may come next."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = 1
        self._builder = Builder()
        self._closing: list[str] = []
        self._expected = "value"

    def whole(self) -> Any:
        position = 0
        while self._expected != "end":
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise NotJsonError
            self._line += self._text.count("\n", position, match.start("token"))
            position = match.end()
            self._take(match)
        if not _END.match(self._text, position):
            raise NotJsonError
        return self._builder.root

    def _take(self, match: re.Match[str]) -> None:
        sign, string = match["sign"], match["string"]
        if sign is not None and sign in "}]":
            self._close(sign)
        elif self._expected == "separator":
            if sign != ",":
                raise NotJsonError
            self._expected = "key" if self._closing[-1] == "}" else "value"
        elif self._expected in {"key", "key or end"}:
            if string is None:
                raise NotJsonError
            self._builder.key(self._string(string), self._line)
            self._expected = "colon"
        elif self._expected == "colon":
            if sign != ":":
                raise NotJsonError
            self._expected = "value"
        elif sign is not None:
            self._open(sign)
        else:
            self._builder.value(self._scalar(match), self._line)
            self._valued()

    def _open(self, sign: str) -> None:
        if sign not in "{[":
            raise NotJsonError
        self._builder.begin(Object(self._line) if sign == "{" else Array(self._line))
        self._closing.append("}" if sign == "{" else "]")
        self._expected = "key or end" if sign == "{" else "value or end"

    def _close(self, sign: str) -> None:
        may_end = self._expected in {"separator", "key or end", "value or end"}
        if not may_end or not self._closing or self._closing.pop() != sign:
            raise NotJsonError
        self._builder.end()
        self._valued()

    def _valued(self) -> None:
        self._expected = "separator" if self._closing else "end"

    def _scalar(self, match: re.Match[str]) -> Any:
        if match["string"] is not None:
            return self._string(match["string"])
        if match["word"] is not None:
            return _WORDS[match["word"]]
        number: str = match["number"]
        if match["fraction"] or match["exponent"]:
            return float(number)
        return whole_number(number, 10, self._line)

    def _string(self, text: str) -> str:
        try:
            value: str = orjson.loads(text)
        except ValueError:
            raise TreeError("a string with an invalid escape", self._line) from None
        return value


_CORE: Final = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASES: Final = {"0o": 8, "0x": 16}
_PLAIN_SCALARS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NO_JSON: Final = {
    f"{sign}.{word}" for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")
} | {".nan", ".NaN", ".NAN"}
_MAY_BE_NUMBER: Final = frozenset("+-.0123456789")
_OLD_BREAKS = re.compile("[\x85\u2028\u2029]")
_NATIVE = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_TYPES: Final = {"int": int, "float": float, "bool": bool, "null": type(None)}


def compose(text: str) -> Any:
    """Parse a YAML text.

    Raises:
        TreeError: It is not a YAML 1.2 document of the core schema, or exceeds a limit.
    """
    _refuse_old_breaks(text)
    composer = _Composer()
    try:
        for event in events(text):
            composer.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        why = error.problem or error.context
        # Tabs may indent inside brackets, so only the parser's complaints about tabs are replaced.
        stumbled = "cannot start any token" in str(why) or "a tab character" in str(why)
        if stumbled and line is not None and _is_indented_by_tab(text, line):
            why = "a tab indents the line; YAML is indented by spaces"
        raise TreeError(f"no valid YAML: {why}", line) from None
    except yaml.YAMLError as error:
        message = str(error).splitlines()[0]
        raise TreeError(f"no valid YAML: {message}", _line_of(error, text)) from None
    return composer.builder.root


def _is_indented_by_tab(text: str, line: int) -> bool:
    lines = text.split("\n", line)
    if line > len(lines):
        return False
    written = lines[line - 1]
    return "\t" in written[: len(written) - len(written.lstrip(" \t"))]


def events(text: str, *, native: bool = True) -> Iterator[Any]:
    """Return the parser events of a YAML text.

    Args:
        text: The text.
        native: Use libyaml if available; a test compares it with the Python parser.
    """
    found: Iterator[Any] = yaml.parse(text, Loader=_NATIVE if native else yaml.SafeLoader)
    return found


def _refuse_old_breaks(text: str) -> None:
    """Refuse the line breaks of YAML 1.1, which PyYAML still honours (1.2.2 section 5.4)."""
    found = _OLD_BREAKS.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        escape = f"\\u{ord(found[0]):04x}"
        message = f"the character U+{ord(found[0]):04X}, a line break to some parsers of YAML only"
        raise TreeError(message, line, f'write it as "{escape}", in double quotes')


def _line_of(error: yaml.YAMLError, text: str) -> int | None:
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else None


class _Composer:
    def __init__(self) -> None:
        self.builder = Builder()
        self._documents = 0
        self._open: list[str | None] = []
        self._anchors: dict[str, tuple[Any, int]] = {}

    def feed(self, event: Any) -> None:
        kind = type(event)
        line = event.start_mark.line + 1
        if kind is ScalarEvent:
            self._scalar(event, line)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._begin(event, Object(line) if kind is MappingStartEvent else Array(line))
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            value, nodes = self.builder.end()
            anchor = self._open.pop()
            if anchor is not None:
                self._anchors[anchor] = (value, nodes)
        elif kind is AliasEvent:
            self._alias(event.anchor, line)
        elif kind is DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise TreeError("a second document begins", line, "expected one")

    def _scalar(self, event: Any, line: int) -> None:
        text = event.value
        plain = not event.style and event.tag is None
        if self.builder.expects_key:
            if plain and text == "<<":
                remedy = "write the members out"
                raise TreeError('the merge key "<<" is not part of YAML 1.2', line, remedy)
            self.builder.key(text, line)
            return
        value = text
        if plain:
            value = _plain(text, line)
        elif event.tag is not None and str(event.tag) != "!":
            value = _tagged(str(event.tag), text, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self.builder.value(value, line)

    def _begin(self, event: Any, container: Object | Array) -> None:
        if self.builder.expects_key:
            raise TreeError("a key that is not a string", container.line)
        tag = event.tag
        if tag is not None and str(tag) not in {f"{_CORE}map", f"{_CORE}seq", "!"}:
            raise TreeError(f'the tag "{tag}" is not known', container.line)
        self.builder.begin(container)
        self._open.append(event.anchor)

    def _alias(self, name: str, line: int) -> None:
        if self.builder.expects_key:
            raise TreeError("an alias as a key", line)
        if name not in self._anchors:
            raise TreeError(f'the alias "*{name}" has no anchor before it', line)
        value, nodes = self._anchors[name]
        self.builder.value(value, line, nodes)


def _plain(text: str, line: int) -> Any:
    """Return the value of an untagged plain scalar (YAML 1.2.2 section 10.3.2)."""
    if text in _PLAIN_SCALARS:
        return _PLAIN_SCALARS[text]
    if text[0] not in _MAY_BE_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return whole_number(text, _BASES.get(text[:2], 10), line)
    if _FLOAT.fullmatch(text):
        return float(text)
    if text in _NO_JSON:
        raise TreeError(f'"{text}" has no counterpart in JSON', line)
    return text


def _tagged(tag: str, text: str, line: int) -> Any:
    name = tag.removeprefix(_CORE)
    if name == "str":
        return text
    if name not in _TYPES:
        raise TreeError(f'the tag "{tag}" is not known', line)
    value = _plain(text, line)
    if name == "float" and type(value) is int:
        return float(value)
    if type(value) is not _TYPES[name]:
        raise TreeError(f'"{text}" is not a valid {name}', line)
    return value
