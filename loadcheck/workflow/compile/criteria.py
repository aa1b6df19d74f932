"""Criteria: what an answer must be (Arazzo 1.0.1, "Criterion Object")."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import jsonpath_rfc9535
import orjson
from iregexp_check import check
from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction

from loadcheck.documents.pointer import MISSING, compile_pointer
from loadcheck.workflow.description import model
from loadcheck.workflow.expressions.conditions import SECTION, compare, compile_condition
from loadcheck.workflow.expressions.grammar import ExpressionError, parse_expression
from loadcheck.workflow.expressions.patterns import compile_pattern
from loadcheck.workflow.expressions.resolve import Resolver
from loadcheck.workflow.expressions.values import Frame, as_dynamic, as_text
from loadcheck.workflow.runtime.program import Criterion

_SINGULAR = re.compile(
    r"\s*(?P<query>\$(?:\.[A-Za-z_][A-Za-z0-9_]*|\[(?:-?[0-9]+|'[^'\\]*'|\"[^\"\\]*\")\])*)"
    r"(?:\s*(?P<operator>==|!=|<=|>=|<|>)\s*"
    r"(?P<literal>-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|'[^'\\]*'|\"[^\"\\]*\"))?\s*"
)
_SEGMENT = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(?:(-?[0-9]+)|'([^']*)'|\"([^\"]*)\")\]")


class _Matching(FilterFunction):
    """``match`` and ``search`` of RFC 9535 in linear time; what is no I-Regexp matches nothing."""

    arg_types: ClassVar = [ExpressionType.VALUE, ExpressionType.VALUE]
    return_type = ExpressionType.LOGICAL

    def __init__(self, form: str) -> None:
        self._form = form

    def __call__(self, text: object, pattern: object) -> bool:
        if not isinstance(text, str) or not isinstance(pattern, str) or not check(pattern):
            return False
        try:
            return compile_pattern(self._form.format(pattern))(text)
        except ExpressionError:
            return False


_JSONPATH = jsonpath_rfc9535.JSONPathEnvironment()
_JSONPATH.function_extensions |= {"match": _Matching("^(?:{})$"), "search": _Matching("(?:{})")}


def compile_criterion(raw: model.Criterion, resolver: Resolver) -> Criterion | None:
    """Compile a criterion; None if what is wrong with it was reported."""
    try:
        if raw.type == "simple":
            return simple(raw.condition, resolver)
        return _in_context(raw, resolver)
    except ExpressionError as error:
        resolver.scribe.error((*raw.path, "condition"), error.message, error.remedy, SECTION)
        return None


def simple(condition: str, resolver: Resolver) -> Criterion:
    """Compile a simple condition.

    Raises:
        ExpressionError: It does not parse.
    """
    holds, uses = compile_condition(condition, resolver.scope.resolve)
    return Criterion(text=condition, holds=holds, uses=uses)


def _in_context(raw: model.Criterion, resolver: Resolver) -> Criterion:
    condition, context = raw.condition, raw.context or ""
    value = resolver.expression(parse_expression(context), (*raw.path, "context"))
    dynamic = as_dynamic(value)
    test = _regex(condition) if raw.type == "regex" else _jsonpath(raw, context, resolver)
    text = f"{condition} ({raw.type} on {context})"
    if dynamic is None:
        outcome = value is not MISSING and test(value)
        return Criterion(text=text, holds=lambda _: outcome, uses=frozenset())
    get = dynamic.evaluate

    def holds(frame: Frame) -> bool:
        found = get(frame)
        return found is not MISSING and test(found)

    return Criterion(text=text, holds=holds, uses=dynamic.uses)


def _regex(pattern: str) -> Callable[[Any], bool]:
    matches = compile_pattern(pattern)
    return lambda value: matches(as_text(value))


def _jsonpath(raw: model.Criterion, context: str, resolver: Resolver) -> Callable[[Any], bool]:
    condition = raw.condition
    singular = _SINGULAR.fullmatch(condition)
    if singular is None or singular["operator"] is None:
        return compile_jsonpath_test(condition)
    tokens = _tokens(singular["query"])
    pointer = "".join(f"/{token}" for token in tokens)
    name, literal = singular["operator"], singular["literal"]
    suggestion = f"{context}#{pointer} {name} {literal.replace(chr(34), chr(39))}"
    resolver.scribe.warn(
        (*raw.path, "condition"),
        f'"{condition}" is no JSONPath: a comparison stands only in a filter (RFC 9535)',
        f'write "{suggestion}" with type simple, or "$[?{condition.strip()}]"',
        SECTION,
    )
    reach = compile_pointer(tokens)
    expected = orjson.loads(literal.replace("'", '"'))
    return lambda value: compare(name, reach(value), expected)


def compile_jsonpath_test(query: str) -> Callable[[Any], bool]:
    """Return whether a JSONPath query finds anything in a value (RFC 9535).

    Raises:
        ExpressionError: It is no JSONPath query.
    """
    find = compile_jsonpath(query)
    return lambda value: bool(find(value))


def compile_jsonpath(query: str) -> Callable[[Any], list[Any]]:
    """Return what a JSONPath query finds in a value (RFC 9535).

    Raises:
        ExpressionError: It is no JSONPath query.
    """
    singular = _SINGULAR.fullmatch(query)
    if singular is not None and singular["operator"] is None and "[-" not in query:
        reach = compile_pointer(_tokens(singular["query"]))

        def find_one(value: Any) -> list[Any]:
            found = reach(value)
            return [] if found is MISSING else [found]

        return find_one
    try:
        compiled = _JSONPATH.compile(query)
    except jsonpath_rfc9535.JSONPathError as error:
        message = str(error).splitlines()[0]
        raise ExpressionError(
            f'"{query}" is no JSONPath: {message}', "see RFC 9535 section 2"
        ) from None
    return lambda value: [node.value for node in compiled.find(value)]


def _tokens(query: str) -> tuple[str, ...]:
    return tuple(
        name or index or single or double for name, index, single, double in _SEGMENT.findall(query)
    )
