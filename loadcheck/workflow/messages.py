"""What expressions read off an exchange: ``$url $method $statusCode $request.* $response.*``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from loadcheck.errors import did_you_mean
from loadcheck.workflow.expressions import Expression, ExpressionError
from loadcheck.workflow.lookup import dynamic, tokens_of
from loadcheck.workflow.pointer import compile_pointer
from loadcheck.workflow.values import MISSING, Dynamic, Evaluate, Frame, Slot

if TYPE_CHECKING:
    from loadcheck.workflow.exchange import Exchange

ROOTS: Final = frozenset({"url", "method", "statusCode", "request", "response"})
"""The expressions that there is nothing to say of before a step has been answered."""


def read_message(expression: Expression, template: str) -> Dynamic:
    """Return what reads an expression off the exchange in the frame.

    Args:
        expression: One of :data:`ROOTS`.
        template: Path template of the request.

    Raises:
        ExpressionError: The path has no such parameter.
    """
    if expression.root == "request":
        return _request(expression, template)
    if expression.root == "response":
        return _response(expression)
    return _from_exchange(expression, _SIMPLE[expression.root])


def _request(expression: Expression, template: str) -> Dynamic:
    part = expression.names[0]
    if part == "body":
        return dynamic(expression, _request_body(whole=not tokens_of(expression)))
    name = expression.names[1]
    if part == "header":
        return _from_exchange(expression, lambda exchange: _header(exchange, name))
    if part == "query":
        return _from_exchange(expression, lambda exchange: _query_value(exchange, name))
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

    return Dynamic(text=expression.text, evaluate=evaluate)


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
