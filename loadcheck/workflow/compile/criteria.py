"""Compile criteria: conditions on an answer (Arazzo 1.0.1, "Criterion Object")."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from loadcheck.documents.document import MISSING, compile_pointer, format_pointer
from loadcheck.workflow import description
from loadcheck.workflow.expressions import Dynamic, Frame, as_dynamic, as_text
from loadcheck.workflow.expressions.conditions import (
    SECTION,
    compile_condition,
    shortened,
    truth,
)
from loadcheck.workflow.expressions.grammar import Expression, ExpressionError, parse_expression
from loadcheck.workflow.expressions.patterns import compile_pattern
from loadcheck.workflow.expressions.resolve import Resolver
from loadcheck.workflow.expressions.selectors import (
    compile_jsonpath_test,
    compile_xpath,
    is_true_xpath,
    pointer_of,
    tokens_of_query,
)
from loadcheck.workflow.runtime import CompiledCriterion

_PIECE = re.compile(
    r"\s+|(?P<query>\$(?:\.[A-Za-z_][A-Za-z0-9_]*|\[(?:[0-9]+|'[^'\\]*'|\"[^\"\\]*\")\])+)"
    r"|(?P<operator>==|!=|<=|>=|<|>)|&&|\|\||[!()]"
    r"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![\w.])|(?:true|false|null)(?!\w)"
    r"|(?P<string>'[^'\\]*'|\"[^\"\\]*\")"
)
_LENGTH = re.compile(r"\$.*\.length$", re.DOTALL)
_LENGTH_OF = re.compile(r"(\$[^\s=!<>&|()]*)\.length(?![\w(])")


def compile_criterion(raw: description.Criterion, resolver: Resolver) -> CompiledCriterion | None:
    """Compile a criterion; None if a problem with it was reported."""
    try:
        if raw.type == "simple":
            if "{$" in raw.condition:
                plain = re.sub(r"\{(\$[^{}]*)\}", r"\1", raw.condition)
                resolver.reporter.warn(
                    (*raw.path, "condition"),
                    f'"{shortened(raw.condition)}": a condition has no braces',
                    f'write "{plain}"',
                    SECTION,
                )
            return simple(raw.condition, resolver)
        return _in_context(raw, resolver)
    except ExpressionError as error:
        resolver.reporter.error((*raw.path, "condition"), error.message, error.remedy, SECTION)
        return None


def simple(condition: str, resolver: Resolver) -> CompiledCriterion:
    """Compile a simple condition.

    Raises:
        ExpressionError: It does not parse.
    """
    holds, uses = compile_condition(condition, resolver.operand)
    return CompiledCriterion(text=condition, holds=holds, uses=uses)


def _in_context(raw: description.Criterion, resolver: Resolver) -> CompiledCriterion:
    condition, context = raw.condition, raw.context or ""
    value = resolver.expression(parse_expression(context), (*raw.path, "context"))
    dynamic = as_dynamic(value)
    test = _test(raw, context, resolver)
    text = f"{condition} ({raw.type} on {context})"
    if dynamic is None:
        outcome = value is not MISSING and test(value)
        return CompiledCriterion(text=text, holds=lambda _: outcome, uses=frozenset())
    get = dynamic.evaluate

    def holds(frame: Frame) -> bool:
        found = get(frame)
        return found is not MISSING and test(found)

    return CompiledCriterion(text=text, holds=holds, uses=dynamic.uses)


def _test(raw: description.Criterion, context: str, resolver: Resolver) -> Callable[[Any], bool]:
    """Return the test that a criterion, by its type, makes of the value of its context."""
    if raw.type == "regex":
        return _regex(raw.condition)
    if raw.type == "jsonpath":
        return _jsonpath(raw, context, resolver)
    if raw.type == "jsonpointer":
        reach = compile_pointer(pointer_of(raw.condition))
        return lambda value: truth(reach(value))
    select = compile_xpath(raw.condition, raw.type)
    return lambda value: is_true_xpath(select(value))


def _regex(pattern: str) -> Callable[[Any], bool]:
    matches = compile_pattern(pattern)
    return lambda value: matches(as_text(value))


def _jsonpath(
    raw: description.Criterion, context: str, resolver: Resolver
) -> Callable[[Any], bool]:
    condition = raw.condition
    pieces = _comparisons(condition)
    if pieces is None:
        return compile_jsonpath_test(condition)
    message = f'"{shortened(condition)}" is not a JSONPath'
    message += ": a comparison is allowed only in a filter (RFC 9535)"
    place = (*raw.path, "condition")
    filtered = "$[?" + _LENGTH_OF.sub(r"length(\1)", condition.strip()) + "]"
    if any(_LENGTH.search(piece) for piece in pieces):
        resolver.reporter.warn(place, message, f'write "{filtered}"', SECTION)
        return _with_lengths(pieces)
    base = context if "#" in context else f"{context}#"
    plain = "".join(
        base + format_pointer(tokens_of_query(piece)) if piece.startswith("$") else piece
        for piece in pieces
    )
    resolver.reporter.warn(
        place, message, f'write "{plain}" with type simple, or "{filtered}"', SECTION
    )
    return _test_of(pieces, lambda tokens, value: compile_pointer(tokens)(value))


def _comparisons(condition: str) -> list[str] | None:
    """Split a condition that compares results of JSONPath queries, which other tools accept.

    Returns:
        Singular queries, and the operators and literals between them in the syntax of a simple
        condition; None if the condition has another form.
    """
    pieces: list[str] = []
    position = 0
    compares = False
    while position < len(condition):
        match = _PIECE.match(condition, position)
        if match is None:
            return None
        text = match[0]
        compares = compares or match["operator"] is not None
        if match["string"]:
            text = "'" + text[1:-1].replace("'", "''") + "'"
        pieces.append(text)
        position = match.end()
    return pieces if compares else None


def _test_of(
    pieces: list[str], reach: Callable[[tuple[str, ...], Any], Any]
) -> Callable[[Any], bool]:
    """Return the test that the pieces form; ``reach`` evaluates a query on the value tested."""
    queries = [tokens_of_query(piece) for piece in pieces if piece.startswith("$")]
    numbers = iter(range(len(queries)))
    text = "".join(
        f"$inputs.q{next(numbers)}" if piece.startswith("$") else piece for piece in pieces
    )

    def found(expression: Expression) -> Dynamic:
        tokens = queries[int(expression.names[0][1:])]
        return Dynamic(text=expression.text, evaluate=lambda frame: reach(tokens, frame[0]))

    holds, _ = compile_condition(text, found)
    return lambda value: holds([value])


def _with_lengths(pieces: list[str]) -> Callable[[Any], bool]:
    """Return the test that the pieces form; ``.length`` of an array or string is its length."""

    def reach(tokens: tuple[str, ...], value: Any) -> Any:
        if tokens and tokens[-1] == "length":
            holder = compile_pointer(tokens[:-1])(value)
            if isinstance(holder, list | str):
                return len(holder)
        return compile_pointer(tokens)(value)

    return _test_of(pieces, reach)
