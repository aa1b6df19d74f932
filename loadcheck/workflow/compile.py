"""From an Arazzo document and a scenario's settings to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from loadcheck.errors import Problem, WorkflowError, did_you_mean
from loadcheck.workflow.document import Document, read_document
from loadcheck.workflow.expressions import ExpressionError, parse_expression
from loadcheck.workflow.inputs import check_inputs, declared_inputs, default_inputs, resolve_schema
from loadcheck.workflow.overlay import Edit
from loadcheck.workflow.plan import Plan, Query, Role, StepPlan
from loadcheck.workflow.problems import Report, Scribe
from loadcheck.workflow.request import RequestError, compile_request
from loadcheck.workflow.scope import Scope
from loadcheck.workflow.sources import Fetch, load_sources
from loadcheck.workflow.units import Unit
from loadcheck.workflow.values import MISSING, Evaluate, as_dynamic, evaluate

if TYPE_CHECKING:
    from pathlib import Path

    from loadcheck.workflow.identity import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a plan is compiled from.

    Attributes:
        document: Path of the Arazzo document.
        name: The document as the user named it, for messages.
        workflow_id: Which of its workflows; None if it has only one.
        sources: Source description name → file or URL that stands in for its ``url``.
        servers: Source description name → base URL that stands in for the described servers; the
            key "*" is for every source without its own.
        strict: Refuse what is accepted with a warning otherwise.
        inputs: Values of the workflow's inputs; strings may hold expressions of our own.
        overlay: Edits of the steps' requests.
        run: What is the same for every copy.
        criteria: Step → conditions that must hold beside its success criteria.
        secrets: Values that must appear in no problem.
        query: "after": observer steps are run by the reconciliation alone. "each": by every copy
            as well.
        fetch: Reads source descriptions that are URLs; None refuses them.
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
    fetch: Fetch | None = None


def compile_plan(settings: Settings) -> Plan:
    """Compile a workflow for a scenario.

    Raises:
        WorkflowError: The document, a description or a setting is not usable; holds every problem.
    """
    return _Compiler(settings, read_document(settings.document, settings.name)).plan()


class _Compiler:
    def __init__(self, settings: Settings, document: Document) -> None:
        self._settings = settings
        hidden = settings.secrets | frozenset(settings.run.target.values())
        self._report = Report(strict=settings.strict, secrets=hidden)
        self._scribe = Scribe(self._report, document)
        self._root = document.root if isinstance(document.root, dict) else {}

    def plan(self) -> Plan:
        settings = self._settings
        sources = load_sources(self._scribe, settings.sources, settings.fetch)
        index, raw = self._chosen()
        path = ("workflows", index)
        schema = resolve_schema(raw.get("inputs"), self._root)
        declared = declared_inputs(schema)
        values, noted = self._inputs(schema, (*path, "inputs"))
        scope = Scope(
            key=str(raw.get("workflowId")),
            run=settings.run,
            declared=declared,
            inputs=values,
            noted=noted,
            outputs={
                str(step.get("stepId")): tuple(step.get("outputs", ()))
                for step in raw.get("steps", ())
            },
            results=tuple(raw.get("outputs", ())),
            sources={name: source.fields for name, source in sources.items() if source},
            components=self._root.get("components"),
        )
        unit = Unit(
            key=scope.key,
            raw=raw,
            path=path,
            scope=scope,
            scribe=self._scribe,
            sources=sources,
            servers=settings.servers,
            report=self._report,
        )
        self._unit = unit
        unit.compile(0, settings.overlay, settings.criteria)
        self._raise()
        return self._planned(unit)

    def _raise(self) -> None:
        if self._report.errors:
            raise WorkflowError(self._report.problems)

    def _chosen(self) -> tuple[int, Mapping[str, Any]]:
        workflows = self._root.get("workflows")
        listed = workflows if isinstance(workflows, list) else []
        ids = [str(raw.get("workflowId")) for raw in listed if isinstance(raw, dict)]
        wanted = self._settings.workflow_id
        if wanted is None and len(ids) == 1:
            return 0, listed[0]
        if wanted in ids:
            return ids.index(wanted), listed[ids.index(wanted)]
        if wanted is None:
            message = "which of its workflows is meant is not said" if ids else "it has no workflow"
            remedy = f"set workflow.id to one of {', '.join(ids)}" if ids else ""
        else:
            message, remedy = f'there is no workflow "{wanted}"', did_you_mean(wanted, ids)
        self._scribe.error(("workflows",), message, remedy)
        raise WorkflowError(self._report.problems)

    def _inputs(
        self, schema: Any, path: tuple[str | int, ...]
    ) -> tuple[dict[str, Any], dict[str, frozenset[str]]]:
        """Return the values of the inputs, defaults applied, checked with copy 0 as an example."""
        from loadcheck.workflow.resolve import Resolver

        scope = Scope(key="", run=self._settings.run, declared={}, inputs={}, outputs={})
        resolver = Resolver(scope, self._scribe, own=True)
        values = dict(default_inputs(schema))
        noted: dict[str, frozenset[str]] = {}
        for name, raw in self._settings.inputs.items():
            secret = isinstance(raw, str) and raw in self._settings.secrets
            scope.noted.clear()
            values[name] = raw if secret else resolver.value(raw, path)
            noted[name] = frozenset(scope.noted)
        values = {name: value for name, value in values.items() if value is not MISSING}
        frame = [MISSING, 0, 0, "lc-000000000000-0000000", "000000000000-0", 0, {}, {}, {}]
        sample = {name: evaluate(value, frame) for name, value in values.items()}
        check_inputs(schema, sample, self._scribe, path)
        return values, noted

    def _planned(self, unit: Unit) -> Plan:
        uses = _closed(unit)
        per_copy = [
            any(word.startswith("$copy.") for word in uses[step.step_id]) for step in unit.steps
        ]
        last = max(
            (place for place, is_copy in enumerate(per_copy) if is_copy), default=len(per_copy) - 1
        )
        end = len(unit.steps) if self._settings.query == "each" else last + 1
        steps = []
        for place, step in enumerate(unit.steps):
            if step.draft is None:
                continue
            steps.append(
                StepPlan(
                    step_id=step.step_id,
                    index=step.index,
                    role=Role.COPY if place < end else Role.OBSERVER,
                    method=step.draft.operation.method,
                    origin=step.draft.origin,
                    path=step.draft.base + step.draft.operation.path,
                    uses=frozenset(word for word in uses[step.step_id] if word.startswith("$")),
                    dependent=0 < place < end,
                )
            )
        info = self._root.get("info")
        return Plan(
            workflow_id=unit.key,
            title=str(info.get("title", "")) if isinstance(info, dict) else "",
            steps=tuple(steps),
            warnings=self._report.warnings,
            unsent=unit.machine.unsent,
            _machine=unit.machine,
            _end=end,
            _run_id=self._settings.run.id,
            _journey=any(step.step.on_success or step.step.on_failure for step in unit.steps),
            _query=self._query,
        )

    def _query(self, step_id: str, edits: Sequence[Edit], values: Mapping[str, str]) -> Query:
        unit = self._unit
        known = {step.step_id: step for step in unit.steps if step.draft is not None}
        if step_id not in known:
            message, remedy = f'there is no step "{step_id}"', did_you_mean(step_id, known)
            raise WorkflowError(Problem(message=message, file=self._settings.name, remedy=remedy))
        chosen = known[step_id]
        report = Report(secrets=self._settings.secrets)
        unit.report = report
        draft = unit.edited(chosen.draft, edits, step_id)
        found: list[tuple[str, Evaluate]] = []
        for name, text in values.items():
            try:
                value = unit.scope.resolve(parse_expression(text))
            except ExpressionError as error:
                report.add(Problem(message=error.message, key=name, remedy=error.remedy))
                continue
            dynamic = as_dynamic(value)
            if dynamic is not None:
                found.append((name, dynamic.evaluate))
        try:
            template = compile_request(draft)
        except RequestError as error:
            report.add(Problem(message=str(error), key=step_id))
        if report.errors:
            raise WorkflowError(report.problems)
        from dataclasses import replace

        return Query(
            step_id=step_id,
            machine=unit.machine,
            before=(),
            step=replace(chosen.step, render=template.render),
            values=tuple(found),
        )


def _closed(unit: Unit) -> dict[str, frozenset[str]]:
    """Return what each step depends on, through the outputs of others."""
    uses = {step.step_id: step.uses for step in unit.steps}
    changed = True
    while changed:
        changed = False
        for name, words in uses.items():
            more = words.union(
                *(uses[word.partition("/")[2]] for word in words if word.startswith("step:"))
            )
            if more != words:
                uses[name] = more
                changed = True
    return uses
