"""Find, compile and link all workflows of a plan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadcheck.documents.reader import DocumentReporter, Path
from loadcheck.errors import Problem, WorkflowError, did_you_mean
from loadcheck.scenario.model import Edit
from loadcheck.workflow import description
from loadcheck.workflow.compile.analysis import check_dependencies, check_exits
from loadcheck.workflow.compile.workflow import SUCCESS, StepDraft, WorkflowCompiler
from loadcheck.workflow.description import StepSignature
from loadcheck.workflow.description.inputs import InputSchema
from loadcheck.workflow.description.loader import ArazzoDescription, find_workflow
from loadcheck.workflow.expressions.scope import Declared, Scope
from loadcheck.workflow.identity import Run
from loadcheck.workflow.runtime import MAX_DEPTH, CompiledStep, Inputs

MAX_STEPS: Final = 20_000
"""Most steps of all workflows of a plan together."""


_OTHER_STEP: Final = re.compile(
    r"\$(?:workflows|sourceDescriptions\.([\w\-]+))\.([\w\-]+)\.(?:steps\.)?([\w\-]+)"
)


def _is_of(operation_id: str | None, content: description.Arazzo, kind: str) -> bool:
    """Return whether an ``operationId`` names a source description of a type."""
    names = [entry.name for entry in content.sources if entry.type == kind]
    return any(f"$sourceDescriptions.{name}." in f"{operation_id}." for name in names)


def ordered(
    workflow: description.Workflow, reporter: DocumentReporter
) -> tuple[description.Step, ...]:
    """Return the steps of a workflow, each after those that it depends on (Arazzo 1.1.0).

    Otherwise they keep the order of the document.
    """
    if not any(step.depends_on for step in workflow.steps):
        return workflow.steps
    steps = {step.step_id: step for step in workflow.steps}
    for step in workflow.steps:
        for index, name in enumerate(step.depends_on):
            if not name.startswith("$") and name not in steps:
                path = (*step.path, "dependsOn", index)
                message = f'there is no step "{name}" in the workflow'
                reporter.error(path, message, did_you_mean(name, steps), "Step Object")
    found: dict[str, description.Step] = {}
    waiting = list(workflow.steps)
    while waiting:
        ready = next(
            (
                step
                for step in waiting
                if all(name in found or name not in steps for name in step.depends_on)
            ),
            None,
        )
        if ready is None:
            names = ", ".join(step.step_id for step in waiting)
            path = (*waiting[0].path, "dependsOn")
            reporter.error(
                path,
                f"steps depend on each other in a circle: {names}",
                "leave one dependsOn out",
                "Step Object",
            )
            return workflow.steps
        waiting.remove(ready)
        found[ready.step_id] = ready
    return tuple(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioBindings:
    """The settings of a scenario that workflows are compiled with.

    Attributes:
        run: Everything that is the same for all copies.
        servers: Source description name → base URL.
        inputs: Input name → resolved value; None if there is no scenario, as in a linter.
        run_dependencies: Input name → run-wide expressions of our own that its value was made from.
        overlay: Step name → edits of its request.
        criteria: Step name → further success conditions.
    """

    run: Run
    servers: Mapping[str, str]
    inputs: Mapping[str, Any] | None = None
    run_dependencies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    overlay: Mapping[str, Sequence[Edit]] = field(default_factory=dict)
    criteria: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Linker:
    """Compiles workflows and those that they call, each once.

    Attributes:
        units: The workflows by key, in the order in which they are reached.
        steps: The steps that send requests, in the same order.
    """

    def __init__(self, given: ScenarioBindings) -> None:
        self._given = given
        self.units: dict[str, WorkflowCompiler] = {}
        self.steps: list[StepDraft] = []
        self._depth = 0

    def add(
        self, arazzo: ArazzoDescription, workflow: description.Workflow, *, main: bool = False
    ) -> WorkflowCompiler:
        """Add a workflow and all that it calls, with steps in the order in which they run.

        Args:
            arazzo: Its document.
            workflow: The workflow.
            main: Whether its inputs are those of the scenario.

        Raises:
            WorkflowError: Workflows call each other too deeply, or have too many steps.
        """
        signature = arazzo.signatures[workflow.workflow_id]
        if signature.key in self.units:
            known = self.units[signature.key]
            known.scope.inputs = None  # its caller provides them
            return known
        if self._depth >= MAX_DEPTH:
            message = f"workflows call each other more than {MAX_DEPTH} deep"
            problem = Problem(
                message=message, file=arazzo.reporter.document.name, remedy="call fewer in a row"
            )
            raise WorkflowError(problem)
        self._depth += 1
        root = arazzo.reporter.document.root
        schema = InputSchema(workflow.inputs, root)
        schema.check_schema(arazzo.reporter, (*workflow.path, "inputs"))
        given = self._given
        inputs = {**schema.defaults, **given.inputs} if main and given.inputs is not None else None
        scope = Scope(
            signature,
            given.run,
            inputs=inputs,
            run_dependencies=given.run_dependencies,
            document=Declared(
                workflows=arazzo.signatures,
                sources={entry.name: entry.fields for entry in arazzo.content.sources},
                components=arazzo.content.components or {},
                identity=arazzo.content.identity,
            ),
        )
        unit = WorkflowCompiler(
            arazzo=arazzo,
            model=workflow,
            schema=schema,
            scope=scope,
            sent=given.inputs is not None,
        )
        self.units[signature.key] = unit
        signatures: dict[str, StepSignature] = {}
        for index, name in enumerate(workflow.depends_on):
            self._depend(unit, name, (*workflow.path, "dependsOn", index))
        for step in ordered(workflow, arazzo.reporter):
            self._check_prerequisites(arazzo, step)
            added = self._step(unit, step)
            call = None if added.target is None else added.target.scope.signature
            signatures[step.step_id] = StepSignature(outputs=step.outputs, call=call)
        scope.steps = signatures
        self._find_targets(unit)
        self._depth -= 1
        return unit

    def compile(self) -> None:
        """Compile all workflows that were added."""
        given = self._given
        self._name_steps()
        self._check_names()
        for unit in self.units.values():
            unit.gather(given.servers, given.overlay, self.entry)
        for unit in self.units.values():
            unit.link(given.criteria, self.entry)
        self.fill()
        arazzo_sources = {id(unit.arazzo): unit.arazzo for unit in self.units.values()}.values()
        circles = sum(check_dependencies(arazzo) for arazzo in arazzo_sources)  # all are reported
        check_exits(self.units.values(), circle=circles > 0)

    def fill(self) -> None:
        """Compile the outputs that are read so far; to be called only while no copy runs."""
        filled = True
        while filled:
            filled = sum(unit.fill() for unit in self.units.values()) > 0
        for unit in self.units.values():
            unit.finish()

    def _depend(self, unit: WorkflowCompiler, name: str, path: Path) -> None:
        found = find_workflow(unit.arazzo, name, path, "Workflow Object")
        if found is not None and name != self._given.run.shared.workflow:  # that one has run
            target = self.add(*found)
            step = CompiledStep(step_id=f"dependsOn {name}", once=True)
            unit.steps.append(
                StepDraft(name=step.step_id, model=None, path=path, target=target, step=step)
            )

    def _step(self, unit: WorkflowCompiler, step: description.Step) -> StepDraft:
        added = StepDraft(
            name=step.step_id, model=step, path=step.path, step=CompiledStep(step_id=step.step_id)
        )
        unit.steps.append(added)
        if step.workflow_id is not None:
            found = find_workflow(
                unit.arazzo, step.workflow_id, (*step.path, "workflowId"), "Step Object"
            )
            added.target = None if found is None else self.add(*found)
        elif step.asynchronous or _is_of(step.operation_id, unit.arazzo.content, "asyncapi"):
            message = f'the step "{step.step_id}" is one of AsyncAPI, which loadcheck does not run'
            remedy = "its workflow cannot be run; others of the document can"
            unit.arazzo.reporter.error(step.path, message, remedy, "Step Object")
        elif step.operation_id is not None or step.operation_path is not None:
            added.index = len(self.steps)
            self.steps.append(added)
        if len(self.steps) > MAX_STEPS:
            message = f"more than {MAX_STEPS:,} steps"
            problem = Problem(
                message=message, file=unit.arazzo.reporter.document.name, remedy="split it up"
            )
            raise WorkflowError(problem)
        return added

    def _check_prerequisites(self, arazzo: ArazzoDescription, step: description.Step) -> None:
        """Report steps of other workflows that a step depends on and that do not exist."""
        for index, text in enumerate(step.depends_on):
            match = _OTHER_STEP.fullmatch(text)
            if not text.startswith("$"):
                continue
            source, workflow_id, step_id = match.groups() if match else (None, None, None)
            home = arazzo if source is None else arazzo.arazzo_sources.get(source)
            workflow = None if home is None else home.workflows.get(workflow_id or "")
            names = () if workflow is None else [other.step_id for other in workflow.steps]
            if step_id not in names:
                path = (*step.path, "dependsOn", index)
                remedy = "expected $workflows.ID.steps.ID or $sourceDescriptions.NAME.ID.steps.ID"
                arazzo.reporter.error(path, f'there is no step "{text}"', remedy, "Step Object")

    def _find_targets(self, unit: WorkflowCompiler) -> None:
        workflow = unit.model
        holders: tuple[description.Workflow | description.Step, ...] = (workflow, *workflow.steps)
        for holder in holders:
            for action in (*holder.on_success, *holder.on_failure):
                name = action.workflow_id
                if name is None or name in unit.targets:
                    continue
                path = (*action.path, "workflowId")
                found = find_workflow(unit.arazzo, name, path, SUCCESS)
                if found is not None:
                    unit.targets[name] = self.add(*found)

    def warn_of_cookies(self) -> None:
        """Warn of operations described to set cookies, which would not be kept."""
        for unit in self.units.values():
            for step in unit.steps:
                draft = step.draft
                if draft is None or not draft.operation.sets_cookies:
                    continue
                message = f"{draft.operation.method} {draft.operation.path} sets cookies"
                remedy = "[target] cookies = true keeps them, for each copy its own"
                unit.arazzo.reporter.warn(step.path, message, remedy, "Step Object")

    def _name_steps(self) -> None:
        """Make step names unique: prefix repeated ones, except the first, by their workflow."""
        taken: dict[str, StepDraft] = {}
        for unit in self.units.values():
            for step in unit.steps:
                if step.name in taken:
                    step.name = f"{unit.key}.{step.name}"
                taken[step.name] = step

    def _check_names(self) -> None:
        names = {step.name for step in self.steps}
        for name in (*self._given.overlay, *self._given.criteria):
            if name not in names:
                unit = next(iter(self.units.values()))
                message = f'there is no step "{name}" that sends a request'
                # a fault of the scenario, not of the document: the caller knows file and line
                problem = Problem(message=message, key=name, remedy=did_you_mean(name, names))
                unit.arazzo.reporter.report.add(problem)

    def entry(self, target: WorkflowCompiler, path: Path) -> Inputs:
        """Return the inputs of a workflow that is entered without any: the scenario's, by name."""
        if self._given.inputs is None:
            return lambda _: {}
        declared = target.schema.declared
        values = {
            name: value for name, value in self._given.inputs.items() if declared.accepts(name)
        }
        return target.called_with(
            values, self._given.run_dependencies, target.arazzo.reporter, path
        )
