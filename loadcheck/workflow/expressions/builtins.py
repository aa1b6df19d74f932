"""Values of runtime expressions, and of the members that expressions select from them.

Arazzo's are read from an exchange (``$url $method $statusCode $request.* $response.*``); our own
are ``$copy.* $run.* $query.* $target.*``. They are resolved now, or when a copy runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from loadcheck.data.users import UserIds, uuid_of
from loadcheck.documents import format_instant
from loadcheck.documents.document import MISSING, compile_pointer, look_up
from loadcheck.errors import did_you_mean
from loadcheck.workflow.description.inputs import DeclaredInputs
from loadcheck.workflow.exchange import Exchange
from loadcheck.workflow.expressions import Dynamic, Evaluate, Frame, Pattern, Slot, as_dynamic
from loadcheck.workflow.expressions.grammar import Expression, ExpressionError
from loadcheck.workflow.identity import NAMES, Run, insert_id, prefix


def follow(expression: Expression, value: Any, rest: tuple[str, ...]) -> Any:
    """Return what the rest of an expression selects from a value, known or dynamic."""
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
    """Return the names and indexes of the expression's pointer, then those of "." and "[ ]"."""
    return (expression.pointer or ()) + tuple(map(str, expression.tail))


def longest(
    expression: Expression, declared: Iterable[str], what: str
) -> tuple[str, tuple[str, ...]]:
    """Split a dotted name into the longest declared name, and members of its value.

    Args:
        expression: Its last word is the name.
        declared: The declared names.
        what: Begins the message if there is none: "the workflow has no input".

    Raises:
        ExpressionError: No prefix of the name is declared.
    """
    names = set(declared)
    words = expression.names[-1].split(".")
    for length in range(len(words), 0, -1):
        name = ".".join(words[:length])
        if name in names:
            return name, tuple(words[length:])
    if isinstance(declared, DeclaredInputs) and declared.accepts(words[0]):
        return words[0], tuple(words[1:])
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
        expression: The expression.
        evaluate: Returns the value that they are applied to.
        tokens: Names and indexes to follow first.
        uses: What the value depends on.
        optional: The containing member is omitted when there is no value.
        whole: Whether pointer and tail are applied; False if ``tokens`` contains them.
    """
    path = tokens + tokens_of(expression) if whole else tokens
    if path:
        reach = compile_pointer(path)
        inner = evaluate

        def evaluate(frame: Frame) -> Any:
            value = inner(frame)
            return MISSING if value is MISSING else reach(value)

    return Dynamic(text=expression.text, evaluate=evaluate, uses=uses, optional=optional)


ROOTS: Final = frozenset({"url", "method", "statusCode", "request", "response"})
"""Roots of the expressions that have no value before a step has been answered."""


def read_message(expression: Expression, template: str | None) -> Dynamic:
    """Return a dynamic value that is read from the exchange in the frame.

    Args:
        expression: An expression with one of :data:`ROOTS`.
        template: Path template of the request; None if it is unknown.

    Raises:
        ExpressionError: The path has no such parameter.
    """
    if expression.root == "request":
        return _request(expression, template)
    if expression.root == "response":
        return _response(expression)
    return _from_exchange(expression, _SIMPLE[expression.root])


def _request(expression: Expression, template: str | None) -> Dynamic:
    part = expression.names[0]
    if part == "body":
        return dynamic(expression, _request_body(whole=not tokens_of(expression)))
    name = expression.names[1]
    if part == "header":
        return _from_exchange(expression, lambda exchange: _header(exchange, name))
    if part == "query":
        return _from_exchange(expression, lambda exchange: _query_value(exchange, name))
    if template is None:  # an unknown operation, which was reported
        return _from_exchange(expression, lambda _: MISSING)
    variables = re.findall(r"\{([^{}]+)\}", template)
    if name not in variables:
        remedy = did_you_mean(name, variables)
        raise ExpressionError(f'the path {template} has no "{name}"', remedy)
    return _from_exchange(expression, _path_reader(template, name))


def _from_exchange(expression: Expression, read: Callable[[Exchange], Any]) -> Dynamic:
    return dynamic(expression, lambda frame: read(frame[Slot.EXCHANGE]))


def _status(exchange: Exchange) -> Any:
    return exchange.status or MISSING


def _request_body(*, whole: bool) -> Evaluate:
    def evaluate(frame: Frame) -> Any:
        body = frame[Slot.EXCHANGE].request.body
        try:
            return orjson.loads(body)
        except ValueError:
            return body.decode("utf-8", "replace") if whole and body else MISSING

    return evaluate


def _header(exchange: Exchange, name: str) -> Any:
    fields = {known.lower(): value for known, value in reversed(exchange.request.headers)}
    return fields.get(name, MISSING)


def _query_value(exchange: Exchange, name: str) -> Any:
    query = urlsplit(exchange.request.target).query
    return parse_qs(query, keep_blank_values=True).get(name, [MISSING])[0]


def _path_reader(template: str, name: str) -> Callable[[Exchange], Any]:
    pieces = re.split(r"\{([^{}]+)\}", template)
    pattern = re.compile(
        "".join(
            re.escape(piece) if index % 2 == 0 else "([^/?]*)" if piece == name else "[^/?]*"
            for index, piece in enumerate(pieces)
        )
    )

    def read(exchange: Exchange) -> Any:
        match = pattern.match(urlsplit(exchange.request.target).path)
        return MISSING if match is None else unquote(match[1])

    return read


def _response(expression: Expression) -> Dynamic:
    if expression.names[0] == "header":
        name = expression.names[1]
        if expression.pointer is not None:  # it selects from all fields of that name
            return _from_exchange(expression, lambda exchange: exchange.header_values(name))
        return _from_exchange(expression, lambda exchange: _or_missing(exchange.header(name)))
    tokens = tokens_of(expression)
    if not tokens:
        return _from_exchange(expression, _whole_body)
    reach = compile_pointer(tokens)

    def evaluate(frame: Frame) -> Any:
        try:
            return reach(frame[Slot.EXCHANGE].json())
        except ValueError:
            return MISSING

    member = tokens[0] if len(tokens) == 1 else None
    return Dynamic(text=expression.text, evaluate=evaluate, member=member)


def _whole_body(exchange: Exchange) -> Any:
    try:
        return exchange.json()
    except ValueError:
        return exchange.body.decode("utf-8", "replace") if exchange.body else MISSING


def _or_missing(value: Any) -> Any:
    return MISSING if value is None else value


_SIMPLE: Final[dict[str, Callable[[Exchange], Any]]] = {
    "url": lambda exchange: exchange.request.url,
    "method": lambda exchange: exchange.request.method,
    "statusCode": _status,
}


def _iso_time(frame: Frame) -> str:
    return format_instant(datetime.fromtimestamp(frame[Slot.TIME] / 1000, UTC))


_WHOLE: Final[dict[str, Callable[[str], Evaluate]]] = {
    "events": lambda _: itemgetter(Slot.EVENTS),
    "isoTime": lambda _: _iso_time,
    "insertUuid": lambda run_id: lambda frame: uuid_of(run_id, frame[Slot.NUMBER], "insert"),
}
"""Name → function of the run's id, for values of a copy that cannot be formatted from a number."""


def copy_value(expression: Expression, run: Run) -> Dynamic:
    """Return the value of ``$copy.*``."""
    name, run_id = expression.names[0], run.id
    if name in {"userId", "userUuid"} and run.users is not None:
        run_id = run.users
    user = Slot.NUMBER if run.visits is None else Slot.USER
    if name == "userId":
        return _user_id(run.user_ids, run_id, user)
    if name == "userUuid":
        return Dynamic(
            text=expression.text,
            evaluate=lambda frame: uuid_of(run_id, frame[user], "user"),
            uses=frozenset({expression.text}),
        )
    if name in {"number", "time"}:
        slot = Slot.NUMBER if name == "number" else Slot.TIME
        evaluate: Evaluate = itemgetter(slot)
        pattern = Pattern("%d", slot, string=False)
    elif name in _WHOLE:
        return Dynamic(
            text=expression.text,
            evaluate=_WHOLE[name](run_id),
            uses=frozenset({expression.text}),
        )
    elif name in NAMES:
        pattern = Pattern(f"{prefix(name)}%d", Slot.BUCKETS + NAMES.index(name), string=True)
        evaluate = _labelled(pattern)
    else:
        pattern = Pattern(run_id.replace("%", "%%") + "-%d", Slot.NUMBER, string=True)

        def evaluate(frame: Frame) -> Any:
            return insert_id(run_id, frame[Slot.NUMBER])

    plain = run_id.isascii() and run_id.isalnum()
    return Dynamic(
        text=expression.text,
        evaluate=evaluate,
        uses=frozenset({expression.text}),
        pattern=pattern if plain else None,
    )


def _user_id(ids: UserIds, run_id: str, slot: int) -> Dynamic:
    """Return the value of ``$copy.userId``; ``slot`` holds the user's number."""
    text, written = "$copy.userId", ids.written(run_id)

    def evaluate(frame: Frame) -> Any:
        found = ids.of(run_id, frame[slot])
        return int(found) if ids.integer else found

    pattern = json = None
    if written is not None and written.plain:
        pattern = Pattern(written.text, slot, string=not ids.integer)
    elif written is not None:
        form = written.json

        def json(frame: Frame) -> bytes:
            number: int = frame[slot]
            return form % number

    return Dynamic(text=text, evaluate=evaluate, uses=frozenset({text}), pattern=pattern, json=json)


def run_value(expression: Expression, run: Run) -> str:
    """Return the value of ``$run.*``."""
    start, end = run.start_day, run.end_day
    return {
        "id": run.id,
        "startDay": start,
        "endDay": end,
        "startDate": f"{start[:4]}-{start[4:6]}-{start[6:]}",
        "endDate": f"{end[:4]}-{end[4:6]}-{end[6:]}",
    }[expression.names[0]]


def target_value(expression: Expression, run: Run) -> str:
    """Return the value of ``$target.*``.

    Raises:
        ExpressionError: The target supplies no value of that name.
    """
    name = expression.names[0]
    if name not in run.target:
        remedy = did_you_mean(name, run.target) or "give the input a value in [inputs]"
        raise ExpressionError(f'the target supplies no "{name}"', remedy)
    return run.target[name]


def query_number(expression: Expression) -> Dynamic:
    """Return the value of ``$query.number``."""
    return Dynamic(
        text=expression.text,
        evaluate=itemgetter(Slot.QUERY),
        uses=frozenset({expression.text}),
    )


def _labelled(pattern: Pattern) -> Evaluate:
    def evaluate(frame: Frame) -> Any:
        bucket = frame[pattern.slot]
        return MISSING if bucket is MISSING else pattern.format % bucket

    return evaluate
