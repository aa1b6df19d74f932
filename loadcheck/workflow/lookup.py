"""Following an expression into the value that it starts from, now or when a copy runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loadcheck.errors import did_you_mean
from loadcheck.workflow.expressions import Expression, ExpressionError
from loadcheck.workflow.pointer import compile_pointer, look_up
from loadcheck.workflow.values import MISSING, Dynamic, Evaluate, Frame, as_dynamic


def follow(expression: Expression, value: Any, rest: tuple[str, ...]) -> Any:
    """Follow the rest of an expression into a value, known or not."""
    tokens = rest + tokens_of(expression)
    for index, token in enumerate(tokens):
        if isinstance(value, dict | list):
            value = look_up(value, (token,))
            continue
        late = as_dynamic(value)
        if late is None:
            return MISSING
        return dynamic(expression, late.evaluate, tokens[index:], uses=late.uses, whole=False)
    return value


def tokens_of(expression: Expression) -> tuple[str, ...]:
    """Return what the expression's pointer, "." and "[ ]" lead through."""
    return (expression.pointer or ()) + tuple(map(str, expression.tail))


def longest(
    expression: Expression, declared: Iterable[str], what: str
) -> tuple[str, tuple[str, ...]]:
    """Split a dotted name into the longest declared one, and members of its value.

    Args:
        expression: Its last word is the name.
        declared: The names that there are.
        what: Says that there is none, in a message: "the workflow has no input".

    Raises:
        ExpressionError: None is declared.
    """
    names = set(declared)
    words = expression.names[-1].split(".")
    for length in range(len(words), 0, -1):
        name = ".".join(words[:length])
        if name in names:
            return name, tuple(words[length:])
    raise ExpressionError(
        f'{what} "{words[0]}"', did_you_mean(words[0], names) or "none is declared"
    )


def dynamic(
    expression: Expression,
    evaluate: Evaluate,
    tokens: tuple[str, ...] = (),
    *,
    uses: frozenset[str] = frozenset(),
    optional: bool = False,
    whole: bool = True,
) -> Dynamic:
    """Return a dynamic value, with the pointer and the tail of the expression applied.

    Args:
        expression: As written.
        evaluate: Gives the value that they start from.
        tokens: Led through before them.
        uses: What the value depends on.
        optional: Whoever holds it is left out if there is none.
        whole: Whether pointer and tail are still to be applied.
    """
    path = tokens + tokens_of(expression) if whole else tokens
    if path:
        reach = compile_pointer(path)
        inner = evaluate

        def evaluate(frame: Frame) -> Any:
            value = inner(frame)
            return MISSING if value is MISSING else reach(value)

    return Dynamic(text=expression.text, evaluate=evaluate, uses=uses, optional=optional)
