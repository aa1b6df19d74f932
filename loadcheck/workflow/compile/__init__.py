"""Compile an Arazzo document with a scenario's settings to a plan, or lint it without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from loadcheck.data.values import SpecError
from loadcheck.documents.document import MISSING, look_up, parse_pointer, read_document
from loadcheck.documents.reader import Diagnostics
from loadcheck.errors import Problem, WorkflowError, did_you_mean
from loadcheck.scenario.model import BatchSpec, Edit
from loadcheck.workflow import description
from loadcheck.workflow.compile.analysis import (
    dependency_key,
    end_of_copy,
    reached,
    transitive_dependencies,
)
from loadcheck.workflow.compile.inputs import check_inputs, sample, with_files
from loadcheck.workflow.compile.linker import Linker, ScenarioBindings
from loadcheck.workflow.compile.queries import QueryCompiler
from loadcheck.workflow.compile.workflow import WorkflowCompiler
from loadcheck.workflow.copydata import MANY, PER_COPY, CopyData
from loadcheck.workflow.description import WorkflowSignature
from loadcheck.workflow.description.inputs import InputSchema
from loadcheck.workflow.description.loader import ArazzoDescription, DescriptionLoader, Fetch
from loadcheck.workflow.expressions import Dynamic, Frame, Slot, uses_of
from loadcheck.workflow.expressions.resolve import Resolver
from loadcheck.workflow.expressions.scope import Scope
from loadcheck.workflow.identity import NAMES, Buckets, Run, bucket_writer
from loadcheck.workflow.runtime.batch import CompiledBatch
from loadcheck.workflow.runtime.plan import Plan, Role, StepPlan

_NOWHERE = {"*": "http://127.0.0.1"}


def lint(
    document: Path,
    *,
    name: str = "",
    sources: Mapping[str, str] | None = None,
    strict: bool = False,
    fetch: Fetch | None = None,
) -> tuple[Problem, ...]:
    """Return all problems of a document, each with line, path and section.

    Every workflow of the document is compiled, whether or not a scenario would reach it. Accepted
    deviations from the specification are warnings.

    Args:
        document: Path of the Arazzo document.
        name: The document as the user named it; its path if "".
        sources: Source description name → file or URL that replaces its ``url``.
        strict: Treat warnings as errors.
        fetch: Reads source descriptions that are URLs; None refuses them.
    """
    report = Diagnostics(strict=strict)
    try:
        shelf = DescriptionLoader(report, sources or {}, fetch)
        arazzo = shelf.open(read_document(document, name or str(document)))
        shelf.check_overrides(arazzo)
        run = Run(id="000000000000", start_day="20000101", end_day="20000103")
        program = Linker(ScenarioBindings(run=run, servers=_NOWHERE))
        for workflow in arazzo.workflows.values():
            program.add(arazzo, workflow)
        program.compile()
        for unit in program.units.values():
            unit.check_outputs()
    except WorkflowError as error:
        for problem in error.problems:
            report.add(problem)
    return report.problems


EXAMPLE_TIME_MS: Final = 1_700_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileSettings:
    """Everything that a plan is compiled from.

    Attributes:
        document: Path of the Arazzo document.
        name: The document as the user named it, for messages.
        run: Everything that is the same for all copies.
        workflow_id: Which of its workflows; None if it has only one.
        sources: Source description name → file or URL that replaces its ``url``.
        servers: Source description name → base URL that replaces the described servers; the key "*"
            applies to every source without its own.
        strict: Treat warnings as errors.
        inputs: Values of the workflow's inputs; strings may hold expressions of our own.
        overlay: Edits of the steps' requests.
        criteria: Step → conditions that must hold in addition to its success criteria.
        secrets: Values to redact in problems.
        query: "after": only the reconciliation runs observer steps. "each": every copy runs them,
            too.
        ingest: The step whose requests copies share, if they share any.
        together: How copies share requests; None if each sends its own.
        fetch: Reads source descriptions that are URLs; None refuses them.
        cookies: Whether a copy keeps the cookies it is given.
        once: Further inputs, used if declared, of a workflow that is run once for all copies, with
            all of its outputs compiled; None if copies run it.
        folder: Folder of the files that the scenario puts into requests; None: the document's.
    """

    document: Path
    name: str
    run: Run
    workflow_id: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)
    overlay: Sequence[Edit] = ()
    criteria: Mapping[str, Sequence[str]] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    query: Literal["after", "each"] = "after"
    ingest: str | None = None
    together: BatchSpec | None = None
    fetch: Fetch | None = None
    cookies: bool = False
    folder: Path | None = None
    once: Mapping[str, Any] | None = None


def compile_plan(settings: CompileSettings) -> Plan:
    """Compile a workflow for a scenario.

    Raises:
        WorkflowError: The document, a description or a setting is not usable; holds every problem.
    """
    hidden = settings.secrets | frozenset(settings.run.target.values())
    report = Diagnostics(strict=settings.strict, secrets=hidden)
    shelf = DescriptionLoader(report, settings.sources, settings.fetch)
    arazzo = shelf.open(read_document(settings.document, settings.name))
    shelf.check_overrides(arazzo)
    workflow = _chosen(arazzo, settings.workflow_id)
    if workflow is None:
        raise WorkflowError(report.problems)
    inputs, run_dependencies = _inputs(settings, arazzo, workflow)
    overlay: dict[str, list[Edit]] = {}
    for edit in settings.overlay:
        value = _with_files(edit.value, settings, f"overlay.{edit.at}")
        overlay.setdefault(edit.step, []).append(replace(edit, value=value))
    program = Linker(
        ScenarioBindings(
            run=settings.run,
            servers=settings.servers,
            inputs=inputs,
            run_dependencies=run_dependencies,
            overlay=overlay,
            criteria=settings.criteria,
        )
    )
    main = program.add(arazzo, workflow, main=True)
    if settings.once is not None:
        main.scope.signature.referenced_outputs.update(workflow.outputs)
    program.compile()
    if not settings.cookies:
        program.warn_of_cookies()
    if report.errors:
        raise WorkflowError(report.problems)
    return _plan(settings, report, program, main, inputs)


def _chosen(arazzo: ArazzoDescription, wanted: str | None) -> description.Workflow | None:
    names = tuple(arazzo.workflows)
    if wanted is None and len(names) == 1:
        return arazzo.workflows[names[0]]
    if wanted in arazzo.workflows:
        return arazzo.workflows[wanted]
    if wanted is not None:
        message, remedy = f'there is no workflow "{wanted}"', did_you_mean(wanted, names)
    elif names:
        message = "the document has several workflows"
        remedy = f"say which one is meant by workflow.id: {', '.join(names)}"
    else:
        return None
    arazzo.reporter.error(("workflows",), message, remedy)
    return None


def _inputs(
    settings: CompileSettings, arazzo: ArazzoDescription, workflow: description.Workflow
) -> tuple[dict[str, Any], dict[str, frozenset[str]]]:
    """Resolve the inputs and check them, with copy 0 as an example."""
    scope = Scope(WorkflowSignature(key="", inputs={}, outputs={}), settings.run)
    resolver = Resolver(scope, arazzo.reporter, own=True)
    path = (*workflow.path, "inputs")
    values: dict[str, Any] = {}
    run_dependencies: dict[str, frozenset[str]] = {}
    late: dict[str, Any] = {}
    schema = InputSchema(workflow.inputs, arazzo.reporter.document.root)
    offered = settings.once or {}
    taken = {name: raw for name, raw in offered.items() if name in schema.declared}
    for name, raw in {**taken, **settings.inputs}.items():
        scope.run_dependencies.clear()
        secret = isinstance(raw, str) and raw in settings.secrets
        before = len(arazzo.reporter.report.errors)
        value = (
            raw if secret else resolver.value(_with_files(raw, settings, f"inputs.{name}"), path)
        )
        if len(arazzo.reporter.report.errors) > before:
            late[name] = value  # already reported: do not also report it as missing
        if value is not MISSING:
            values[name] = value
            run_dependencies[name] = frozenset(scope.run_dependencies)
    root = arazzo.reporter.document.root
    others = (arazzo.workflows.get(name) for name in workflow.depends_on)
    schemas = [InputSchema(other.inputs, root).declared for other in others if other is not None]
    own = [name for name in settings.inputs if not any(known.accepts(name) for known in schemas)]
    for name in own:
        if not schema.declared.accepts(name):  # reported here, with the scenario's key
            remedy = did_you_mean(name, schema.declared) or "the workflow declares none"
            if remedy.startswith("did you mean"):  # the intended one is not reported as missing too
                meant = remedy.split('"')[1]
                late.setdefault(meant, Dynamic(text=meant, evaluate=lambda _: MISSING))
            message = "the workflow has no such input"
            arazzo.reporter.report.add(
                Problem(message=message, key=f"inputs.{name}", remedy=remedy)
            )
    example = _example(settings.run)
    # outputs of [setup] have no value yet
    late |= {name: value for name, value in values.items() if _is_shared(value)}
    check_inputs(
        schema, {**schema.defaults, **late, **sample(values, example)}, arazzo.reporter, path
    )
    return values, run_dependencies


def _is_shared(value: Any) -> bool:
    return any(word.startswith("$setup.") for word in uses_of(value))


def _with_files(value: Any, settings: CompileSettings, key: str) -> Any:
    folder, run = settings.folder or settings.document.parent, settings.run
    try:
        drawn = CopyData(run.variety).inline(value, key)
    except SpecError as error:
        problem = Problem(message=error.message, key=key, remedy=error.remedy)
        raise WorkflowError(problem) from None
    return with_files(drawn, folder, run.id, key)


def _example(run: Run) -> Frame:
    """Return the frame of copy 0, without values that come from answers."""
    frame: Frame = [MISSING] * Slot.FREE
    frame[Slot.NUMBER] = frame[Slot.USER] = 0
    frame[Slot.TIME] = EXAMPLE_TIME_MS
    fill_all = bucket_writer(
        Buckets(run_id=run.id, copies=run.most_uploads), NAMES, Slot.NUMBER, Slot.BUCKETS
    )
    fill_all(frame)
    return frame


def _filler(run: Run, steps: Sequence[StepPlan]) -> Callable[[Frame], None] | None:
    """Return a function that puts a copy's user and buckets into its frame; None if not needed."""
    used = frozenset().union(*(step.uses for step in steps))
    names = [name for name in NAMES if f"$copy.{name}" in used]
    buckets = Buckets(run_id=run.id, copies=run.most_uploads)
    visits = run.visits
    if visits is None:
        return bucket_writer(buckets, names, Slot.NUMBER, Slot.BUCKETS) if names else None
    user, fill = visits.user, bucket_writer(buckets, names, Slot.USER, Slot.BUCKETS)

    def fill_all(frame: Frame) -> None:
        frame[Slot.USER] = user(frame[Slot.NUMBER])
        fill(frame)

    return fill_all


def _plan(
    settings: CompileSettings,
    report: Diagnostics,
    program: Linker,
    main: WorkflowCompiler,
    inputs: Mapping[str, Any],
) -> Plan:
    words = transitive_dependencies(program.units.values())
    end = end_of_copy(main, words) if settings.once is None else len(main.steps)
    if end is None:
        main.arazzo.reporter.warn(
            main.path_of_inputs,
            "no request differs from copy to copy: every step is run by every copy",
            'give an input the value "$copy.userId"',
        )
    if settings.query == "each" or end is None:
        end = len(main.steps)
    per_copy = reached(main.steps[:end], main)
    keys = {step.name: (unit, step) for unit in program.units.values() for step in unit.steps}
    steps = []
    for unit, step in (keys[step.name] for step in program.steps):
        draft = step.draft
        if draft is None:
            continue
        copy = step.index in per_copy
        steps.append(
            StepPlan(
                step_id=step.name,
                index=step.index,
                role=Role.COPY if copy else Role.OBSERVER,
                method=draft.operation.method,
                origin=draft.origin,
                path=draft.base + draft.operation.path,
                base=draft.base,
                uses=frozenset(
                    word for word in words[dependency_key(unit, step)] if word[0] == "$"
                ),
                dependent=copy and step.index > min(per_copy),
                timeout_s=None if step.model is None else step.model.timeout_s,
            )
        )
    batch = _batch(settings, main, end, words) if settings.together else None
    if report.errors:
        raise WorkflowError(report.problems)
    unsendable: Counter[str] = Counter()
    for unit in program.units.values():
        unit.machine.unsendable = unsendable
        if settings.cookies:
            unit.keep_cookies()
    inlined = main.scope.inputs is not None
    query = QueryCompiler(program, main, words, settings.secrets)
    return Plan(
        workflow_id=main.model.workflow_id,
        title=main.arazzo.content.title,
        steps=tuple(steps),
        _warnings=report.warnings,
        _query_warnings=query.warnings,
        unsendable=unsendable,
        user_id=settings.run.user_id,
        user_number=settings.run.user_number,
        _machine=main.machine,
        _end=end,
        _given=lambda frame: sample(inputs, frame),
        uses_at=lambda step_id, place: _uses_at(main, words, inputs, (step_id, place)),
        _inputs=None if inlined else program.entry(main, main.path_of_inputs),
        _fill=_filler(settings.run, steps),
        _journey=any(
            step.has_transfers for unit in program.units.values() for step in unit.machine.steps
        ),
        _batch=batch,
        _query=query,
    )


def _uses_at(
    main: WorkflowCompiler,
    words: Mapping[str, frozenset[str]],
    inputs: Mapping[str, Any],
    at: tuple[str, str],
) -> frozenset[str]:
    """Return what the value at a place in the request of a step depends on.

    If the place leads into a dynamic value, that value's dependencies are returned.
    """
    step_id, place = at
    if place.startswith("$inputs."):
        value = inputs.get(place.removeprefix("$inputs."))
    else:
        draft = next((step.draft for step in main.steps if step.name == step_id), None)
        value = None if draft is None or draft.body is MISSING else draft.body
        for token in parse_pointer(place.removeprefix("body#")):
            value = look_up(value, (token,)) if isinstance(value, dict | list) else value
    uses = frozenset() if value is MISSING else uses_of(value)
    known = uses.union(*(words.get(word, frozenset()) for word in uses))
    if isinstance(value, dict | list):  # it only contains such lists, and is not one itself
        known = frozenset(word for word in known if not word.startswith(MANY))
    return known


def _batch(
    settings: CompileSettings, main: WorkflowCompiler, end: int, words: Mapping[str, frozenset[str]]
) -> CompiledBatch | None:
    """Compile the request that copies share; None if there is none or a problem was reported."""
    report = main.arazzo.reporter.report
    steps, ingest, together = main.steps[:end], settings.ingest, settings.together
    if together is None:
        return None
    if len(steps) != 1 or steps[0].name != ingest or steps[0].step.has_transfers:
        names = ", ".join(step.name for step in steps)
        problem = Problem(
            message="copies cannot share requests: each has to run more than one step",
            key="load.copies_per_request",
            remedy=f"it needs a workflow whose copies run {ingest} alone; they run {names}",
        )
        report.add(problem)
        return None
    batch = main.compile_batch(steps[0], together)
    if batch is None:
        return None
    main.finish()
    known = batch.uses.union(*(words.get(word, frozenset()) for word in batch.uses))
    per_copy = sorted(word for word in known if word.startswith(PER_COPY))
    if per_copy:
        problem = Problem(
            message=f"copies cannot share requests: {', '.join(per_copy)} is used outside of"
            f" {together.events}",
            key="load.copies_per_request",
            remedy="values that differ between copies must be within their events",
        )
        report.add(problem)
    return batch
