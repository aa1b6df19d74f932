"""Simple conditions: ``$statusCode == 200 && !$response.body.failed`` (Arazzo, "Criterion Object").

A condition is parsed once into a closure over a frame. An absent value counts as null. Strings
compare case-insensitively, as the specification requires. A string that looks like a number is
compared with a number as one, which header values need ("Literals").
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias, cast

from loadcheck.documents.document import MISSING
from loadcheck.documents.formats import describe
from loadcheck.workflow.exchange import UNREAD
from loadcheck.workflow.expressions import Dynamic, Evaluate, Frame, as_dynamic
from loadcheck.workflow.expressions.grammar import (
    BRACED_CONDITION,
    CONDITION,
    Expression,
    ExpressionError,
    scan_expression,
)

Node: TypeAlias = tuple[Evaluate | None, Any]


SECTION: Final = "Criterion Object"

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<operator>==|!=|<=|>=|<|>)|(?P<logic>&&|\|\||[!(){}])"
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?![\w.])"
    r"|(?P<string>'(?:[^']|'')*')|(?P<word>true|false|null)(?!\w)|(?P<expression>\$[A-Za-z]))"
)
_REST = re.compile(r"\s*$")
_NUMBER = re.compile(r"\s*-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*")
_MAX_NESTING: Final = 100
_LONG: Final = 80


def compile_condition(
    text: str, resolve: Callable[[Expression], Any]
) -> tuple[Callable[[Frame], bool], frozenset[str]]:
    """Compile a simple condition.

    Args:
        text: The condition.
        resolve: Returns the value of an expression in it.

    Returns:
        The test, and what it depends on.

    Raises:
        ExpressionError: The condition does not parse, or an expression in it refers to nothing.
    """
    parser = _Parser(text, resolve)
    evaluate, constant = parser.whole()
    uses = frozenset(parser.uses)
    if evaluate is None:
        outcome = truth(constant)
        return lambda _: outcome, uses
    if parser.boolean:
        return cast("Callable[[Frame], bool]", evaluate), uses
    return lambda frame: truth(evaluate(frame)), uses


def shortened(text: str) -> str:
    """Shorten a long text for a message to its beginning and its end."""
    return text if len(text) <= _LONG else f"{text[: _LONG - 20]} … {text[-17:]}"


def truth(value: Any) -> bool:
    """Return whether a value counts as true: not absent, null, false, 0 or empty."""
    return value is not MISSING and bool(value)


def compare(name: str, left: Any, right: Any) -> bool:
    """Compare two JSON values, or ``MISSING``, as a simple condition does."""
    left, right = _alike(left, right)
    if name in {"==", "!="}:
        return same(left, right) is (name == "==")
    kind = describe(left)
    if kind != describe(right) or kind not in {"a number", "a string"}:
        return False
    return _OPERATORS[name](left, right)


def same(left: Any, right: Any) -> bool:
    """Return whether two JSON values are equal; true is not 1, the case of strings is ignored."""
    if describe(left) != describe(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        pairs = zip(left, right, strict=False)
        return len(left) == len(right) and all(same(one, other) for one, other in pairs)
    if isinstance(left, str):
        return bool(left.casefold() == right.casefold())
    return bool(left == right)


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    left = None if left is MISSING else left
    right = None if right is MISSING else right
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold(), right.casefold()
    if isinstance(left, str):
        return _like(left, right), right
    if isinstance(right, str):
        return left, _like(right, left)
    return left, right


def _like(text: str, other: Any) -> Any:
    """Convert a text to the type of ``other``, a boolean or number, if it can be read as one."""
    if isinstance(other, bool):
        return {"true": True, "false": False}.get(text.casefold(), text)
    if isinstance(other, int | float) and _NUMBER.fullmatch(text):
        return float(text)
    return text


class _Parser:
    """A recursive-descent parser.

    A node is ``(None, value)`` if constant, else ``(evaluate, hint)``; see :func:`_mark`.
    """

    def __init__(self, text: str, resolve: Callable[[Expression], Any]) -> None:
        self._text = text
        self._resolve = resolve
        self._position = 0
        self._depth = 0
        self._braces = 0
        self.uses: set[str] = set()
        self.boolean = False

    def whole(self) -> Node:
        node = self._or()
        if not _REST.match(self._text, self._position):
            raise self._unexpected("expected an operator")
        return node

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise ExpressionError("the condition is nested too deeply")
        left = self._and()
        while self._take("||"):
            left = _either(left, self._and())
            self.boolean = True
        self._depth -= 1
        return left

    def _and(self) -> Node:
        left = self._comparison()
        while self._take("&&"):
            left = _both(left, self._comparison())
            self.boolean = True
        return left

    def _comparison(self) -> Node:
        left = self._unary()
        match = _TOKEN.match(self._text, self._position)
        if match is None or match["operator"] is None:
            return left
        self._position = match.end()
        right = self._unary()
        self.boolean = True
        return _comparison(match["operator"], left, right)

    def _unary(self) -> Node:
        if self._take("!"):
            self._depth += 1
            if self._depth > _MAX_NESTING:
                raise ExpressionError("the condition is nested too deeply")
            node = _negation(self._unary())
            self._depth -= 1
            self.boolean = True
            return node
        for opening, closing in (("(", ")"), ("{", "}")):
            if self._take(opening):
                self._braces += opening == "{"
                node = self._or()
                if not self._take(closing):
                    raise self._unexpected(f'expected "{closing}"')
                self._braces -= opening == "{"
                return node
        return self._operand()

    def _operand(self) -> Node:
        match = _TOKEN.match(self._text, self._position)
        self.boolean = False
        if match is None or match["operator"] or match["logic"]:
            raise self._unexpected("expected a value: $expression, 'text', number, true or null")
        if match["expression"]:
            start = match.start("expression")
            expression, self._position = scan_expression(
                self._text, start, BRACED_CONDITION if self._braces else CONDITION
            )
            value = self._resolve(expression)
            dynamic = as_dynamic(value)
            if dynamic is None:
                return None, value
            self.uses |= dynamic.uses
            return dynamic.evaluate, _mark(expression, dynamic)
        self._position = match.end()
        if match["string"]:
            return None, match["string"][1:-1].replace("''", "'")
        if match["word"]:
            return None, {"true": True, "false": False, "null": None}[match["word"]]
        number = match["number"]
        return None, float(number) if re.search(r"[.eE]", number) else int(number)

    def _take(self, token: str) -> bool:
        match = _TOKEN.match(self._text, self._position)
        if match is None or match["logic"] != token:
            return False
        self._position = match.end()
        return True

    def _unexpected(self, expected: str) -> ExpressionError:
        rest = self._text[self._position :].strip()
        place = f'at "{shortened(rest)}"' if rest else "at its end"
        if rest.startswith('"'):
            expected = "put text in single quotes: 'text'"
        elif re.match(r"=(?!=)", rest):
            expected = 'equality is "=="'
        return ExpressionError(
            f'the condition "{shortened(self._text)}" does not parse {place}', expected
        )


class _Member(NamedTuple):
    name: str


def _mark(expression: Expression, dynamic: Dynamic) -> Any:
    """Return a hint for a status code or a member of the body, which have faster comparisons."""
    if dynamic.member is not None:
        return _Member(dynamic.member)
    return "status" if expression.root == "statusCode" and not dynamic.uses else None


def _either(left: Node, right: Node) -> Node:
    first, second = _test(left), _test(right)
    return (lambda frame: first(frame) or second(frame)), None


def _both(left: Node, right: Node) -> Node:
    first, second = _test(left), _test(right)
    return (lambda frame: first(frame) and second(frame)), None


def _negation(node: Node) -> Node:
    test = _test(node)
    return (lambda frame: not test(frame)), None


def _test(node: Node) -> Callable[[Frame], bool]:
    evaluate, constant = node
    if evaluate is None:
        outcome = truth(constant)
        return lambda _: outcome
    return lambda frame: truth(evaluate(frame))


def _comparison(name: str, left: Node, right: Node) -> Node:
    (get_left, fixed_left), (get_right, fixed_right) = left, right
    relate = _OPERATORS[name]
    if get_left is None and get_right is None:
        return None, compare(name, fixed_left, fixed_right)
    if get_left is not None and get_right is None and type(fixed_right) in {int, float}:
        if fixed_left == "status" and name == "==":
            return (lambda frame: frame[0].status == fixed_right), None

        def number(frame: Frame) -> bool:
            value = get_left(frame)
            if type(value) is int:
                return relate(value, fixed_right)
            return compare(name, value, fixed_right)

        if isinstance(fixed_left, _Member):
            return _short(fixed_left.name, relate, fixed_right, number), None
        return number, None

    def general(frame: Frame) -> bool:
        return compare(
            name,
            fixed_left if get_left is None else get_left(frame),
            fixed_right if get_right is None else get_right(frame),
        )

    return general, None


def _short(
    member: str,
    relate: Callable[[Any, Any], bool],
    fixed: float,
    otherwise: Callable[[Frame], bool],
) -> Callable[[Frame], bool]:
    """Return a fast comparison for an integer member of the body, which every copy evaluates."""

    def holds(frame: Frame) -> bool:
        body = frame[0].parsed
        if body is UNREAD:
            try:
                body = frame[0].json()
            except ValueError:
                return otherwise(frame)
        if type(body) is dict:
            value = body.get(member)
            if type(value) is int:
                return relate(value, fixed)
        return otherwise(frame)

    return holds
