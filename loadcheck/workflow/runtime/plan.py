"""A workflow compiled for a scenario: what each copy sends, and how answers are judged."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadcheck.documents.document import MISSING
from loadcheck.errors import Problem
from loadcheck.scenario.model import Edit
from loadcheck.workflow.exchange import Exchange, Origin, Request
from loadcheck.workflow.expressions import Evaluate, Frame, Slot, UnsendableError
from loadcheck.workflow.runtime import (
    CallContext,
    CompiledStep,
    CompiledWorkflow,
    Flow,
    Inputs,
    RetryPolicy,
    enter,
    no_retry,
)
from loadcheck.workflow.runtime.batch import CompiledBatch, Refuse, run_batch
from loadcheck.workflow.runtime.interpreter import judge, run, run_step

__all__ = [
    "CompiledOnce",
    "Flow",
    "Plan",
    "Query",
    "QueryAnswer",
    "RetryPolicy",
    "Role",
    "StepPlan",
]


class Role(enum.Enum):
    """What runs a step."""

    COPY = "per-copy"
    """Every copy: the request depends on the copy, or the step precedes one whose request does."""
    OBSERVER = "observer"
    """The reconciliation: the step needs only run-wide inputs, so one query serves all copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """Public description of a step that sends a request.

    Attributes:
        step_id: Its name; ``workflowId.stepId`` if an earlier workflow has a step of that name.
        index: Its index in :attr:`Plan.steps`, found in :attr:`Request.step`.
        role: What runs it.
        method: The request method.
        origin: The server that it is sent to.
        path: Path template, for display.
        base: Path of the server's URL, with which ``path`` begins.
        uses: The expressions of our own that its request depends on, through inputs and outputs.
        dependent: Whether it follows another per-copy step and so has no due time of its own.
        timeout_s: Time limit of an attempt in the document; None if there is none.
    """

    step_id: str
    index: int
    role: Role
    method: str
    origin: Origin
    path: str
    uses: frozenset[str]
    dependent: bool
    timeout_s: float | None = None
    base: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """The result of one query.

    Attributes:
        success: Whether the step's success criteria held.
        values: Value name → the value of its expression, None if it has none.
        exchange: The exchange of the query, or of the step before it that failed.
    """

    success: bool
    values: dict[str, Any]
    exchange: Exchange


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledOnce:
    """A workflow that is run for all copies.

    Attributes:
        flow: The flow that runs it; its result is whether the workflow succeeded.
    """

    flow: Flow[bool]
    _frame: Frame
    _outputs: tuple[tuple[str, Evaluate], ...]

    def outputs(self) -> dict[str, Any]:
        """Return the outputs that have a value so far, by name."""
        found = {name: evaluate(self._frame) for name, evaluate in self._outputs}
        return {name: value for name, value in found.items() if value is not MISSING}

    def passed(self) -> list[Any]:
        """Return the values that its steps have passed to each other so far."""
        return [value for value in self._frame[Slot.FREE :] if value is not MISSING]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CallFrame:
    """One workflow in the chain of calls that leads to the step of a query.

    Attributes:
        machine: The workflow.
        before: Its steps that must run first, because their outputs are needed.
        call: The step that calls the next workflow of the chain; None in the last one.
    """

    machine: CompiledWorkflow
    before: tuple[CompiledStep, ...]
    call: CompiledStep | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """An observer step, compiled with edits of its own.

    Attributes:
        step_id: Name of the observer step.
        levels: The workflows in the chain of calls that leads to it; its own is the last.
        step: The step.
        render: Makes its request, with the query's edits.
        values: Pairs of a value's name and the function that reads it from the answer.
        inputs: Returns the inputs of the first workflow; None if they are compiled into it.
    """

    step_id: str
    levels: tuple[CallFrame, ...]
    step: CompiledStep
    render: Callable[[Frame], Request]
    values: tuple[tuple[str, Evaluate], ...]
    inputs: Inputs | None = None

    def run(self, number: int) -> Flow[QueryAnswer]:
        """Return a flow that sends the query once, without retries.

        Args:
            number: The value of ``$query.number``.

        Raises:
            UnsendableError: Neither the query nor any step before it could be sent.
        """
        frame = self.levels[0].machine.empty_frame.copy()
        frame[Slot.QUERY] = number
        frame[Slot.WORKFLOWS] = CallContext()
        if frame[Slot.COOKIES] is not MISSING:
            frame[Slot.COOKIES] = {}
        asked: list[Exchange] = []
        try:
            frame = yield from self._approach(frame, asked)
            request = self.render(frame)
        except UnsendableError as error:
            if not asked:
                raise
            asked[-1].reason = asked[-1].reason or str(error)
            return self._failed(asked[-1])
        exchange = yield request
        frame[Slot.EXCHANGE] = exchange
        if not judge(self.step, frame, exchange):
            return self._failed(exchange)
        for slot, evaluate in self.step.outputs:
            frame[slot] = evaluate(frame)
        found = {name: evaluate(frame) for name, evaluate in self.values}
        values = {name: None if value is MISSING else value for name, value in found.items()}
        return QueryAnswer(success=True, values=values, exchange=exchange)

    def _approach(self, frame: Frame, asked: list[Exchange]) -> Flow[Frame]:
        """Run the steps that the query needs; return the frame of its workflow."""
        if self.inputs is not None:
            frame[Slot.INPUTS] = self.inputs(frame)
        for level in self.levels:
            for step in level.before:
                success = yield from run_step(level.machine, step, frame, no_retry)
                if frame[Slot.EXCHANGE] is not MISSING:
                    asked.append(frame[Slot.EXCHANGE])
                if not success:
                    raise UnsendableError(f"the step {step.step_id} before it failed")
            call = level.call
            if call is not None and call.call is not None:
                inputs = {} if call.inputs is None else call.inputs(frame)
                frame = enter(call.call, frame, inputs)
        return frame

    def _failed(self, exchange: Exchange) -> QueryAnswer:
        values = dict.fromkeys(name for name, _ in self.values)
        return QueryAnswer(success=False, values=values, exchange=exchange)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A workflow compiled once for a scenario; running it touches no YAML.

    Attributes:
        workflow_id: Its ``workflowId``.
        title: The document's title.
        steps: All steps that send requests, of all workflows reached, in document order.
        unsendable: Reason why requests could not be made → how often; grows while copies run.
        user_id: Returns the value of ``$copy.userId``, given a number.
        user_number: Returns the number, given the user id; None if no copy has that id.
        uses_at: Returns what a value of a request depends on, given the step and the value's place:
            ``body#/json/pointer`` or ``$inputs.name``.
    """

    workflow_id: str
    title: str
    steps: tuple[StepPlan, ...]
    unsendable: Counter[str]
    user_id: Callable[[int], str] = field(repr=False)
    user_number: Callable[[str], int | None] = field(repr=False)
    _warnings: tuple[Problem, ...] = field(repr=False)
    _query_warnings: Sequence[Problem] = field(repr=False)
    _machine: CompiledWorkflow = field(repr=False)
    _end: int = field(repr=False)
    _inputs: Inputs | None = field(repr=False)
    _fill: Callable[[Frame], None] | None = field(repr=False)
    _journey: bool = field(repr=False)
    _batch: CompiledBatch | None = field(repr=False)
    _query: Callable[[str, Sequence[Edit], Mapping[str, str]], Query] = field(repr=False)
    _given: Callable[[Frame], dict[str, Any]] = field(repr=False)
    uses_at: Callable[[str, str], frozenset[str]] = field(repr=False)

    def inputs(self, number: int, time_ms: int) -> dict[str, Any]:
        """Return the inputs that the scenario gives a copy, as far as they are known beforehand.

        Args:
            number: The copy's number, from 0.
            time_ms: When it was due, in milliseconds since 1970.
        """
        return self._given(self._frame(number, time_ms))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the compiled outputs: all of them if the workflow is run once for all copies."""
        return tuple(sorted(name for name, _ in self._machine.outputs))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Warnings: deviations from the specification that were accepted."""
        return (*self._warnings, *self._query_warnings)

    def copy(self, number: int, time_ms: int, retry: RetryPolicy) -> Flow[bool]:
        """Return the flow of one copy.

        Every exchange sent to it is judged: its ``success`` and ``reason`` are set.

        Args:
            number: The copy's number, from 0.
            time_ms: When it was due, in milliseconds since 1970.
            retry: Decides when a step fails and no failure action of the document matches.

        Returns:
            A flow whose result says whether the workflow's per-copy part succeeded.
        """
        return run(self._machine, self._frame(number, time_ms), retry, self._end)

    def foreseen(self, number: int, time_ms: int, stand_in: str) -> Iterator[Request]:
        """Yield the requests of a copy, assuming that every step succeeds at the first attempt.

        Args:
            number: The copy's number, from 0.
            time_ms: When it was due, in milliseconds since 1970.
            stand_in: Replaces values that a request takes from the answer to another.

        Raises:
            UnsendableError: Which requests follow depends on an answer, or one cannot be made.
        """
        return _foreseen(self._machine, self._frame(number, time_ms), self._end, stand_in)

    def once(self, time_ms: int, retry: RetryPolicy) -> CompiledOnce:
        """Return a run of the whole workflow for all copies together.

        Args:
            time_ms: The present, in milliseconds since 1970.
            retry: Decides when a step fails and no failure action of the document matches.
        """
        machine, frame = self._machine, self._frame(0, time_ms)
        flow = run(machine, frame, retry, len(machine.steps))
        return CompiledOnce(flow=flow, _frame=frame, _outputs=machine.outputs)

    def batch(
        self, numbers: Sequence[int], time_ms: int, retry: RetryPolicy, refuse: Refuse
    ) -> Flow[bool]:
        """Return the flow of several copies whose events share requests.

        The plan must have been compiled with ``together``.

        Args:
            numbers: The copies' numbers.
            time_ms: When they were due, in milliseconds since 1970.
            retry: Decides when an attempt fails and no failure action of the document matches.
            refuse: Receives the indexes in ``numbers`` of the copies that the service refuses by
                name, before the next request is made.

        Returns:
            A flow whose result says whether the other copies were accepted.
        """
        assert self._batch is not None
        frames = [self._frame(number, time_ms) for number in numbers]
        return run_batch(self._batch, frames, retry, refuse)

    def query(
        self, step_id: str, *, edits: Sequence[Edit] = (), values: Mapping[str, str]
    ) -> Query:
        """Compile a query of a step that needs only run-wide inputs.

        To be called before the first copy runs: a query may need outputs that are not compiled yet.

        Args:
            step_id: The step.
            edits: Applied to its request after the overlay.
            values: Value name → runtime expression, or JSONPath on the body of the answer.

        Raises:
            WorkflowError: There is no such step, it depends on a copy, or an edit or an expression
                is wrong.
        """
        return self._query(step_id, edits, values)

    def _frame(self, number: int, time_ms: int) -> Frame:
        frame = self._machine.empty_frame.copy()
        frame[Slot.NUMBER] = number
        frame[Slot.TIME] = time_ms
        if self._fill is not None:
            self._fill(frame)
        if frame[Slot.COOKIES] is not MISSING:
            frame[Slot.COOKIES] = {}
        if self._journey:
            frame[Slot.WORKFLOWS] = CallContext()
        if self._inputs is not None:
            frame[Slot.INPUTS] = self._inputs(frame)
        return frame


def _foreseen(
    machine: CompiledWorkflow, frame: Frame, end: int, stand_in: str
) -> Iterator[Request]:
    for step in machine.steps[:end]:
        if step.on_success:
            raise UnsendableError(f"what follows {step.step_id} is decided by its answer")
        target = step.call
        if step.render is not None:
            yield step.render(frame)
        elif target is not None and not (
            step.once and target.key in frame[Slot.WORKFLOWS].workflows
        ):
            inputs = {} if step.inputs is None else step.inputs(frame)
            yield from _foreseen(target, enter(target, frame, inputs), len(target.steps), stand_in)
            outputs = dict.fromkeys((name for name, _ in target.outputs), stand_in)
            frame[Slot.WORKFLOWS].workflows[target.key] = (inputs, outputs)
        for slot, _ in step.outputs:
            frame[slot] = stand_in
