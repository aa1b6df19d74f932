"""The tree of a document: JSON values that know their lines, built within bounds."""

from __future__ import annotations

from typing import Any, Final, TypeAlias


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
    """A text is no document that we read; ``remedy`` may say what would be."""

    def __init__(self, message: str, line: int | None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.remedy = remedy


class Builder:
    """Builds a tree from what a parser finds, one piece at a time.

    Attributes:
        root: The value, once all of it has been found.
    """

    def __init__(self) -> None:
        self.root: Any = None
        self._nodes = 0
        self._open: list[Container] = []
        self._keys: list[str | None] = []
        self._starts: list[int] = []

    @property
    def expects_key(self) -> bool:
        """Whether the next piece is the key of a member."""
        return bool(self._open) and self._keys[-1] is None and type(self._open[-1]) is Object

    def key(self, text: str, line: int) -> None:
        """Take the key of a member.

        Raises:
            TreeError: The object has it already.
        """
        parent = self._open[-1]
        if isinstance(parent, Object):
            if text in parent:
                first = f"first on line {parent.lines[text]}"
                raise TreeError(f'the key "{text}" stands twice', line, first)
            parent.lines[text] = line
        self._keys[-1] = text

    def value(self, value: Any, line: int, nodes: int = 1) -> None:
        """Take a value that is complete.

        Args:
            value: The value.
            line: Its line.
            nodes: How many values it holds, itself included.

        Raises:
            TreeError: These are too many.
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
        """Take the start of an object or an array.

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
        """Take the end of the innermost object or array; return it and how many values it holds."""
        self._keys.pop()
        return self._open.pop(), self._nodes - self._starts.pop()


def whole_number(text: str, base: int, line: int) -> int:
    """Read a whole number.

    Raises:
        TreeError: It does not fit 64 bits.
    """
    value = int(text, base) if len(text.lstrip("+-0")) <= _MAX_DIGITS else 2 * _INT64
    if not -_INT64 <= value < 2 * _INT64:
        raise TreeError("a whole number beyond 64 bits", line)
    return value
