"""Compile queries: an observer step on its own, with edits, and values to read from its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from loadcheck.documents.reader import Diagnostics, DocumentReporter
from loadcheck.errors import Problem, WorkflowError, did_you_mean
from loadcheck.scenario.model import Edit
from loadcheck.workflow.compile.analysis import dependency_key
from loadcheck.workflow.compile.linker import Linker
from loadcheck.workflow.compile.request import RequestTemplate, compile_request
from loadcheck.workflow.compile.request_spec import RequestError
from loadcheck.workflow.compile.workflow import StepDraft, WorkflowCompiler
from loadcheck.workflow.copydata import PER_COPY
from loadcheck.workflow.expressions import Evaluate, as_dynamic
from loadcheck.workflow.expressions.builtins import tokens_of
from loadcheck.workflow.expressions.grammar import ExpressionError, parse_expression
from loadcheck.workflow.expressions.selectors import find_in_answer, is_jsonpath
from loadcheck.workflow.runtime import CompiledStep
from loadcheck.workflow.runtime.plan import CallFrame, Query

_COUNTS: Final = ("uniques", "totals")
"""Values without which a run proves nothing."""


class QueryCompiler:
    """Compiles queries of one program; see :meth:`Plan.query`.

    Args:
        program: The compiled workflows.
        main: The workflow of the plan.
        words: What each step depends on.
        secrets: Values to redact in problems.

    Attributes:
        warnings: Values that the description of an answer lacks; grows with each query.
    """

    def __init__(
        self,
        program: Linker,
        main: WorkflowCompiler,
        words: Mapping[str, frozenset[str]],
        secrets: frozenset[str],
    ) -> None:
        self._program = program
        self._main = main
        self._words = words
        self._secrets = secrets
        self.warnings: list[Problem] = []

    def __call__(self, step_id: str, edits: Sequence[Edit], values: Mapping[str, str]) -> Query:
        """Compile a query.

        Raises:
            WorkflowError: It cannot be compiled; holds every problem.
        """
        report = Diagnostics(secrets=self._secrets)
        chain = self._chain(step_id)
        unit, step = chain[-1]
        file = unit.arazzo.reporter.document.name
        used = self._words[dependency_key(unit, step)]
        per_copy = sorted(word for word in used if word.startswith(PER_COPY))
        if per_copy:
            message = f'the step "{step_id}" depends on the copy by {", ".join(per_copy)}'
            remedy = "an observer step is asked once for all copies"
            report.add(Problem(message=message, file=file, remedy=remedy))
        found = tuple(self._values(unit, step, values, report))
        template = self._template(unit, step, edits, report)
        if template is None or report.errors:
            raise WorkflowError(report.problems)
        self._program.fill()
        inlined = self._main.scope.inputs is not None
        return Query(
            step_id=step_id,
            levels=tuple(self._levels(chain, template.uses)),
            step=step.step,
            render=template.render,
            values=found,
            inputs=None if inlined else self._program.entry(self._main, self._main.path_of_inputs),
        )

    def _template(
        self, unit: WorkflowCompiler, step: StepDraft, edits: Sequence[Edit], report: Diagnostics
    ) -> RequestTemplate | None:
        """Compile the step's request with edits; None if a problem was reported."""
        if step.draft is None:
            return None
        reporter = unit.arazzo.reporter
        unit.arazzo.reporter = DocumentReporter(report, reporter.document)
        try:
            return compile_request(unit.edited(step.draft, edits, step.name))
        except RequestError as error:
            message = f'step "{step.name}": {error}'
            remedy = "see the places that [verify] gives for this step"
            report.add(Problem(message=message, file=reporter.document.name, remedy=remedy))
            return None
        finally:
            unit.arazzo.reporter = reporter

    def _chain(self, step_id: str) -> list[tuple[WorkflowCompiler, StepDraft]]:
        """Return the steps that lead by calls from the plan's workflow to a step, and the step.

        Raises:
            WorkflowError: There is no such step that sends a request.
        """
        waiting: list[list[tuple[WorkflowCompiler, StepDraft]]] = [
            [(self._main, step)] for step in self._main.steps
        ]
        seen = {self._main.key}
        while waiting:
            chain = waiting.pop(0)
            step = chain[-1][1]
            if step.name == step_id and step.draft is not None:
                return chain
            if step.target is not None and step.target.key not in seen:
                seen.add(step.target.key)
                waiting += [[*chain, (step.target, inner)] for inner in step.target.steps]
        names = [step.name for step in self._program.steps]
        message = f'there is no step "{step_id}" that sends a request'
        file = self._main.arazzo.reporter.document.name
        raise WorkflowError(
            Problem(message=message, file=file, remedy=did_you_mean(step_id, names))
        )

    def _values(
        self,
        unit: WorkflowCompiler,
        step: StepDraft,
        values: Mapping[str, str],
        report: Diagnostics,
    ) -> list[tuple[str, Evaluate]]:
        scope = unit.scope
        scope.here, scope.answered = step.step.step_id, True
        found: list[tuple[str, Evaluate]] = []
        for name, text in values.items():
            self._check_described(unit, step, name, text)
            try:
                found.append((name, _value(unit, text)))
            except ExpressionError as error:
                report.add(
                    Problem(message=error.message, key=f"value of {name}", remedy=error.remedy)
                )
        return found

    def _check_described(
        self, unit: WorkflowCompiler, step: StepDraft, name: str, text: str
    ) -> None:
        """Warn of a count that the description of the answer lacks."""
        try:
            expression = parse_expression(text)
        except ExpressionError:
            return
        tokens = tokens_of(expression)
        if step.draft is None or expression.names != ("body",) or not tokens:
            return
        if name not in _COUNTS:  # what services add to an answer is often left undescribed
            return
        instead = step.draft.operation.lacks(tokens)
        if instead is not None:
            message = f'{name} is "{text}", and the description has no such part of the answer'
            remedy = f"there are {', '.join(instead)}" if instead else "nothing is described there"
            problem = Problem(
                message=message,
                file=unit.arazzo.reporter.document.name,
                remedy=remedy,
                severity="warning",
            )
            if problem not in self.warnings:
                self.warnings.append(problem)

    def _levels(
        self, chain: list[tuple[WorkflowCompiler, StepDraft]], extra: frozenset[str]
    ) -> list[CallFrame]:
        levels = []
        for place, (unit, step) in enumerate(chain):
            last = place == len(chain) - 1
            before = self._before(unit, step, step.uses | extra if last else step.uses)
            levels.append(
                CallFrame(machine=unit.machine, before=before, call=None if last else step.step)
            )
        return levels

    def _before(
        self, unit: WorkflowCompiler, step: StepDraft, uses: frozenset[str]
    ) -> tuple[CompiledStep, ...]:
        """Return the steps of a workflow whose outputs a step needs, in order."""
        needed = set(uses)
        size = -1
        while size != len(needed):
            size = len(needed)
            for other in unit.steps:
                if dependency_key(unit, other) in needed:
                    needed |= other.uses
        return tuple(
            other.step
            for other in unit.steps
            if other is not step
            and (
                dependency_key(unit, other) in needed
                or (other.target is not None and f"workflow:{other.target.key}" in needed)
            )
        )


def _value(unit: WorkflowCompiler, text: str) -> Evaluate:
    """Return a function that reads a value from an answer by runtime expression or JSONPath."""
    if is_jsonpath(text):
        return find_in_answer(text)
    value = unit.scope.resolve(parse_expression(text))
    dynamic = as_dynamic(value)
    return (lambda _: value) if dynamic is None else dynamic.evaluate
