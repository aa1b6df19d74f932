"""YAML events to JSON values that know their lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

if TYPE_CHECKING:
    pass

MAX_DEPTH: Final = 200
MAX_NODES: Final = 1_000_000

_CORE: Final = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INFINITIES: Final = {".inf", ".Inf", ".INF", "+.inf", "-.inf", ".nan", ".NaN", ".NAN"}
_MAY_BE_NUMBER: Final = frozenset("+-.0123456789")
_INT64 = 1 << 63


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


class ComposeError(Exception):
    """The text is no document that we read."""

    def __init__(self, message: str, line: int | None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.remedy = remedy


def compose(text: str) -> Any:
    """Read a YAML text.

    Raises:
        ComposeError: It is no YAML 1.2 document of the core schema, or beyond the bounds.
    """
    composer = _Composer()
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            composer.feed(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise ComposeError(f"no valid YAML: {error.problem or error.context}", line) from None
    except YAMLError as error:
        message = str(error).splitlines()[0]
        raise ComposeError(f"no valid YAML: {message}", _line_of(error, text)) from None
    return composer.root


def _line_of(error: YAMLError, text: str) -> int | None:
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else None


class _Composer:
    def __init__(self) -> None:
        self.root: Any = None
        self._documents = 0
        self._nodes = 0
        self._open: list[Object | Array] = []
        self._keys: list[str | None] = []
        self._starts: list[tuple[str | None, int]] = []
        self._anchors: dict[str, tuple[Any, int]] = {}

    def feed(self, event: Any) -> None:
        kind = type(event)
        if kind is ScalarEvent:
            self._scalar(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._start(event, Object if kind is MappingStartEvent else Array)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._end()
        elif kind is AliasEvent:
            self._alias(event)
        elif kind is DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise ComposeError("a second document", event.start_mark.line + 1, "expected one")

    def _scalar(self, event: Any) -> None:
        line = event.start_mark.line + 1
        text = event.value
        if self._expects_key():
            self._key(text, line, plain=not event.style)
            return
        tag = event.tag
        if tag is None or str(tag) == "!":
            value = text if event.style or tag is not None else _plain(text, line)
        else:
            value = _tagged(str(tag), text, line)
        self._count(1, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._place(value, line)

    def _start(self, event: Any, kind: type[Object | Array]) -> None:
        line = event.start_mark.line + 1
        if self._expects_key():
            raise ComposeError("a key that is no string", line)
        if len(self._open) >= MAX_DEPTH:
            raise ComposeError(f"nested deeper than {MAX_DEPTH} levels", line)
        tag = event.tag
        if tag is not None and str(tag) not in {f"{_CORE}map", f"{_CORE}seq", "!"}:
            raise ComposeError(f'the tag "{tag}" is not known', line)
        self._count(1, line)
        value = kind(line)
        self._place(value, line)
        self._open.append(value)
        self._keys.append(None)
        self._starts.append((event.anchor, self._nodes))

    def _end(self) -> None:
        value = self._open.pop()
        self._keys.pop()
        anchor, before = self._starts.pop()
        if anchor is not None:
            self._anchors[anchor] = (value, self._nodes - before + 1)

    def _alias(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if self._expects_key():
            raise ComposeError("an alias as a key", line)
        if event.anchor not in self._anchors:
            raise ComposeError(f'the alias "*{event.anchor}" has no anchor before it', line)
        value, nodes = self._anchors[event.anchor]
        self._count(nodes, line)
        self._place(value, line)

    def _expects_key(self) -> bool:
        return bool(self._open) and type(self._open[-1]) is Object and self._keys[-1] is None

    def _key(self, text: str, line: int, *, plain: bool) -> None:
        parent = self._open[-1]
        if plain and text == "<<":
            raise ComposeError('the merge key "<<" is not YAML 1.2', line, "write the keys out")
        if text in parent:
            first = parent.lines[text] if isinstance(parent, Object) else line
            raise ComposeError(f'the key "{text}" stands twice', line, f"first on line {first}")
        if isinstance(parent, Object):
            parent.lines[text] = line
        self._keys[-1] = text

    def _place(self, value: Any, line: int) -> None:
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

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise ComposeError(f"more than {MAX_NODES:,} values, aliases expanded", line)


def _plain(text: str, line: int) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAY_BE_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text, line)
    if _FLOAT.fullmatch(text):
        return float(text)
    if text in _INFINITIES:
        raise ComposeError(f'"{text}" has no counterpart in JSON', line)
    return text


def _integer(text: str, line: int) -> int:
    if len(text) > 30:  # noqa: PLR2004 -- far beyond 64 bits, and int() is quadratic
        raise ComposeError("a whole number beyond 64 bits", line)
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    value = int(text, base)
    if not -_INT64 <= value < 2 * _INT64:
        raise ComposeError("a whole number beyond 64 bits", line)
    return value


def _tagged(tag: str, text: str, line: int) -> Any:
    name = tag.removeprefix(_CORE)
    if name == "str":
        return text
    if name in {"int", "float", "bool", "null"}:
        value = _plain(text, line) if text else None
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}[name]
        if name == "float" and type(value) is int:
            return float(value)
        if type(value) is wanted:
            return value
        raise ComposeError(f'"{text}" is no {name}', line)
    raise ComposeError(f'the tag "{tag}" is not known', line)
