"""What the expressions of one workflow refer to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from loadcheck.errors import did_you_mean
from loadcheck.workflow.expressions import Expression, ExpressionError
from loadcheck.workflow.pointer import compile_pointer, look_up
from loadcheck.workflow.values import MISSING, Dynamic, Evaluate, Frame, Slot, Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadcheck.workflow.exchange import Exchange
    from loadcheck.workflow.identity import Run

_COPY_SLOTS = {
    "userId": Slot.USER,
    "insertId": Slot.INSERT,
    "number": Slot.NUMBER,
    "time": Slot.TIME,
}


class Scope:
    """Resolves expressions to values, or to what will give their value in a frame.

    Args:
        key: Names the workflow among all that are compiled; part of what values depend on.
        run: What is the same for every copy.
        declared: Input name → whether it is required.
        inputs: Values of the inputs where they are known at compile time; None if the frame
            brings them.
        outputs: Step id → names of its outputs.
        results: Names of the workflow's own outputs.
        sources: Source description name → its fields.
        components: The document's ``components``.
        noted: Input name → run-wide expressions of our own that its value was made of.
    """

    def __init__(
        self,
        *,
        key: str,
        run: Run,
        declared: Mapping[str, bool],
        inputs: Mapping[str, Any] | None,
        outputs: Mapping[str, Iterable[str]],
        results: Iterable[str] = (),
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        components: Any = None,
        noted: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.key = key
        self._run = run
        self.declared = declared
        self._inputs = inputs
        self._outputs = {step: tuple(names) for step, names in outputs.items()}
        self._results = tuple(results)
        self._sources = sources or {}
        self._components = components
        self._noted_inputs = noted or {}
        self.noted: set[str] = set()
        self.wanted: dict[tuple[str, str], int] = {}
        self._resolvers: Mapping[str, Callable[[Expression], Any]] = {
            "url": lambda e: _from_exchange(e, lambda exchange: exchange.request.url),
            "method": lambda e: _from_exchange(e, lambda exchange: exchange.request.method),
            "statusCode": lambda e: _from_exchange(e, _status),
            "request": _request,
            "response": _response,
            "inputs": self._input,
            "outputs": self._output,
            "steps": self._step_output,
            "workflows": self._workflow_output,
            "sourceDescriptions": self._source,
            "components": self._component,
            "copy": _copy,
            "run": self._run_value,
            "query": _query,
            "target": self._target,
        }

    @property
    def frame_size(self) -> int:
        """How many slots a frame of this workflow has."""
        return Slot.FREE + len(self.wanted)

    def resolve(self, expression: Expression) -> Any:
        """Return the value of an expression, a :class:`Dynamic`, or ``MISSING``.

        Raises:
            ExpressionError: It refers to something that is not declared.
        """
        return self._resolvers[expression.root](expression)

    def _input(self, expression: Expression) -> Any:
        name, rest = _longest(expression, self.declared, "input")
        if self._inputs is None:
            depends = frozenset({f"input:{self.key}/{name}"})
            inputs = itemgetter(Slot.INPUTS)

            def evaluate(frame: Frame) -> Any:
                return inputs(frame).get(name, MISSING)

            optional = not self.declared[name]
            return _dynamic(expression, evaluate, rest, uses=depends, optional=optional)
        self.noted |= self._noted_inputs.get(name, frozenset())
        value = self._inputs.get(name, MISSING)
        return self._reach(expression, value, rest)

    def _reach(self, expression: Expression, value: Any, rest: tuple[str, ...]) -> Any:
        tokens = rest + _tokens(expression)
        for index, token in enumerate(tokens):
            if isinstance(value, Dynamic):
                return _dynamic(
                    expression, value.evaluate, tokens[index:], uses=value.uses, whole=False
                )
            if isinstance(value, Text):
                raise ExpressionError(f"{expression.text}: nothing is inside a string")
            value = look_up(value, (token,))
        return value

    def _output(self, expression: Expression) -> Any:
        name, rest = _longest(expression, self._results, "output")
        outputs = itemgetter(Slot.OUTPUTS)

        def evaluate(frame: Frame) -> Any:
            return outputs(frame).get(name, MISSING)

        return _dynamic(expression, evaluate, rest, uses=frozenset({f"outputs:{self.key}"}))

    def _step_output(self, expression: Expression) -> Any:
        step = expression.names[0]
        if step not in self._outputs:
            raise ExpressionError(f'there is no step "{step}"', did_you_mean(step, self._outputs))
        name, rest = _longest(expression, self._outputs[step], f'output of step "{step}"')
        slot = self.wanted.setdefault((step, name), Slot.FREE + len(self.wanted))
        depends = frozenset({f"step:{self.key}/{step}"})
        return _dynamic(expression, itemgetter(slot), rest, uses=depends)

    def _workflow_output(self, expression: Expression) -> Any:
        raise ExpressionError(f"{expression.text}: no such workflow")

    def _source(self, expression: Expression) -> Any:
        name, field = expression.names
        if name not in self._sources:
            remedy = did_you_mean(name, self._sources)
            raise ExpressionError(f'there is no source description "{name}"', remedy)
        if field not in self._sources[name]:
            remedy = did_you_mean(field, self._sources[name])
            raise ExpressionError(f'source description "{name}" has no "{field}"', remedy)
        return self._sources[name][field]

    def _component(self, expression: Expression) -> Any:
        value = look_up(self._components, expression.names)
        if value is MISSING:
            raise ExpressionError(f"{expression.text} is not there")
        return value

    def _run_value(self, expression: Expression) -> Any:
        run = self._run
        self.noted.add(expression.text)
        return {"id": run.id, "startDay": run.start_day, "endDay": run.end_day}[expression.names[0]]

    def _target(self, expression: Expression) -> Any:
        name = expression.names[0]
        if name not in self._run.target:
            remedy = did_you_mean(name, self._run.target) or "give the input a value in [inputs]"
            raise ExpressionError(f'the target supplies no "{name}"', remedy)
        self.noted.add(expression.text)
        return self._run.target[name]


def _tokens(expression: Expression) -> tuple[str, ...]:
    return (expression.pointer or ()) + tuple(map(str, expression.tail))


def _longest(
    expression: Expression, declared: Iterable[str], what: str
) -> tuple[str, tuple[str, ...]]:
    """Split a dotted name into the longest declared one, and members of its value."""
    names = set(declared)
    words = expression.names[-1].split(".")
    for length in range(len(words), 0, -1):
        name = ".".join(words[:length])
        if name in names:
            return name, tuple(words[length:])
    raise ExpressionError(
        f'there is no {what} "{words[0]}"', did_you_mean(words[0], names) or "none is declared"
    )


def _dynamic(
    expression: Expression,
    evaluate: Evaluate,
    tokens: tuple[str, ...] = (),
    *,
    uses: frozenset[str] = frozenset(),
    optional: bool = False,
    whole: bool = True,
) -> Dynamic:
    """Return a dynamic value, with the pointer and the tail of the expression applied."""
    path = tokens + _tokens(expression) if whole else tokens
    if path:
        reach = compile_pointer(path)
        inner = evaluate

        def evaluate(frame: Frame) -> Any:
            value = inner(frame)
            return MISSING if value is MISSING else reach(value)

    return Dynamic(text=expression.text, evaluate=evaluate, uses=uses, optional=optional)


def _from_exchange(expression: Expression, read: Callable[[Exchange], Any]) -> Dynamic:
    return _dynamic(expression, lambda frame: read(frame[Slot.EXCHANGE]))


def _status(exchange: Exchange) -> Any:
    return exchange.status or MISSING


def _request(expression: Expression) -> Any:
    raise ExpressionError(f"{expression.text}: not known here")


def _response(expression: Expression) -> Dynamic:
    if expression.names[0] == "header":
        name = expression.names[1]
        return _from_exchange(expression, lambda exchange: _or_missing(exchange.header(name)))
    if not _tokens(expression):
        return _from_exchange(expression, _whole_body)
    return _dynamic(expression, _json_body)


def _json_body(frame: Frame) -> Any:
    try:
        return frame[0].json()
    except ValueError:
        return MISSING


def _whole_body(exchange: Exchange) -> Any:
    try:
        return exchange.json()
    except ValueError:
        return exchange.body.decode("utf-8", "replace") if exchange.body else MISSING


def _or_missing(value: Any) -> Any:
    return MISSING if value is None else value


def _copy(expression: Expression) -> Dynamic:
    slot = _COPY_SLOTS[expression.names[0]]
    return _dynamic(expression, itemgetter(slot), uses=frozenset({expression.text}))


def _query(expression: Expression) -> Dynamic:
    return _dynamic(expression, itemgetter(Slot.QUERY), uses=frozenset({expression.text}))
