"""Compiling one workflow of a document to a machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from loadcheck.errors import Problem, did_you_mean
from loadcheck.workflow.criteria import Criterion, compile_criterion, simple
from loadcheck.workflow.expressions import ExpressionError
from loadcheck.workflow.flow import Action, Machine, Step
from loadcheck.workflow.operations import find_operation
from loadcheck.workflow.request import Draft, RequestError, compile_request
from loadcheck.workflow.resolve import Resolver
from loadcheck.workflow.values import MISSING, as_dynamic, uses_of

if TYPE_CHECKING:
    from loadcheck.workflow.overlay import Edit
    from loadcheck.workflow.problems import Path, Report, Scribe
    from loadcheck.workflow.scope import Scope
    from loadcheck.workflow.sources import Source

STEP: Final = "Step Object"


@dataclass(slots=True, kw_only=True, eq=False)
class StepUnit:
    """A step while its workflow is compiled.

    Attributes:
        step_id: Its name.
        path: Where it stands in the document.
        raw: What the document says.
        index: Its place in the plan; -1 if it sends no request.
        draft: Its request, overlay applied, not yet compiled.
        uses: What its request depends on.
        step: What runs.
    """

    step_id: str
    path: Path
    raw: Mapping[str, Any]
    index: int = -1
    draft: Draft | None = None
    uses: frozenset[str] = frozenset()
    step: Step


class Unit:
    """A workflow while it is compiled.

    Args:
        key: Names it among all workflows of the plan.
        raw: The Workflow Object.
        path: Where it stands in the document.
        resolver: Resolves its strings.
        own: Resolves strings that may hold expressions of our own too.
        sources: The document's source descriptions.
    """

    def __init__(
        self,
        *,
        key: str,
        raw: Mapping[str, Any],
        path: Path,
        scope: Scope,
        scribe: Scribe,
        sources: Mapping[str, Source | None],
        servers: Mapping[str, str],
        report: Report,
    ) -> None:
        self.key = key
        self.raw = raw
        self.path = path
        self.scope = scope
        self.scribe = scribe
        self.report = report
        self.sources = sources
        self.servers = servers
        self.resolver = Resolver(scope, scribe)
        self.own = Resolver(scope, scribe, own=True)
        self.machine = Machine(key=key)
        self.steps: list[StepUnit] = []

    def compile(
        self,
        first: int,
        overlay: Iterable[Edit],
        criteria: Mapping[str, Sequence[str]],
    ) -> int:
        """Compile the steps; return the index after the last."""
        index = first
        edits: dict[str, list[Edit]] = {}
        for edit in overlay:
            edits.setdefault(edit.step, []).append(edit)
        raw_steps = self.raw.get("steps")
        for number, raw in enumerate(raw_steps if isinstance(raw_steps, list) else ()):
            path = (*self.path, "steps", number)
            step_id = str(raw.get("stepId"))
            unit = StepUnit(step_id=step_id, path=path, raw=raw, step=Step(step_id=step_id))
            self.steps.append(unit)
            draft = self._draft(raw, path, index)
            if draft is not None:
                unit.index = index
                index += 1
                unit.draft = self.edited(draft, edits.get(step_id, []), step_id)
                self._render(unit)
            unit.step.criteria = tuple(self._criteria(raw, path, criteria.get(step_id, ())))
        for name in (*edits, *criteria):
            if name not in {unit.step_id for unit in self.steps}:
                remedy = did_you_mean(name, (unit.step_id for unit in self.steps))
                self.report.add(Problem(message=f'there is no step "{name}"', remedy=remedy))
        for unit in self.steps:
            self._actions(unit)
        self._outputs()
        self.machine.steps = tuple(unit.step for unit in self.steps)
        self.machine.blank = [MISSING] * self.scope.frame_size
        return index

    def edited(self, draft: Draft, edits: Iterable[Edit], step_id: str) -> Draft:
        """Return a request with edits applied; what is wrong with them is reported."""
        self.scope.noted.clear()
        for edit in edits:
            value = self.own.value(edit.value, self.path)
            try:
                draft = draft.edited([(edit, value)])
            except RequestError as error:
                self.report.add(Problem(message=str(error), key=f"overlay of {step_id}"))
        draft.noted |= self.scope.noted
        return draft

    def _render(self, unit: StepUnit) -> None:
        if unit.draft is None:
            return
        try:
            template = compile_request(unit.draft)
        except RequestError as error:
            self.scribe.error(unit.path, str(error), "", STEP)
            return
        unit.step.render = template.render
        unit.uses = template.uses

    def _draft(self, raw: Mapping[str, Any], path: Path, index: int) -> Draft | None:
        found = find_operation(raw, path, self.sources, self.servers, self.scribe)
        if found is None:
            return None
        operation, origin, base = found
        draft = Draft(index=index, operation=operation, origin=origin, base=base)
        self.scope.noted.clear()
        merged: dict[tuple[str, str], tuple[Any, Path]] = {}
        for holder, place in ((self.raw, self.path), (raw, path)):
            listed = holder.get("parameters")
            for number, parameter in enumerate(listed if isinstance(listed, list) else ()):
                key = (str(parameter.get("in")), str(parameter.get("name")))
                merged[key] = (parameter.get("value"), (*place, "parameters", number, "value"))
        for key, (value, place) in merged.items():
            resolved = self.resolver.value(value, place)
            if resolved is not MISSING:
                draft.values[key] = resolved
        body = raw.get("requestBody")
        if isinstance(body, Mapping):
            draft.content_type = str(body.get("contentType", ""))
            draft.body = self.resolver.value(
                body.get("payload", MISSING), (*path, "requestBody", "payload")
            )
        draft.noted = frozenset(self.scope.noted)
        return draft

    def _criteria(
        self, raw: Mapping[str, Any], path: Path, extra: Sequence[str]
    ) -> Iterator[Criterion]:
        yield from self._compiled(raw.get("successCriteria"), (*path, "successCriteria"))
        for condition in extra:
            try:
                yield simple(condition, self.own)
            except ExpressionError as error:
                self.report.add(
                    Problem(message=error.message, key="verify.acknowledged", remedy=error.remedy)
                )

    def _compiled(self, raw: Any, path: Path) -> Iterator[Criterion]:
        for number, entry in enumerate(raw if isinstance(raw, list) else ()):
            criterion = compile_criterion(entry, (*path, number), self.resolver)
            if criterion is not None:
                yield criterion

    def _actions(self, unit: StepUnit) -> None:
        unit.step.on_success = tuple(self._action_list(unit, "onSuccess"))
        unit.step.on_failure = tuple(self._action_list(unit, "onFailure"))

    def _action_list(self, unit: StepUnit, name: str) -> Iterator[Action]:
        raw = unit.raw.get(name)
        path = (*unit.path, name)
        positions = {other.step_id: place for place, other in enumerate(self.steps)}
        for number, entry in enumerate(raw if isinstance(raw, list) else ()):
            target = entry.get("stepId")
            if target is not None and target not in positions:
                remedy = did_you_mean(str(target), positions)
                message = f'there is no step "{target}"'
                self.scribe.error(
                    (*path, number, "stepId"), message, remedy, "Success Action Object"
                )
                continue
            yield Action(
                kind=entry.get("type"),
                criteria=tuple(self._compiled(entry.get("criteria"), (*path, number, "criteria"))),
                step=positions.get(target),
                retry_after_s=float(entry.get("retryAfter", 0)),
                retry_limit=int(entry.get("retryLimit", 1)),
            )

    def _outputs(self) -> None:
        """Compile the step outputs that somebody reads; reading one may ask for another."""
        done: set[tuple[str, str]] = set()
        while missing := [wanted for wanted in self.scope.wanted if wanted not in done]:
            for step_id, name in missing:
                done.add((step_id, name))
                unit = next(unit for unit in self.steps if unit.step_id == step_id)
                path = (*unit.path, "outputs", name)
                value = self.resolver.value(unit.raw["outputs"][name], path)
                slot = self.scope.wanted[step_id, name]
                dynamic = as_dynamic(value)
                evaluate = (lambda _, fixed=value: fixed) if dynamic is None else dynamic.evaluate
                unit.uses |= uses_of(value)
                unit.step.outputs = (*unit.step.outputs, (slot, evaluate))
