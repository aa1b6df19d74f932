"""Resolve the expressions of one workflow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from loadcheck.documents.document import MISSING, format_pointer, look_up
from loadcheck.errors import did_you_mean
from loadcheck.workflow.copydata import CopyData
from loadcheck.workflow.description import StepSignature, WorkflowSignature
from loadcheck.workflow.expressions import Dynamic, Frame, Slot
from loadcheck.workflow.expressions.builtins import (
    ROOTS,
    copy_value,
    dynamic,
    follow,
    longest,
    query_number,
    read_message,
    run_value,
    target_value,
    tokens_of,
)
from loadcheck.workflow.expressions.grammar import Expression, ExpressionError, parse_expression
from loadcheck.workflow.expressions.selectors import select_value
from loadcheck.workflow.identity import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The declarations of a document that all of its workflows share.

    Attributes:
        workflows: Workflow id → the workflow's signature.
        sources: Source description name → its fields.
        components: Its ``components``.
        identity: Its ``$self``, "" without one.
    """

    workflows: Mapping[str, WorkflowSignature] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    components: Any = field(default_factory=dict)
    identity: str = ""


class Scope:
    """Resolves expressions to known values, or to dynamic ones that are evaluated in a frame.

    Args:
        signature: The workflow's signature.
        run: Everything that is the same for all copies.
        inputs: Values of its inputs if they are known at compile time; None if they are in the
            frame.
        run_dependencies: Input name → run-wide expressions of our own that its value was made from.
        document: The declarations of its document.

    Attributes:
        here: Id of the step whose strings are being resolved; None outside steps.
        answered: Whether the step has been answered when its strings are evaluated.
        template: Path template of that step's request; None if it is unknown.
        run_dependencies: Run-wide expressions of our own resolved since it was last cleared.
        not_yet: Returns the ids of steps that cannot have run before the current one.
        output_slots: Step id and name of each output that is read → its slot in the frame.
        inputs: As given.
        steps: Step id → the step's signature.
        tokens: Names and indexes that the last expression follows after its declared name.
    """

    def __init__(
        self,
        signature: WorkflowSignature,
        run: Run,
        *,
        inputs: Mapping[str, Any] | None = None,
        run_dependencies: Mapping[str, frozenset[str]] | None = None,
        document: Declared | None = None,
    ) -> None:
        self.signature = signature
        self._run = run
        self._copies = CopyData(run.variety)
        self.steps: Mapping[str, StepSignature] = {}
        self.inputs = inputs
        self._noted_inputs = run_dependencies or {}
        self._document = document if document is not None else Declared()
        self._resolving: list[str] = []
        self.here: str | None = None
        self.answered = True
        self.template: str | None = ""
        self.run_dependencies: set[str] = set()
        self.output_slots: dict[tuple[str, str], int] = {}
        self.not_yet: Callable[[], Collection[str]] = tuple
        self.tokens: tuple[str, ...] = ()
        self._declared = ""
        self._resolvers: Mapping[str, Callable[[Expression], Any]] = {
            "inputs": self._input,
            "outputs": self._output,
            "steps": self._step_output,
            "workflows": self._workflow_value,
            "sourceDescriptions": self._source,
            "self": self._self,
            "components": self._component,
            "run": self._noting(run_value),
            "target": self._noting(target_value),
            "copy": lambda expression: copy_value(expression, run),
            "query": query_number,
            "data": self._data,
            "values": self._value,
            "setup": self._shared,
        }

    @property
    def frame_size(self) -> int:
        """Number of slots in a frame of this workflow."""
        return Slot.FREE + len(self.output_slots)

    def conforming(self, expression: Expression) -> str:
        """Return the last resolved expression in standard spelling: members by a JSON Pointer."""
        if not self._declared or self._declared == expression.names[-1]:
            return expression.conforming
        words = (f"${expression.root}", *expression.names[:-1], self._declared)
        return ".".join(words) + "#" + format_pointer(self.tokens)

    def _longest(
        self, expression: Expression, declared: Collection[str], what: str
    ) -> tuple[str, tuple[str, ...]]:
        name, rest = longest(expression, declared, what)
        self._declared, self.tokens = name, rest + tokens_of(expression)
        return name, rest

    def resolve(self, expression: Expression) -> Any:
        """Return the value of an expression, a :class:`Dynamic`, or ``MISSING``.

        Raises:
            ExpressionError: It refers to something that is not declared, or not yet known here.
        """
        self._declared, self.tokens = "", tokens_of(expression)
        if expression.root not in ROOTS:
            return self._resolvers[expression.root](expression)
        if not self.answered:
            raise ExpressionError(
                f'"{expression.text}" is not known before the step has been answered',
                "a request may refer to $inputs and to outputs of steps",
            )
        return read_message(expression, self.template)

    def _data(self, expression: Expression) -> Any:
        return follow(expression, self._copies.column(*expression.names), ())

    def _value(self, expression: Expression) -> Any:
        return follow(expression, self._copies.value(expression.names[0]), ())

    def _shared(self, expression: Expression) -> Any:
        shared = self._run.shared
        if not shared.workflow:
            remedy = 'name its workflow: [setup] workflow = "login"'
            raise ExpressionError(f'"{expression.text}": the scenario has no [setup]', remedy)
        what = f'the workflow "{shared.workflow}" of [setup] has no output'
        name, rest = self._longest(expression, shared.names, what)
        return self._shared_output(expression, name, rest)

    def _shared_output(self, expression: Expression, name: str, rest: tuple[str, ...]) -> Dynamic:
        uses = frozenset({f"$setup.outputs.{name}"})
        return dynamic(expression, self._run.shared.reader(name), rest, uses=uses)

    def _noting(self, read: Callable[[Expression, Run], str]) -> Callable[[Expression], str]:
        def run_dependencies(expression: Expression) -> str:
            value = read(expression, self._run)
            self.run_dependencies.add(expression.text)
            return value

        return run_dependencies

    def _input(self, expression: Expression) -> Any:
        name, rest = self._longest(expression, self.signature.inputs, "the workflow has no input")
        if self.inputs is None:
            depends = frozenset({f"input:{self.signature.key}/{name}"})
            inputs = itemgetter(Slot.INPUTS)

            def evaluate(frame: Frame) -> Any:
                return inputs(frame).get(name, MISSING)

            optional = not self.signature.inputs.get(name, False)
            return dynamic(expression, evaluate, rest, uses=depends, optional=optional)
        self.run_dependencies |= self._noted_inputs.get(name, frozenset())
        return follow(expression, self.inputs.get(name, MISSING), rest)

    def _output(self, expression: Expression) -> Any:
        step = self.steps.get(self.here or "")
        name = expression.names[0]
        if step is not None and step.call is not None:
            return self._called(expression, step.call)
        if step is not None and self.here is not None and name in step.outputs:
            return self._slot(expression, self.here, name, ())
        name, rest = self._longest(expression, self.signature.outputs, "the workflow has no output")
        if name in self._resolving:
            raise ExpressionError(f'the output "{name}" refers to itself')
        self._resolving.append(name)
        try:
            said = self.signature.outputs[name]
            if isinstance(said, str):
                value = self.resolve(parse_expression(said))
            else:
                value = select_value(said, self.resolve(parse_expression(said["context"])))
        finally:
            self._resolving.pop()
            self._declared, self.tokens = name, rest + tokens_of(expression)
        return follow(expression, value, rest)

    def _called(self, expression: Expression, call: WorkflowSignature) -> Dynamic:
        """Return an output of the workflow that the current step has just called."""
        what = f'the workflow "{call.key}" has no output'
        name, rest = self._longest(expression, call.outputs, what)
        call.referenced_outputs.add(name)
        outputs = itemgetter(Slot.OUTPUTS)

        def evaluate(frame: Frame) -> Any:
            found = outputs(frame)
            return MISSING if found is MISSING else found.get(name, MISSING)

        return dynamic(expression, evaluate, rest, uses=frozenset({f"workflow:{call.key}"}))

    def _step_output(self, expression: Expression) -> Any:
        step_id = expression.names[0]
        if step_id not in self.steps:
            raise ExpressionError(
                f'there is no step "{step_id}"', did_you_mean(step_id, self.steps)
            )
        if not self.answered and step_id in self.not_yet():
            own = step_id == self.here
            raise ExpressionError(
                f'"{expression.text}" is not there yet: '
                + (
                    "the step has not been answered" if own else f'"{step_id}" runs after this step'
                ),
                "refer to a step that runs before" + ("" if own else ", or put it first"),
            )
        step = self.steps[step_id]
        names = {**(step.call.outputs if step.call else {}), **step.outputs}
        name, rest = self._longest(expression, names, f'the step "{step_id}" has no output')
        return self._slot(expression, step_id, name, rest)

    def _slot(
        self, expression: Expression, step_id: str, name: str, rest: tuple[str, ...]
    ) -> Dynamic:
        slot = self.output_slots.setdefault((step_id, name), Slot.FREE + len(self.output_slots))
        depends = frozenset({f"step:{self.signature.key}/{step_id}"})
        return dynamic(expression, itemgetter(slot), rest, uses=depends)

    def _workflow_value(self, expression: Expression) -> Any:
        workflow_id, kind, _ = expression.names
        if workflow_id not in self._document.workflows:
            remedy = did_you_mean(workflow_id, self._document.workflows)
            raise ExpressionError(f'there is no workflow "{workflow_id}"', remedy)
        signature = self._document.workflows[workflow_id]
        declared: Mapping[str, Any] = signature.inputs if kind == "inputs" else signature.outputs
        name, rest = self._longest(
            expression, declared, f'the workflow "{workflow_id}" has no {kind[:-1]}'
        )
        if kind == "outputs" and workflow_id == self._run.shared.workflow:
            return self._shared_output(expression, name, rest)
        if kind == "outputs":
            signature.referenced_outputs.add(name)
        index = 0 if kind == "inputs" else 1
        key = signature.key

        def evaluate(frame: Frame) -> Any:
            journey = frame[Slot.WORKFLOWS]
            done = None if journey is MISSING else journey.workflows.get(key)
            return MISSING if done is None else done[index].get(name, MISSING)

        return dynamic(expression, evaluate, rest, uses=frozenset({f"workflow:{key}"}))

    def _source(self, expression: Expression) -> Any:
        name, entry = expression.names
        if name not in self._document.sources:
            remedy = did_you_mean(name, self._document.sources)
            raise ExpressionError(f'there is no source description "{name}"', remedy)
        if entry not in self._document.sources[name]:
            remedy = did_you_mean(entry, self._document.sources[name])
            raise ExpressionError(f'the source description "{name}" has no "{entry}"', remedy)
        return self._document.sources[name][entry]

    def _self(self, expression: Expression) -> str:
        if not self._document.identity:
            raise ExpressionError(f'"{expression.text}": the document has no "$self"')
        return self._document.identity

    def _component(self, expression: Expression) -> Any:
        value = look_up(
            self._document.components, (expression.names[0], *expression.names[1].split("."))
        )
        if value is MISSING:
            kind = self._document.components.get(expression.names[0])
            remedy = did_you_mean(expression.names[1], kind if isinstance(kind, dict) else ())
            raise ExpressionError(f'"{expression.text}" leads nowhere', remedy)
        return value
