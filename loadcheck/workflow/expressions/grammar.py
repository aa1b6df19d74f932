"""Runtime expressions (Arazzo 1.0.1 and 1.1.0, "Runtime Expressions").

The grammar of 1.0.1 ends every name with ``*CHAR``, which swallows the closing brace of an embedded
expression. Names here consist of letters, digits, ``-``, ``_`` and, where declared names may have
them, dots, as in 1.1.0. Names of inputs and outputs may also contain ``$``, as OData's do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from loadcheck.documents.document import format_pointer, parse_pointer
from loadcheck.errors import did_you_mean
from loadcheck.workflow import identity as buckets

SECTION: Final = "Runtime Expressions"

STANDARD: Final = (
    "url", "method", "statusCode", "request", "response", "inputs", "outputs", "steps",
    "workflows", "sourceDescriptions", "components", "self",
)  # fmt: skip
OWN: Final = ("copy", "run", "query", "target", "data", "values", "setup")
OWN_REMEDY: Final = "what is loadcheck's own belongs in the scenario's inputs and overlay"

_MESSAGE_PARTS: Final = {
    "request": ("header", "query", "path", "body"),
    "response": ("header", "body"),
}
_OWN_NAMES: Final = {
    "copy": (
        *("userId", "insertId", "number", "time", "isoTime", "userUuid", "insertUuid", "events"),
        *buckets.NAMES,
    ),
    "run": ("id", "startDay", "endDay", "startDate", "endDate"),
    "query": ("number",),
}

_ROOT = re.compile(r"\$([A-Za-z]+)")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_\-]+")
_TOKEN = re.compile(r"[!$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A field name (RFC 9110 section 5.6.2); "#" begins a pointer here."""
_WORD = re.compile(r"[A-Za-z0-9_\-$]+")
_DOTTED = re.compile(rf"{_WORD.pattern}(?:\.{_WORD.pattern})*")
_TAIL = re.compile(r"\.([A-Za-z_][A-Za-z0-9_\-]*)|\[\s*(?:(\d+)|'([^']*)'|\"([^\"]*)\")\s*\]")


_SHORT_OUTPUT = re.compile(rf"\.({_IDENTIFIER.pattern})\.({_IDENTIFIER.pattern})(?![\w\-.])")
_ROOTLIKE = re.compile(r"\$([A-Za-z]+)(?=[.#])")
_SHORTHANDS: Final = {
    "body": "$response.body",
    "header": "$response.header.NAME",
    "headers": "$response.header.NAME",
    "status": "$statusCode",
    "code": "$statusCode",
    "query": "$request.query.NAME",
    "path": "$request.path.NAME",
    "params": "$inputs",
    "sourceDescription": "$sourceDescriptions",
}
_LISTED: Final = "expected one of " + ", ".join(f"${name}" for name in sorted(STANDARD))


class ExpressionError(ValueError):
    """A text is not a valid runtime expression; ``remedy`` says how to fix it, "" if unknown."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class _Context(NamedTuple):
    """The characters that names and pointers may have, depending on where an expression is."""

    header: re.Pattern[str]
    name: re.Pattern[str]
    pointer: re.Pattern[str]


VALUE: Final = _Context(_TOKEN, re.compile(r"[^#]+"), re.compile(r".*", re.DOTALL))
EMBEDDED: Final = _Context(_TOKEN, re.compile(r"[^#}]+"), re.compile(r"[^}]*"))
CONDITION: Final = _Context(
    _IDENTIFIER, _WORD, re.compile(r"(?:(?!==|!=|<=|>=|&&|\|\|)[^\s()<>])*")
)
BRACED_CONDITION: Final = _Context(
    _IDENTIFIER, _WORD, re.compile(r"(?:(?!==|!=|<=|>=|&&|\|\|)[^\s()<>{}])*")
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed runtime expression.

    Attributes:
        text: The expression as written.
        root: The word after the "$".
        names: The words after the root: ``$steps.a.outputs.b`` has ("a", "outputs", "b"); header
            names are in lower case, and a name that may contain dots is one word.
        pointer: Reference tokens of the JSON Pointer; None without one.
        tail: Members and indexes selected by "." and "[ ]", which only conditions may have.
        stem: The text without the tail.
        standard: The stem as the current specification spells it; "" if it is already spelt so.
    """

    text: str
    root: str
    names: tuple[str, ...] = ()
    pointer: tuple[str, ...] | None = None
    tail: tuple[str | int, ...] = ()
    stem: str = ""
    standard: str = ""

    @property
    def conforming(self) -> str:
        """The spelling with a JSON Pointer instead of "." and "[ ]"."""
        stem = self.standard or self.stem or self.text
        if not self.tail:
            return stem
        base = stem if self.pointer is not None else f"{stem}#"
        return base + format_pointer(self.tail)


def is_expression(text: str, *, own: bool) -> bool:
    """Return whether a text is meant as a runtime expression: it begins with "$" and a known root.

    Args:
        text: Any string.
        own: Whether expressions of our own (``$copy.userId``) count.
    """
    match = _ROOT.match(text)
    if match is None:
        return False
    rest = text[match.end() : match.end() + 1]
    if match[1] in {"url", "method", "statusCode", "self"}:
        return not rest
    known = (*STANDARD, "message")  # of AsyncAPI, refused by name where it is read
    return rest in {".", ""} and (match[1] in known or (own and match[1] in OWN))


def is_own(text: str) -> bool:
    """Return whether the text is a loadcheck extension expression ($copy, $run, …)."""
    return is_expression(text, own=True) and not is_expression(text, own=False)


LATER: Final = "1.1"


def version_of(root: Any) -> str:
    """Return the rules that a document follows: "1.0.0", "1.0" for later 1.0.x, or "1.1"."""
    version = root.get("arazzo") if isinstance(root, Mapping) else None
    if not isinstance(version, str):
        return "1.0"
    return "1.0.0" if version == "1.0.0" else LATER if version.startswith("1.1.") else "1.0"


def is_selector(value: object) -> bool:
    """Return whether a value is a Selector Object (Arazzo 1.1.0)."""
    return (
        isinstance(value, dict)
        and value.keys() == {"context", "selector", "type"}
        and isinstance(value["context"], str)
        and value["context"].startswith("$")
    )


def unknown_root(text: str, *, own: bool) -> tuple[str, str] | None:
    """Return the unknown root that a text begins with, and a suggestion ("" if there is none).

    None if the text begins with a known root, or with none at all, as "$5.00" and "$.a".
    """
    match = _ROOTLIKE.match(text)
    if match is None or match[1] in STANDARD or match[1] in OWN:
        return None
    return f"${match[1]}", _meant(match[1], own=own)


def _meant(root: str, *, own: bool) -> str:
    """Return the expression or root that a word most likely means; "" if none is similar."""
    if root in _SHORTHANDS:
        return _SHORTHANDS[root]
    known = {name.lower(): name for name in (*STANDARD, *(OWN if own else ()))}
    near = difflib.get_close_matches(root.lower(), known, n=1, cutoff=0.75)
    return f"${known[near[0]]}" if near else ""


def parse_expression(text: str) -> Expression:
    """Parse a text that is a single runtime expression.

    Raises:
        ExpressionError: It is not one.
    """
    expression, end = scan_expression(text, 0, VALUE)
    if end < len(text):
        rest = text[end:]
        remedy = 'an expression inside a longer string needs braces: "{$inputs.name}"'
        if rest.startswith("[") and not expression.tail:
            remedy = (
                f'one value has a JSON Pointer: "{text[:end]}#/0"; for several, Arazzo 1.1 has a'
                f" selector: {{context: {text[:end]}, selector: '${rest}', type: jsonpath}}"
            )
        raise ExpressionError(f'"{rest}" is left over behind "{text[:end]}"', remedy)
    return expression


def scan_expression(text: str, start: int, context: _Context) -> tuple[Expression, int]:
    """Parse the expression at ``start``; return it and the position after it.

    Raises:
        ExpressionError: There is no valid expression.
    """
    match = _ROOT.match(text, start)
    if match is None:
        raise ExpressionError(f'"{text[start : start + 20]}" does not start with "$" and a name')
    root, end = match[1], match.end()
    names, end = _names(text, root, end, context)
    full = ".".join((f"${root}", *names))
    standard = full if root == "steps" and not text.startswith(full, start) else ""
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
    takes_tail = _takes_pointer(root, names) and names[:1] != ("header",)
    tail, end = _tail(text, end) if takes_tail else ((), end)
    return Expression(text[start:end], root, names, pointer, tail, stem, standard), end


def _names(text: str, root: str, end: int, context: _Context) -> tuple[tuple[str, ...], int]:
    """Parse the words after a root; return them and the position after them."""
    if root in {"url", "method", "statusCode", "self"}:
        return (), end
    if root in _MESSAGE_PARTS:
        return _message(text, root, end, context)
    if root in {"inputs", "outputs"}:
        return _dotted(text, root, end)
    if root in {"steps", "workflows"}:
        return _outputs_of(text, root, end)
    if root in {"sourceDescriptions", "components"}:
        return _reference(text, root, end)
    if root in OWN:
        return _own(text, root, end)
    if root == "message":
        remedy = "loadcheck runs HTTP steps: $request, $response"
        raise ExpressionError('"$message" belongs to AsyncAPI messages', remedy)
    meant = _meant(root, own=False)
    remedy = f'did you mean "{meant}"?' if meant else _LISTED
    raise ExpressionError(f'unknown expression "${root}"', remedy)


def _takes_pointer(root: str, names: tuple[str, ...]) -> bool:
    values = {"inputs", "outputs", "steps", "workflows", "data", "values", "setup"}
    return root in values or names == ("body",) or (root == "response" and names[0] == "header")


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
    if match is not None:
        return match.groups(), match.end()
    short = _SHORT_OUTPUT.match(text, end) if root == "steps" else None
    if short is not None and short[2] != "outputs":  # the form of 1.0.0
        return (short[1], "outputs", short[2]), short.end()
    expected = " or ".join(f"${root}.ID.{kind}.NAME" for kind in kinds)
    raise ExpressionError(f'"{text}" names no output', f"expected {expected}")


def _reference(text: str, root: str, end: int) -> tuple[tuple[str, ...], int]:
    match = re.compile(rf"\.({_IDENTIFIER.pattern})\.({_DOTTED.pattern})").match(text, end)
    if match is None:
        raise ExpressionError(f'"{text}" is incomplete', f"expected ${root}.NAME.NAME")
    return match.groups(), match.end()


def _own(text: str, root: str, end: int) -> tuple[tuple[str, ...], int]:
    if root == "data":
        pair = re.compile(rf"\.({_IDENTIFIER.pattern})\.({_IDENTIFIER.pattern})").match(text, end)
        if pair is None:
            raise ExpressionError(f'"{text}" names no column', "expected $data.NAME.COLUMN")
        return pair.groups(), pair.end()
    if root == "setup":
        pair = re.compile(rf"\.(outputs)\.({_DOTTED.pattern})").match(text, end)
        if pair is None:
            raise ExpressionError(f'"{text}" names no output', "expected $setup.outputs.NAME")
        return pair.groups(), pair.end()
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
