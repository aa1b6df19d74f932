"""Runtime expressions (Arazzo 1.0.1, "Runtime Expressions").

The grammar of 1.0.1 ends every name with ``*CHAR``, which swallows the closing brace of an embedded
expression; names here are made of letters, digits, ``-``, ``_`` and, where a name may be declared
so, dots, as 1.1.0 has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from loadcheck.documents.pointer import format_pointer, parse_pointer
from loadcheck.errors import did_you_mean
from loadcheck.workflow import identity as buckets

SECTION: Final = "Runtime Expressions"

STANDARD: Final = (
    "url", "method", "statusCode", "request", "response", "inputs", "outputs", "steps",
    "workflows", "sourceDescriptions", "components",
)  # fmt: skip
OWN: Final = ("copy", "run", "query", "target")
OWN_REMEDY: Final = "what is loadcheck's own belongs in the scenario's inputs and overlay"

_MESSAGE_PARTS: Final = {
    "request": ("header", "query", "path", "body"),
    "response": ("header", "body"),
}
_OWN_NAMES: Final = {
    "copy": ("userId", "insertId", "number", "time", "events", *buckets.NAMES),
    "run": ("id", "startDay", "endDay"),
    "query": ("number",),
}

_ROOT = re.compile(r"\$([A-Za-z]+)")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_\-]+")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_DOTTED = re.compile(r"[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*")
_TAIL = re.compile(r"\.([A-Za-z_][A-Za-z0-9_\-]*)|\[\s*(?:(\d+)|'([^']*)'|\"([^\"]*)\")\s*\]")


class ExpressionError(ValueError):
    """A text is not a runtime expression; ``remedy`` says what would be."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class _Context(NamedTuple):
    """How far names and pointers reach where the expression stands."""

    header: re.Pattern[str]
    name: re.Pattern[str]
    pointer: re.Pattern[str]


VALUE: Final = _Context(_TOKEN, re.compile(r"[^#]+"), re.compile(r".*", re.DOTALL))
EMBEDDED: Final = _Context(_TOKEN, re.compile(r"[^#}]+"), re.compile(r"[^}]*"))
CONDITION: Final = _Context(
    _IDENTIFIER, _IDENTIFIER, re.compile(r"(?:(?!==|!=|<=|>=|&&|\|\|)[^\s()<>])*")
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A runtime expression, taken apart.

    Attributes:
        text: As written.
        root: The word behind the "$".
        names: The words behind it: ``$steps.a.outputs.b`` has ("a", "outputs", "b"), header names
            are in lower case, and names that may hold dots are one word.
        pointer: Reference tokens of the JSON Pointer, None without one.
        tail: Members and indexes taken by "." and "[ ]", as only conditions may.
        stem: The text without the tail.
    """

    text: str
    root: str
    names: tuple[str, ...] = ()
    pointer: tuple[str, ...] | None = None
    tail: tuple[str | int, ...] = ()
    stem: str = ""

    @property
    def conforming(self) -> str:
        """The spelling with a JSON Pointer instead of "." and "[ ]"."""
        if not self.tail:
            return self.text
        base = self.stem if self.pointer is not None else f"{self.stem}#"
        return base + format_pointer(self.tail)


def is_expression(text: str, *, own: bool) -> bool:
    """Say whether a text means to be a runtime expression: "$" and a root that we know.

    Args:
        text: Any string.
        own: Whether expressions of our own (``$copy.userId``) count.
    """
    match = _ROOT.match(text)
    if match is None:
        return False
    rest = text[match.end() : match.end() + 1]
    if match[1] in {"url", "method", "statusCode"}:
        return not rest
    return rest in {".", ""} and (match[1] in STANDARD or (own and match[1] in OWN))


def is_own(text: str) -> bool:
    """Return whether the text is a loadcheck extension expression ($copy, $run, …)."""
    return is_expression(text, own=True) and not is_expression(text, own=False)


def parse_expression(text: str) -> Expression:
    """Read a text that is a runtime expression as a whole.

    Raises:
        ExpressionError: It is none.
    """
    expression, end = scan_expression(text, 0, VALUE)
    if end < len(text):
        raise ExpressionError(
            f'"{text[end:]}" is left over behind "{text[:end]}"',
            'an expression inside a longer string needs braces: "{$inputs.name}"',
        )
    return expression


def scan_expression(text: str, start: int, context: _Context) -> tuple[Expression, int]:
    """Read the expression that starts at ``start``; return it and where it ends.

    Raises:
        ExpressionError: There is none.
    """
    match = _ROOT.match(text, start)
    if match is None:
        raise ExpressionError(f'"{text[start : start + 20]}" does not start with "$" and a name')
    root, end = match[1], match.end()
    if root in {"url", "method", "statusCode"}:
        names: tuple[str, ...] = ()
    elif root in _MESSAGE_PARTS:
        names, end = _message(text, root, end, context)
    elif root in {"inputs", "outputs"}:
        names, end = _dotted(text, root, end)
    elif root in {"steps", "workflows"}:
        names, end = _outputs_of(text, root, end)
    elif root in {"sourceDescriptions", "components"}:
        names, end = _reference(text, root, end)
    elif root in OWN:
        names, end = _own(text, root, end)
    else:
        remedy = did_you_mean(f"${root}", [f"${known}" for known in (*STANDARD, *OWN)])
        raise ExpressionError(f'unknown expression "${root}"', remedy)
    pointer = None
    if text.startswith("#", end) and _takes_pointer(root, names):
        found = context.pointer.match(text, end + 1)
        pointed = found[0] if found else ""
        try:
            pointer = parse_pointer(pointed)
        except ValueError as error:
            raise ExpressionError(str(error), "see RFC 6901 section 3") from None
        end += 1 + len(pointed)
    stem = text[start:end]
    tail, end = _tail(text, end) if _takes_pointer(root, names) else ((), end)
    return Expression(text[start:end], root, names, pointer, tail, stem), end


def _takes_pointer(root: str, names: tuple[str, ...]) -> bool:
    return root in {"inputs", "outputs", "steps", "workflows"} or names == ("body",)


def _message(text: str, root: str, end: int, context: _Context) -> tuple[tuple[str, ...], int]:
    match = re.compile(r"\.([A-Za-z]+)").match(text, end)
    part = match[1] if match else ""
    if match is None or part not in _MESSAGE_PARTS[root]:
        expected = ", ".join(f"${root}.{name}" for name in _MESSAGE_PARTS[root])
        raise ExpressionError(f'unknown part of ${root}: "{text[end:]}"', f"expected {expected}")
    end = match.end()
    if part == "body":
        return ("body",), end
    pattern = context.header if part == "header" else context.name
    name = pattern.match(text, end + 1) if text.startswith(".", end) else None
    if name is None:
        raise ExpressionError(f'"{text}" names no {part}', f"expected ${root}.{part}.NAME")
    return (part, name[0].lower() if part == "header" else name[0]), name.end()


def _dotted(text: str, root: str, end: int) -> tuple[tuple[str, ...], int]:
    match = _DOTTED.match(text, end + 1) if text.startswith(".", end) else None
    if match is None:
        raise ExpressionError(f'"{text}" names none of the {root}', f"expected ${root}.NAME")
    return (match[0],), match.end()


def _outputs_of(text: str, root: str, end: int) -> tuple[tuple[str, ...], int]:
    kinds = ("outputs",) if root == "steps" else ("inputs", "outputs")
    match = re.compile(
        rf"\.({_IDENTIFIER.pattern}(?:\.{_IDENTIFIER.pattern})*?)\.({'|'.join(kinds)})"
        rf"\.({_DOTTED.pattern})"
    ).match(text, end)
    if match is None:
        expected = " or ".join(f"${root}.ID.{kind}.NAME" for kind in kinds)
        raise ExpressionError(f'"{text}" names no output', f"expected {expected}")
    return match.groups(), match.end()


def _reference(text: str, root: str, end: int) -> tuple[tuple[str, ...], int]:
    match = re.compile(rf"\.({_IDENTIFIER.pattern})\.({_DOTTED.pattern})").match(text, end)
    if match is None:
        raise ExpressionError(f'"{text}" is incomplete', f"expected ${root}.NAME.NAME")
    return match.groups(), match.end()


def _own(text: str, root: str, end: int) -> tuple[tuple[str, ...], int]:
    match = re.compile(rf"\.({_IDENTIFIER.pattern})").match(text, end)
    known = _OWN_NAMES.get(root)
    if match is None or (known is not None and match[1] not in known):
        expected = ", ".join(f"${root}.{name}" for name in known or ("NAME",))
        remedy = did_you_mean(match[1], known) if match and known else f"expected {expected}"
        raise ExpressionError(f'unknown expression "{text}"', remedy)
    return (match[1],), match.end()


def _tail(text: str, end: int) -> tuple[tuple[str | int, ...], int]:
    found: list[str | int] = []
    while match := _TAIL.match(text, end):
        name, index, single, double = match.groups()
        found.append(int(index) if index is not None else name or single or double or "")
        end = match.end()
    return tuple(found), end
