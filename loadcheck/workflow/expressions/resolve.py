"""Resolve the strings of a document: each is an expression, a template or literal text.

Strings may embed runtime expressions: ``"Basic {$inputs.basicAuth}"``. Only ``{$`` opens an
expression, so JSON text and other braces are left alone. A string that will be JSON text once its
expressions have values is recognised: values inside its string literals are escaped, values outside
are encoded as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from loadcheck.documents.document import MISSING
from loadcheck.documents.reader import DocumentReporter, Path
from loadcheck.workflow.expressions import (
    Constant,
    Dynamic,
    JsonStringPart,
    JsonTemplate,
    Template,
    as_dynamic,
    as_text,
    quote_json,
)
from loadcheck.workflow.expressions.grammar import (
    EMBEDDED,
    LATER,
    OWN,
    OWN_REMEDY,
    SECTION,
    VALUE,
    Expression,
    ExpressionError,
    is_expression,
    is_own,
    is_selector,
    parse_expression,
    scan_expression,
    unknown_root,
    version_of,
)
from loadcheck.workflow.expressions.scope import Scope
from loadcheck.workflow.expressions.selectors import select_value

_Part = TypeVar("_Part")

_LIKE_JSON = re.compile(r"\s*(?:\{\s*\"|\[\s*[\[{\"])")
_OPEN = re.compile(r"\{(?=\$[A-Za-z])")
_BARE_INPUT = re.compile(r"(?<!\{)\$inputs\.([A-Za-z0-9_\-]+)")
_UNBRACED = re.compile(
    r"(?<!\{)\$(?:(?:steps|workflows)(?:\.[A-Za-z0-9_\-]+){3,}"
    r"|(?:request|response)\.(?:body#/[^\s\"'{},;&]*|header\.[A-Za-z0-9_\-]+))"
)
"""References to outputs or parts of a message, which are hardly meant as literal text."""
_PLACEHOLDER: Final = "\ue000{}\ue001"
_PLACEHOLDERS = re.compile("\ue000([0-9]+)\ue001")
_TO_NEXT_QUOTE = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class Bare(NamedTuple):
    """An input inside a longer string, without the braces that the specification requires."""

    text: str
    name: str


def split_template(text: str, *, own: bool) -> list[str | Expression | Bare]:
    """Split a string at its embedded expressions.

    Args:
        text: Any string.
        own: Whether expressions of our own (``{$copy.userId}``) are known here.

    Raises:
        ExpressionError: What follows ``{$`` is not an expression, or no brace closes it.
    """
    parts: list[str | Expression | Bare] = []
    position = 0
    for opening in _OPEN.finditer(text):
        if opening.start() < position:
            continue
        expression, end = scan_expression(text, opening.end(), EMBEDDED)
        if not text.startswith("}", end):
            raise ExpressionError(f'no "}}" closes "{{{expression.text}"')
        if not own and is_own(expression.text):
            raise ExpressionError(
                f'"{expression.text}" is not a runtime expression of Arazzo',
                OWN_REMEDY,
            )
        parts += _bare(text[position : opening.start()])
        parts.append(expression)
        position = end + 1
    return parts + _bare(text[position:])


def _bare(text: str) -> list[str | Expression | Bare]:
    parts: list[str | Expression | Bare] = []
    position = 0
    for match in _BARE_INPUT.finditer(text):
        if match.start() > position:
            parts.append(text[position : match.start()])
        parts.append(Bare(match[0], match[1]))
        position = match.end()
    if position < len(text):
        parts.append(text[position:])
    return parts


def is_bare_text(text: str) -> bool:
    """Return whether a text begins with an input without braces and continues after it."""
    return text.startswith("$inputs.") and scan_expression(text, 0, VALUE)[1] < len(text)


def unbraced(text: str) -> list[str]:
    """Return parts of a literal text that look like expressions, other than inputs."""
    return list(dict.fromkeys(_UNBRACED.findall(text)))


def with_braces(text: str) -> str:
    """Return a text with braces around the parts found by :func:`unbraced`."""
    return _UNBRACED.sub(r"{\g<0>}", text)


def is_broken_json(parts: Sequence[str | Constant | Dynamic]) -> bool:
    """Return whether the template looks like JSON, is not JSON lines, and is not valid JSON."""
    first = parts[0] if parts else ""
    if not isinstance(first, str) or _LIKE_JSON.match(first) is None:
        return False
    whole = "".join(part if isinstance(part, str) else "0" for part in parts)
    lines = [line.strip() for line in whole.splitlines() if line.strip()]
    if len(lines) > 1 and all(line[0] + line[-1] in ("{}", "[]") for line in lines):
        return False  # JSON lines, one document per line, are treated as text
    return _as_json(parts) is None


def join_template(parts: list[str | Constant | Dynamic]) -> str | Template | JsonTemplate:
    """Join parts to a string if all are known, else to a template."""
    marked = _as_json(parts)
    if marked is None:
        text = tuple(
            _fold(as_text(part.value) if isinstance(part, Constant) else part for part in parts)
        )
        return _known(text) if _is_known(text) else Template(text)
    pieces: tuple[str | JsonStringPart | Dynamic, ...] = tuple(
        _fold(_json_piece(*pair) for pair in marked)
    )
    return _known(pieces) if _is_known(pieces) else JsonTemplate(pieces)


def _json_piece(part: str | Constant | Dynamic, inside: bool) -> str | JsonStringPart | Dynamic:
    if isinstance(part, Constant):
        return quote_json(part.value) if inside else orjson.dumps(part.value).decode()
    return JsonStringPart(part) if inside and isinstance(part, Dynamic) else part


def _is_known(parts: Iterable[object]) -> bool:
    return all(isinstance(part, str) for part in parts)


def _known(parts: Iterable[object]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def json_tree(value: str | JsonTemplate) -> object:
    """Parse a JSON text; expressions in it become dynamic values.

    Raises:
        ValueError: The text is not JSON.
    """
    if isinstance(value, str):
        tree: object = orjson.loads(value)
        return tree
    slots: list[Dynamic] = []
    text = ""
    for part in value.parts:
        if isinstance(part, str):
            text += part
            continue
        mark = _PLACEHOLDER.format(len(slots))
        slots.append(part.dynamic if isinstance(part, JsonStringPart) else part)
        text += mark if isinstance(part, JsonStringPart) else f'"{mark}"'
    bare = {
        index
        for index, part in enumerate(part for part in value.parts if not isinstance(part, str))
        if isinstance(part, Dynamic)
    }
    return _fill(orjson.loads(text), slots, bare)


def _fill(tree: object, slots: list[Dynamic], bare: set[int]) -> object:
    if isinstance(tree, dict):
        return {name: _fill(member, slots, bare) for name, member in tree.items()}
    if isinstance(tree, list):
        return [_fill(member, slots, bare) for member in tree]
    if not isinstance(tree, str):
        return tree
    words = _PLACEHOLDERS.split(tree)
    if len(words) == 1:
        return tree
    if len(words) == 3 and not words[0] and not words[2] and int(words[1]) in bare:  # noqa: PLR2004 -- "", number, ""
        return slots[int(words[1])]
    parts = [slots[int(word)] if index % 2 else word for index, word in enumerate(words)]
    return Template(tuple(part for part in parts if part != ""))


def _as_json(
    parts: Sequence[str | Constant | Dynamic],
) -> list[tuple[str | Constant | Dynamic, bool]] | None:
    """Return each part and whether it is inside a string literal; None if this is not JSON."""
    first = parts[0] if parts else ""
    if not isinstance(first, str) or not first.lstrip().startswith(("{", "[")) or len(parts) < 2:  # noqa: PLR2004 -- a text and a value
        return None
    marked: list[tuple[str | Constant | Dynamic, bool]] = []
    probe = ""
    inside = False
    for part in parts:
        marked.append((part, inside))
        if isinstance(part, str):
            probe += part
            inside = _ends_inside(part, inside=inside)
        else:
            probe += "x" if inside else "0"
    try:
        orjson.loads(probe)
    except ValueError:
        return None
    return marked


def _ends_inside(text: str, *, inside: bool) -> bool:
    position = 0
    while True:
        if inside:
            match = _TO_NEXT_QUOTE.match(text, position)
            if match is None:
                return True
            position, inside = match.end(), False
        else:
            position = text.find('"', position) + 1
            if not position:
                return False
            inside = True


def _fold(parts: Iterable[str | _Part]) -> list[str | _Part]:
    """Join neighbouring literals."""
    folded: list[str | _Part] = []
    for part in parts:
        last = folded[-1] if folded else None
        if isinstance(part, str) and isinstance(last, str):
            folded[-1] = last + part
        else:
            folded.append(part)
    return folded


SELECTOR: Final = "Selector Object"


class Resolver:
    """Resolves the strings of one workflow and reports problems with them.

    Args:
        scope: Resolves expressions.
        reporter: Receives problems.
        own: Whether expressions of our own (``$copy.userId``) are known.
        encode: Applied to known values that are inserted into a string.
    """

    def __init__(
        self,
        scope: Scope,
        reporter: DocumentReporter,
        *,
        own: bool = False,
        encode: Callable[[str], bytes] | None = None,
    ) -> None:
        self.scope = scope
        self.reporter = reporter
        self._own = own
        self._encode = encode
        self._selects = own or version_of(reporter.document.root) == LATER

    def value(self, raw: Any, path: Path) -> Any:
        """Return a JSON value with every string in it resolved.

        Members and items whose expression can never have a value are left out. The value as a whole
        may be ``MISSING``.
        """
        if isinstance(raw, str):
            return self.string(raw, path)
        if self._selects and is_selector(raw):
            return self._selected(raw, path)
        if isinstance(raw, dict):
            members = {name: self.value(value, (*path, name)) for name, value in raw.items()}
            return {name: value for name, value in members.items() if value is not MISSING}
        if isinstance(raw, list):
            items = [self.value(value, (*path, index)) for index, value in enumerate(raw)]
            return [value for value in items if value is not MISSING]
        return raw

    def _selected(self, raw: dict[str, Any], path: Path) -> Any:
        context = self.string(raw["context"], (*path, "context"))
        try:
            return select_value(raw, context)
        except ExpressionError as error:
            self.reporter.error((*path, "selector"), error.message, error.remedy, SELECTOR)
            return Dynamic(text=str(raw["context"]), evaluate=lambda _: MISSING)

    def string(self, raw: str, path: Path) -> Any:
        """Return the value of a string; ``MISSING`` if it has none.

        After a reported problem the value is dynamic, so that no further problem is reported.
        """
        if "$" not in raw:
            return raw
        try:
            if (is_own(raw) or is_expression(raw, own=self._own)) and not is_bare_text(raw):
                return self.expression(parse_expression(raw), path)
            self._check_root(raw, path)
            return self._template(raw, path)
        except ExpressionError as error:
            self.reporter.error(path, error.message, error.remedy, SECTION)
            return Dynamic(text=raw, evaluate=lambda _: MISSING)

    def _check_root(self, raw: str, path: Path) -> None:
        """Warn of text that begins with an unknown root.

        Raises:
            ExpressionError: The root resembles a known one: an expression was most likely meant.
        """
        found = unknown_root(raw, own=self._own)
        if found is None:
            return
        root, meant = found
        if meant:
            raise ExpressionError(
                f'"{raw}" would be sent as text: "{root}" begins no expression',
                f'did you mean "{meant}"?',
            )
        self.reporter.warn(
            path,
            f'"{raw}" is sent as text: "{root}" begins no expression',
            "expressions begin with $inputs, $steps, $response, …",
            SECTION,
        )

    def operand(self, expression: Expression) -> Any:
        """Return the value of an expression.

        Raises:
            ExpressionError: It refers to nothing, or is loadcheck's own in an Arazzo document.
        """
        if expression.root in OWN and not self._own:
            raise ExpressionError(
                f'"{expression.text}" is not a runtime expression of Arazzo', OWN_REMEDY
            )
        return self.scope.resolve(expression)

    def expression(self, expression: Expression, path: Path) -> Any:
        """Return the value of an expression that stands alone.

        Raises:
            ExpressionError: It refers to nothing.
        """
        value = self.operand(expression)
        tokens = self.scope.tokens
        if tokens and tokens[-1] == "length":
            whole = self.scope.conforming(expression).removesuffix("/length").removesuffix("#")
            self.reporter.warn(
                path,
                f'"{expression.text}": an expression has no length, this is a member "length"',
                f'take the whole of it, "{whole}", and test an item: type jsonpath, "$[0]"',
                SECTION,
            )
        elif self.scope.conforming(expression) != expression.text:
            shorter = expression.standard and not tokens and self._is_first_version
            if not shorter:
                self.reporter.warn(
                    path,
                    f'"{expression.text}" is not spelt as in the specification',
                    f'write "{self.scope.conforming(expression)}"',
                    SECTION,
                )
        return value

    @property
    def _is_first_version(self) -> bool:
        """Whether the document follows Arazzo 1.0.0, which had some different spellings."""
        root = self.reporter.document.root
        return isinstance(root, dict) and root.get("arazzo") == "1.0.0"

    def _template(self, raw: str, path: Path) -> str | Dynamic | Template | JsonTemplate:
        parts: list[str | Constant | Dynamic] = []
        for part in split_template(raw, own=self._own):
            if isinstance(part, str):
                self._suspect(part, raw, path)
                parts.append(part)
                continue
            if isinstance(part, Bare):
                expression = self._bare(part, raw, path)
                if expression is None:
                    parts.append(part.text)
                    continue
            else:
                expression = part
            value = self.expression(expression, path)
            if value is MISSING:
                if expression.root != "inputs":
                    raise ExpressionError(f'"{expression.text}" has no value, in "{raw}"')
                name = expression.names[-1]
                if self.scope.signature.inputs.get(name):  # reported where it is asked for
                    return Dynamic(text=raw, evaluate=lambda _: MISSING)
                raise ExpressionError(
                    f'"{expression.text}" has no value, in "{raw}"',
                    f"give it one in the scenario: [inputs] {name} = …",
                )
            parts.append(as_dynamic(value) or self._known(value))
        value = join_template(parts)
        if is_broken_json(parts):
            raise ExpressionError(
                f'"{raw}" looks like JSON text but is not', "check its quotes and brackets"
            )
        return value

    def _known(self, value: Any) -> Constant | str:
        return Constant(value) if self._encode is None else self._encode(as_text(value)).decode()

    def _suspect(self, literal: str, raw: str, path: Path) -> None:
        for text in unbraced(literal):
            self.reporter.warn(
                path,
                f'"{text}" inside a longer string is sent as it is written',
                f'if it is meant as an expression, write "{with_braces(raw)}"',
                SECTION,
            )

    def _bare(self, bare: Bare, raw: str, path: Path) -> Expression | None:
        braced = raw.replace(bare.text, f"{{{bare.text}}}")
        if bare.name in self.scope.signature.inputs:
            self.reporter.warn(
                path,
                f'"{bare.text}" inside a longer string has no braces',
                f'write "{braced}"',
                SECTION,
            )
            return parse_expression(bare.text)
        self.reporter.warn(
            path,
            f'"{bare.text}" is sent as it is written: no such input is declared',
            f'if it is meant as an expression, declare the input and write "{braced}"',
            SECTION,
        )
        return None
