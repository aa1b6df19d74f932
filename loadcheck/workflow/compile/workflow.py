"""Compile one workflow of a document.

A step has its own success and failure actions and those of its workflow (Arazzo 1.0.1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from loadcheck.documents.document import MISSING
from loadcheck.documents.reader import DocumentReporter, Path
from loadcheck.errors import Problem, did_you_mean
from loadcheck.scenario.model import BatchSpec, Edit
from loadcheck.workflow import description
from loadcheck.workflow.compile.criteria import compile_criterion, simple
from loadcheck.workflow.compile.inputs import check_inputs, check_names, compile_inputs
from loadcheck.workflow.compile.request import compile_batch, compile_request
from loadcheck.workflow.compile.request_spec import (
    RequestError,
    RequestSpec,
    edit_draft,
    gather_draft,
)
from loadcheck.workflow.description.inputs import InputSchema
from loadcheck.workflow.description.loader import ArazzoDescription
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.expressions import (
    Evaluate,
    Frame,
    Slot,
    UnsendableError,
    as_dynamic,
    uses_of,
)
from loadcheck.workflow.expressions.grammar import ExpressionError
from loadcheck.workflow.expressions.resolve import Resolver
from loadcheck.workflow.expressions.scope import Scope
from loadcheck.workflow.expressions.selectors import find_in_answer, is_jsonpath
from loadcheck.workflow.runtime import (
    CompiledAction,
    CompiledCriterion,
    CompiledStep,
    CompiledWorkflow,
    Inputs,
)
from loadcheck.workflow.runtime.batch import CompiledBatch
from loadcheck.workflow.runtime.interpreter import store_cookies, with_cookies

SUCCESS: Final = "Success Action Object"
FAILURE: Final = "Failure Action Object"


def effective(
    own: Sequence[description.Action], general: Sequence[description.Action]
) -> tuple[description.Action, ...]:
    """Return the actions of a step: its own, then its workflow's, except those of the same name."""
    named = {action.name for action in own}
    return (*own, *(action for action in general if action.name not in named))


def warn_ineffective_goto(
    actions: Sequence[description.Action], behind: str, reporter: DocumentReporter
) -> None:
    """Warn of a goto with criteria that leads to the next step, so that the criteria do nothing.

    Args:
        actions: The success actions of a step.
        behind: The id of the step that follows it.
        reporter: Receives the warning.
    """
    if any(action.type != "goto" or action.step_id != behind for action in actions):
        return  # another action may be taken instead, so the criteria matter
    for action in actions:
        if action.criteria:
            reporter.warn(
                action.path,
                f'the goto "{action.name}" names the step that follows anyway: '
                "its criteria hold nothing back",
                "to stop there, make them successCriteria of the step, "
                "or add an action of type end without criteria behind it",
                SUCCESS,
            )


STEP: Final = "Step Object"
HAS_RUN: Final = "\0has run"
"""Name of the pseudo-output that says that a step has run; no real output can have it."""

Entry: TypeAlias = "Callable[[WorkflowCompiler, Path], Inputs]"
"""Returns the inputs of a workflow that is entered without any: by goto or dependsOn."""


@dataclass(slots=True, kw_only=True, eq=False)
class StepDraft:
    """A step while its workflow is compiled.

    Attributes:
        name: Its name, unique among the steps of all workflows.
        model: The step in the document; None for the call of a workflow that this one depends on.
        path: Its path in the document.
        target: The workflow that it calls; None if it calls none.
        index: Its index in the plan; -1 if it sends no request.
        draft: Its request with the overlay applied; None if it has none.
        uses: What its request, or the inputs of its call, depend on.
        requires: Steps that must have run before it, each with the slot that records that.
        step: The compiled step.
    """

    name: str
    model: description.Step | None
    path: Path
    target: WorkflowCompiler | None = None
    index: int = -1
    draft: RequestSpec | None = None
    uses: frozenset[str] = frozenset()
    requires: tuple[tuple[str, int], ...] = ()
    step: CompiledStep


@dataclass(slots=True, kw_only=True, eq=False)
class WorkflowCompiler:
    """A workflow while it is compiled.

    Attributes:
        arazzo: Its document.
        model: The workflow in the document.
        schema: The schema of its inputs.
        scope: Resolves its expressions.
        sent: Whether its requests will be sent, so that one that must fail is an error.
        machine: The compiled workflow.
        steps: Calls of the workflows that it depends on, then its steps.
        targets: ``workflowId`` as written in an action → the workflow.
        input_uses: Input name → what the values that callers give it depend on.
        result_uses: What its outputs depend on.
        events: Number of events of a copy that sends its own request; None if copies share none.
        cookies: Whether a copy keeps the cookies it is given.
    """

    arazzo: ArazzoDescription
    model: description.Workflow
    schema: InputSchema
    scope: Scope
    sent: bool = False
    machine: CompiledWorkflow = field(init=False)
    steps: list[StepDraft] = field(init=False, default_factory=list)
    targets: dict[str, WorkflowCompiler] = field(init=False, default_factory=dict)
    input_uses: dict[str, frozenset[str]] = field(init=False, default_factory=dict)
    result_uses: frozenset[str] = field(init=False, default=frozenset())
    events: int | None = field(init=False, default=None)
    cookies: bool = field(init=False, default=False)
    _filled: set[tuple[str, str]] = field(init=False, default_factory=set)
    _places: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.machine = CompiledWorkflow(key=self.scope.signature.key)

    @property
    def key(self) -> str:
        """Its name, unique among all workflows of the plan."""
        return self.scope.signature.key

    @property
    def _positions(self) -> dict[str, int]:
        """Step id → index in :attr:`steps`; cached on first use, when all steps have been added."""
        if not self._places:
            places = enumerate(self.steps)
            self._places = {unit.step.step_id: place for place, unit in places if unit.model}
        return self._places

    @property
    def path_of_inputs(self) -> Path:
        """Path of the declaration of its inputs."""
        return (*self.model.path, "inputs")

    def gather(
        self, servers: Mapping[str, str], overlay: Mapping[str, Sequence[Edit]], entry: Entry
    ) -> None:
        """Compile the requests and calls of all steps."""
        for unit in self.steps:
            step = unit.model
            if step is None:
                if unit.target is not None:
                    unit.step.inputs = entry(unit.target, unit.path)
                    unit.step.call = unit.target.machine
                continue
            self._at(unit, answered=False)
            if step.workflow_id is not None:
                self._call(unit, step)
                self._require(unit, step)
                continue
            self._require(unit, step)
            draft = gather_draft(
                step,
                self.model.parameters,
                index=unit.index,
                sources=self.arazzo.sources,
                servers=servers,
                resolver=self._resolver,
            )
            if draft is not None:
                unit.draft = self.edited(draft, overlay.get(unit.name, ()), unit.name)
                self._render(unit, unit.draft)
        self.scope.here = None

    def link(self, criteria: Mapping[str, Sequence[str]], entry: Entry) -> None:
        """Compile the criteria and actions of all steps."""
        for unit in self.steps:
            step = unit.model
            if step is None:
                continue
            self._at(unit, answered=True)
            compiled = [*self._criteria(step.criteria), *self._extra(criteria.get(unit.name, ()))]
            unit.step.criteria = tuple(compiled)
            on_success = effective(step.on_success, self.model.on_success)
            on_failure = effective(step.on_failure, self.model.on_failure)
            place_behind = self._positions[step.step_id] + 1
            if place_behind < len(self.steps):
                behind = self.steps[place_behind].step.step_id
                warn_ineffective_goto(on_success, behind, self.arazzo.reporter)
            unit.step.on_success = tuple(self._actions(on_success, entry, SUCCESS))
            unit.step.on_failure = tuple(self._actions(on_failure, entry, FAILURE))
        self.scope.here = None

    def fill(self) -> bool:
        """Compile the outputs that are read so far; return whether there were new ones."""
        new = [wanted for wanted in self.scope.output_slots if wanted not in self._filled]
        for step_id, name in new:
            self._filled.add((step_id, name))
            unit = self.steps[self._positions[step_id]]
            if name == HAS_RUN:
                slot = self.scope.output_slots[step_id, name]
                unit.step.outputs = (*unit.step.outputs, (slot, _has_run))
                continue
            self._at(unit, answered=True)
            outputs = unit.model.outputs if unit.model else {}
            text = outputs.get(name, f"$outputs.{name}")
            value = self._resolver.value(text, (*unit.path, "outputs", name))
            slot = self.scope.output_slots[step_id, name]
            unit.uses |= uses_of(value)
            stored = (slot, _evaluate(value))
            if f"step:{self.key}/{step_id}" in uses_of(value):  # after other outputs of the step
                unit.step.outputs = (*unit.step.outputs, stored)
            else:
                unit.step.outputs = (stored, *unit.step.outputs)
        self.scope.here = None
        have = {name for name, _ in self.machine.outputs}
        more = [name for name in self.scope.signature.referenced_outputs if name not in have]
        for name in more:
            path = (*self.model.path, "outputs", name)
            value = self._resolver.value(self.model.outputs[name], path)
            self.result_uses |= uses_of(value)
            self.machine.outputs = (*self.machine.outputs, (name, _evaluate(value)))
        return bool(new or more)

    def finish(self) -> None:
        """Complete the compiled workflow, so that it can run."""
        for unit in self.steps:
            if unit.requires:
                self._only_behind(unit)
                unit.requires = ()
        self.machine.steps = tuple(unit.step for unit in self.steps)
        self.machine.empty_frame = [MISSING] * self.scope.frame_size
        if self.cookies:
            self.machine.empty_frame[Slot.COOKIES] = None
        if self.events is not None:
            self.machine.empty_frame[Slot.EVENTS] = self.events

    def keep_cookies(self) -> None:
        """Make copies send the cookies that their answers have set."""
        self.cookies = True
        self.machine.empty_frame[Slot.COOKIES] = None
        for unit in self.steps:
            step, render = unit.step, unit.step.render
            if render is None:
                continue
            criteria = step.criteria or (
                CompiledCriterion(text="a 2xx status", holds=_is_2xx, uses=_NONE),
            )
            kept = CompiledCriterion(text="cookies", holds=_keep, uses=_NONE)
            step.criteria = (kept, *criteria)
            step.render = _sending_cookies(render)

    def compile_batch(self, unit: StepDraft, together: BatchSpec) -> CompiledBatch | None:
        """Compile the request of a step that copies share; None if a problem was reported."""
        if unit.draft is None:
            return None
        self._at(unit, answered=True)
        try:
            refused = [self._reading(text, unit) for text in together.refused]
            statuses = self._reading(together.statuses, unit) if together.statuses else None
            self.scope.here = None
            batch = compile_batch(
                unit.draft, together.events, self.machine, unit.step, refused, statuses
            )
        except (RequestError, ValueError, ExpressionError) as error:
            remedy = "see loadcheck explain verify.batch"
            problem = Problem(message=str(error), key=f"batch of step {unit.name}", remedy=remedy)
            self.arazzo.reporter.report.add(problem)
            return None
        self.events = batch.each
        return batch

    def _reading(self, text: str, unit: StepDraft) -> Evaluate:
        """Return a function that reads a value from the answer to a batch."""
        if is_jsonpath(text):
            return find_in_answer(text)
        return _evaluate(self._resolver.value(text, unit.path))

    def check_outputs(self) -> None:
        """Report problems with all outputs, including those that are never read."""
        resolver = self._resolver
        for unit in self.steps:
            self._at(unit, answered=True)
            for name, text in (unit.model.outputs if unit.model else {}).items():
                resolver.value(text, (*unit.path, "outputs", name))
        self.scope.here = None
        for name, text in self.model.outputs.items():
            resolver.value(text, (*self.model.path, "outputs", name))

    def edited(self, draft: RequestSpec, edits: Iterable[Edit], name: str) -> RequestSpec:
        """Return a request with edits applied; problems with them are reported."""
        resolver = Resolver(self.scope, self.arazzo.reporter, own=True)
        return edit_draft(draft, edits, resolver=resolver, path=self.model.path, name=name)

    @property
    def _resolver(self) -> Resolver:
        return Resolver(self.scope, self.arazzo.reporter)

    def _require(self, unit: StepDraft, step: description.Step) -> None:
        """Note the steps that must have run before a step: a jump may have skipped them.

        ``dependsOn`` does not run them (Arazzo 1.1.0).
        """
        slots = [
            (
                name,
                self.scope.output_slots.setdefault(
                    (name, HAS_RUN), Slot.FREE + len(self.scope.output_slots)
                ),
            )
            for name in step.depends_on
            if name in self._positions
        ]
        if slots:
            unit.requires = tuple(slots)

    def _only_behind(self, unit: StepDraft) -> None:
        """Make a step fail unless the steps run_dependencies by :meth:`_require` have run."""
        slots, step = unit.requires, unit.step

        def check(frame: Frame) -> None:
            for name, slot in slots:
                if frame[slot] is MISSING:
                    raise UnsendableError(f'it depends on the step "{name}", which has not run')

        render, inputs = step.render, step.inputs
        if render is not None:

            def checked(frame: Frame) -> Request:
                check(frame)
                return render(frame)

            step.render = checked
        elif inputs is not None:

            def checked_inputs(frame: Frame) -> dict[str, Any]:
                check(frame)
                return inputs(frame)

            step.inputs = checked_inputs

    def _not_yet(self, unit: StepDraft) -> Collection[str]:
        """Return the ids of steps from which no path leads to one: they cannot run before it."""
        here = self.steps.index(unit)
        later = {step.step.step_id for step in self.steps[here:] if step.model is not None}
        if not later or not any(self._jumps):
            return later
        before: set[int] = set()
        waiting = [here]
        while waiting:
            place = waiting.pop()
            sources = {place - 1} if place else set()
            sources |= {source for source, target in self._jumps if target == place}
            waiting += sources - before
            before |= sources
        return later - {self.steps[place].step.step_id for place in before}

    @property
    def _jumps(self) -> list[tuple[int, int]]:
        """Pairs of step indexes: a step, and one that an action may run right after it."""
        found = []
        for place, unit in enumerate(self.steps):
            if unit.model is None:
                continue
            actions = (
                *effective(unit.model.on_success, self.model.on_success),
                *effective(unit.model.on_failure, self.model.on_failure),
            )
            for action in actions:
                target = self._positions.get(action.step_id or "")
                if target is not None:
                    pair = (target, place) if action.type == "retry" else (place, target)
                    found.append(pair)
        return found

    def _at(self, unit: StepDraft, *, answered: bool) -> None:
        self.scope.here = unit.step.step_id if unit.model else None
        self.scope.answered = answered
        self.scope.not_yet = lambda: self._not_yet(unit)
        draft = unit.draft
        self.scope.template = None if draft is None else draft.base + draft.operation.path

    def _render(self, unit: StepDraft, draft: RequestSpec) -> None:
        try:
            template = compile_request(draft)
        except RequestError as error:
            remedy = "see parameters and requestBody of the step"
            self.arazzo.reporter.error(unit.path, str(error), remedy, STEP)
            return
        report = self.arazzo.reporter.error if self.sent else self.arazzo.reporter.warn
        for what in draft.lacking():
            message = f"{draft.operation.method} {draft.operation.path} requires {what}"
            report(unit.path, message, "the step gives none", STEP)
        unit.step.render = template.render
        unit.uses = template.uses

    def called_with(
        self,
        values: Mapping[str, Any],
        run_dependencies: Mapping[str, frozenset[str]],
        reporter: DocumentReporter,
        path: Path,
    ) -> Inputs:
        """Return a function that makes the workflow's inputs for a call with some values.

        Args:
            values: Input name → resolved value; those that violate the schema are reported.
            run_dependencies: Input name → run-wide expressions of our own in its value.
            reporter: Receives problems of the document that calls it.
            path: Path of the call in that document.
        """
        check_inputs(self.schema, {**self.schema.defaults, **values}, reporter, path)
        for name, value in values.items():
            known = self.input_uses.get(name, _NONE)
            self.input_uses[name] = known | uses_of(value) | run_dependencies.get(name, _NONE)
        return compile_inputs(self.schema, values, f'workflow "{self.key}"')

    def _call(self, unit: StepDraft, step: description.Step) -> None:
        resolver = self._resolver
        self.scope.run_dependencies.clear()
        target = unit.target
        shared = self.model.parameters if target is not None else ()
        own = {parameter.name for parameter in step.parameters}
        applying = [
            parameter
            for parameter in shared
            if parameter.where is None
            and parameter.name not in own
            and target is not None
            and target.schema.declared.accepts(parameter.name)
        ]
        values: dict[str, Any] = {}
        for parameter in (*applying, *step.parameters):
            value = resolver.value(parameter.value, parameter.value_path)
            if value is not MISSING:
                values[parameter.name] = value
        if target is None:
            return
        reporter = self.arazzo.reporter
        check_names((p.name for p in step.parameters), target.schema.declared, reporter, unit.path)
        run_dependencies = dict.fromkeys(values, frozenset(self.scope.run_dependencies))
        unit.uses = frozenset().union(*map(uses_of, values.values()))
        unit.step.inputs = target.called_with(values, run_dependencies, reporter, unit.path)
        unit.step.call = target.machine

    def _entry(self, target: WorkflowCompiler, action: description.Action, entry: Entry) -> Inputs:
        """Return the inputs that an action gives the workflow that it goes to."""
        if not action.parameters:
            return entry(target, action.path)
        reporter, resolver = self.arazzo.reporter, self._resolver
        values = {
            given.name: resolver.value(given.value, given.value_path) for given in action.parameters
        }
        values = {name: value for name, value in values.items() if value is not MISSING}
        check_names(values, target.schema.declared, reporter, action.path)
        return target.called_with(values, {}, reporter, action.path)

    def _criteria(self, models: Iterable[description.Criterion]) -> Iterator[CompiledCriterion]:
        for raw in models:
            criterion = compile_criterion(raw, self._resolver)
            if criterion is not None:
                yield criterion

    def _extra(self, conditions: Iterable[str]) -> Iterator[CompiledCriterion]:
        for condition in conditions:
            try:
                yield simple(condition, Resolver(self.scope, self.arazzo.reporter, own=True))
            except ExpressionError as error:
                problem = Problem(message=error.message, key="acknowledged", remedy=error.remedy)
                self.arazzo.reporter.report.add(problem)

    def _actions(
        self, models: Iterable[description.Action], entry: Entry, section: str
    ) -> Iterator[CompiledAction]:
        positions = self._positions
        for raw in models:
            if raw.step_id is not None and raw.step_id not in positions:
                path = (*raw.path, "stepId")
                message = f'there is no step "{raw.step_id}" in the workflow'
                self.arazzo.reporter.error(
                    path, message, did_you_mean(raw.step_id, positions), section
                )
                continue
            target = None if raw.workflow_id is None else self.targets.get(raw.workflow_id)
            yield CompiledAction(
                kind=raw.type,
                criteria=tuple(self._criteria(raw.criteria)),
                step=None if raw.step_id is None else positions[raw.step_id],
                workflow=None if target is None else target.machine,
                inputs=None if target is None else self._entry(target, raw, entry),
                retry_after_s=raw.retry_after_s,
                retry_limit=raw.retry_limit,
            )


_NONE: Final[frozenset[str]] = frozenset()


def _is_2xx(frame: Frame) -> bool:
    status: int = frame[Slot.EXCHANGE].status
    return 200 <= status < 300  # noqa: PLR2004 -- as the text says


def _keep(frame: Frame) -> bool:
    store_cookies(frame[Slot.COOKIES], frame[Slot.EXCHANGE])
    return True


def _sending_cookies(render: Callable[[Frame], Request]) -> Callable[[Frame], Request]:
    def rendered(frame: Frame) -> Request:
        request, jar = render(frame), frame[Slot.COOKIES]
        return with_cookies(jar, request) if jar else request

    return rendered


def _has_run(_: Frame) -> bool:
    return True


def _evaluate(value: Any) -> Evaluate:
    dynamic = as_dynamic(value)
    return (lambda _: value) if dynamic is None else dynamic.evaluate
