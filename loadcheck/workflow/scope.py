"""What the expressions of one workflow refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from loadcheck.errors import did_you_mean
from loadcheck.workflow.buckets import NAMES, prefix
from loadcheck.workflow.expressions import Expression, ExpressionError, parse_expression
from loadcheck.workflow.identity import formats, insert_id, user_id
from loadcheck.workflow.pointer import compile_pointer, look_up
from loadcheck.workflow.values import MISSING, Dynamic, Evaluate, Frame, Pattern, Slot, as_dynamic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadcheck.workflow.exchange import Exchange
    from loadcheck.workflow.identity import Run

_NEEDS_ANSWER = frozenset({"url", "method", "statusCode", "request", "response"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """What other workflows may refer to of a workflow.

    Attributes:
        key: Names it among all workflows of the plan.
        inputs: Input name → whether it is required.
        outputs: Output name → its expression.
        wanted: Names of the outputs that somebody reads.
    """

    key: str
    inputs: Mapping[str, bool]
    outputs: Mapping[str, str]
    wanted: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepFace:
    """What expressions may refer to of a step: its outputs, those of the workflow it calls."""

    outputs: Mapping[str, str]
    call: Face | None = None


class Scope:
    """Resolves expressions to values, or to what will give their value in a frame.

    Args:
        face: The workflow itself.
        run: What is the same for every copy.
        steps: Its steps.
        inputs: Values of its inputs where they are known at compile time; None if the frame brings
            them.
        noted: Input name → run-wide expressions of our own that its value was made of.
        workflows: The workflows of its document.
        sources: Source description name → its fields.
        components: The document's ``components``.

    Attributes:
        here: The step whose strings are being resolved, None between steps.
        answered: Whether they are resolved after the step's answer.
        template: Path template of that step's request.
        noted: Run-wide expressions of our own that were resolved since it was last cleared.
        wanted: Outputs of steps that somebody reads → their slot in the frame.
        inputs: As given.
        steps: As given.
    """

    def __init__(
        self,
        *,
        face: Face,
        run: Run,
        steps: Mapping[str, StepFace] | None = None,
        inputs: Mapping[str, Any] | None = None,
        noted: Mapping[str, frozenset[str]] | None = None,
        workflows: Mapping[str, Face] | None = None,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        components: Any = None,
    ) -> None:
        self.face = face
        self._run = run
        self.steps = steps or {}
        self.inputs = inputs
        self._noted_inputs = noted or {}
        self._workflows = workflows or {}
        self._sources = sources or {}
        self._components = components or {}
        self._resolving: list[str] = []
        self.here: str | None = None
        self.answered = True
        self.template = ""
        self.noted: set[str] = set()
        self.wanted: dict[tuple[str, str], int] = {}
        self._resolvers: Mapping[str, Callable[[Expression], Any]] = {
            "url": lambda e: _from_exchange(e, lambda exchange: exchange.request.url),
            "method": lambda e: _from_exchange(e, lambda exchange: exchange.request.method),
            "statusCode": lambda e: _from_exchange(e, _status),
            "request": self._request,
            "response": _response,
            "inputs": self._input,
            "outputs": self._output,
            "steps": self._step_output,
            "workflows": self._workflow_value,
            "sourceDescriptions": self._source,
            "components": self._component,
            "copy": self._copy,
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
            ExpressionError: It refers to something that is not declared, or not known here.
        """
        if expression.root in _NEEDS_ANSWER and not self.answered:
            raise ExpressionError(
                f'"{expression.text}" is not known before the step has been answered',
                "a request may refer to $inputs and to outputs of steps",
            )
        return self._resolvers[expression.root](expression)

    def _input(self, expression: Expression) -> Any:
        name, rest = _longest(expression, self.face.inputs, "the workflow has no input")
        if self.inputs is None:
            depends = frozenset({f"input:{self.face.key}/{name}"})
            inputs = itemgetter(Slot.INPUTS)

            def evaluate(frame: Frame) -> Any:
                return inputs(frame).get(name, MISSING)

            optional = not self.face.inputs[name]
            return _dynamic(expression, evaluate, rest, uses=depends, optional=optional)
        self.noted |= self._noted_inputs.get(name, frozenset())
        return _reach(expression, self.inputs.get(name, MISSING), rest)

    def _output(self, expression: Expression) -> Any:
        step = self.steps.get(self.here or "")
        name = expression.names[0]
        if step is not None and step.call is not None:
            return self._called(expression, step.call)
        if step is not None and self.here is not None and name in step.outputs:
            return self._slot(expression, self.here, name, ())
        name, rest = _longest(expression, self.face.outputs, "the workflow has no output")
        if name in self._resolving:
            raise ExpressionError(f'the output "{name}" refers to itself')
        self._resolving.append(name)
        try:
            value = self.resolve(parse_expression(self.face.outputs[name]))
        finally:
            self._resolving.pop()
        return _reach(expression, value, rest)

    def _called(self, expression: Expression, call: Face) -> Dynamic:
        """Return an output of the workflow that the step at hand has just called."""
        name, rest = _longest(expression, call.outputs, f'the workflow "{call.key}" has no output')
        call.wanted.add(name)
        outputs = itemgetter(Slot.OUTPUTS)

        def evaluate(frame: Frame) -> Any:
            found = outputs(frame)
            return MISSING if found is MISSING else found.get(name, MISSING)

        return _dynamic(expression, evaluate, rest, uses=frozenset({f"workflow:{call.key}"}))

    def _step_output(self, expression: Expression) -> Any:
        step_id = expression.names[0]
        if step_id not in self.steps:
            raise ExpressionError(
                f'there is no step "{step_id}"', did_you_mean(step_id, self.steps)
            )
        step = self.steps[step_id]
        names = {**(step.call.outputs if step.call else {}), **step.outputs}
        name, rest = _longest(expression, names, f'the step "{step_id}" has no output')
        return self._slot(expression, step_id, name, rest)

    def _slot(
        self, expression: Expression, step_id: str, name: str, rest: tuple[str, ...]
    ) -> Dynamic:
        slot = self.wanted.setdefault((step_id, name), Slot.FREE + len(self.wanted))
        depends = frozenset({f"step:{self.face.key}/{step_id}"})
        return _dynamic(expression, itemgetter(slot), rest, uses=depends)

    def _workflow_value(self, expression: Expression) -> Any:
        workflow_id, kind, _ = expression.names
        if workflow_id not in self._workflows:
            remedy = did_you_mean(workflow_id, self._workflows)
            raise ExpressionError(f'there is no workflow "{workflow_id}"', remedy)
        face = self._workflows[workflow_id]
        declared: Mapping[str, Any] = face.inputs if kind == "inputs" else face.outputs
        name, rest = _longest(
            expression, declared, f'the workflow "{workflow_id}" has no {kind[:-1]}'
        )
        if kind == "outputs":
            face.wanted.add(name)
        index = 0 if kind == "inputs" else 1
        key = face.key

        def evaluate(frame: Frame) -> Any:
            journey = frame[Slot.WORKFLOWS]
            done = None if journey is MISSING else journey.workflows.get(key)
            return MISSING if done is None else done[index].get(name, MISSING)

        return _dynamic(expression, evaluate, rest, uses=frozenset({f"workflow:{key}"}))

    def _request(self, expression: Expression) -> Dynamic:
        part = expression.names[0]
        if part == "body":
            return _dynamic(expression, _request_body(whole=not _tokens(expression)))
        name = expression.names[1]
        if part == "header":
            return _from_exchange(expression, lambda exchange: _header(exchange, name))
        if part == "query":
            return _from_exchange(expression, lambda exchange: _query_value(exchange, name))
        variables = re.findall(r"\{([^{}]+)\}", self.template)
        if name not in variables:
            remedy = did_you_mean(name, variables)
            raise ExpressionError(f'the path {self.template} has no "{name}"', remedy)
        return _from_exchange(expression, _path_reader(self.template, name))

    def _source(self, expression: Expression) -> Any:
        name, entry = expression.names
        if name not in self._sources:
            remedy = did_you_mean(name, self._sources)
            raise ExpressionError(f'there is no source description "{name}"', remedy)
        if entry not in self._sources[name]:
            remedy = did_you_mean(entry, self._sources[name])
            raise ExpressionError(f'the source description "{name}" has no "{entry}"', remedy)
        return self._sources[name][entry]

    def _component(self, expression: Expression) -> Any:
        value = look_up(self._components, (expression.names[0], *expression.names[1].split(".")))
        if value is MISSING:
            kind = self._components.get(expression.names[0])
            remedy = did_you_mean(expression.names[1], kind if isinstance(kind, dict) else ())
            raise ExpressionError(f'"{expression.text}" leads nowhere', remedy)
        return value

    def _copy(self, expression: Expression) -> Dynamic:
        name, run_id = expression.names[0], self._run.id
        if name in {"number", "time"}:
            slot = Slot.NUMBER if name == "number" else Slot.TIME
            evaluate: Evaluate = itemgetter(slot)
            pattern = Pattern("%d", slot, string=False)
        elif name in NAMES:
            pattern = Pattern(f"{prefix(name)}%d", Slot.BUCKETS + NAMES.index(name), string=True)
            evaluate = _labelled(pattern)
        else:
            identify = user_id if name == "userId" else insert_id
            pattern = Pattern(formats(run_id)[name], Slot.NUMBER, string=True)

            def evaluate(frame: Frame) -> Any:
                return identify(run_id, frame[Slot.NUMBER])

        plain = run_id.isascii() and run_id.isalnum()
        return Dynamic(
            text=expression.text,
            evaluate=evaluate,
            uses=frozenset({expression.text}),
            pattern=pattern if plain else None,
        )

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


def _reach(expression: Expression, value: Any, rest: tuple[str, ...]) -> Any:
    """Follow the rest of an expression into a value, known or not."""
    tokens = rest + _tokens(expression)
    for index, token in enumerate(tokens):
        if isinstance(value, dict | list):
            value = look_up(value, (token,))
            continue
        dynamic = as_dynamic(value)
        if dynamic is None:
            return MISSING
        return _dynamic(
            expression, dynamic.evaluate, tokens[index:], uses=dynamic.uses, whole=False
        )
    return value


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
        f'{what} "{words[0]}"', did_you_mean(words[0], names) or "none is declared"
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
    tokens = _tokens(expression)
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


def _labelled(pattern: Pattern) -> Evaluate:
    def evaluate(frame: Frame) -> Any:
        bucket = frame[pattern.slot]
        return MISSING if bucket is MISSING else pattern.format % bucket

    return evaluate


def _query(expression: Expression) -> Dynamic:
    return _dynamic(expression, itemgetter(Slot.QUERY), uses=frozenset({expression.text}))
