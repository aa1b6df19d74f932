"""The queries of a run, compiled from the observer step, and what they cost."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from loadcheck.errors import Problem, ScenarioError, WorkflowError
from loadcheck.scenario.model import Count, Edit, Verify
from loadcheck.verify import overlay as marks
from loadcheck.workflow.compile.compiler import Settings, compile_plan
from loadcheck.workflow.identity import SEQUENCE, Run
from loadcheck.workflow.runtime.plan import Plan, Query, StepPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class CountQueries:
    """The queries that count a run.

    Attributes:
        uniques: Counts its users.
        totals: Counts its events; None if the service has no such count.
        cost: What each of them costs.
    """

    uniques: Query
    totals: Query | None
    cost: int = 1


Locate = Callable[[str, str, str], Problem]


class ObserverQueries:
    """What the observer step of one plan can be asked.

    Args:
        verify: How the service is asked.
        plan: The compiled workflow.
        observer: The step.
        run: The run that is asked about.
        locate: Makes a problem with a key of the scenario, a message and a remedy.

    Raises:
        ScenarioError: A query cannot be compiled; holds every problem of the first such.

    Attributes:
        counts: The queries for users and events.
        fresh: The same, past the service's cache, where the scenario respects it otherwise; None if
            they would be the same.
        split_cost: What one costs that is grouped.
    """

    def __init__(
        self, verify: Verify, plan: Plan, observer: StepPlan, run: Run, locate: Locate
    ) -> None:
        self._verify = verify
        self._plan = plan
        self._observer = observer
        self._locate = locate
        assert verify.uniques is not None
        budget = verify.budget
        days = _days(run) if budget is not None and budget.per_day else 1
        cost = days * (budget.plain if budget else 1)
        self.counts = self._counts(verify.uniques, cost)
        self.fresh: CountQueries | None = None
        if verify.cache == "respect" and verify.bypass:
            self.fresh = self._counts(verify.uniques, cost, verify.bypass)
        self.split_cost = days * (budget.split if budget else 1)
        self.split = functools.lru_cache(maxsize=None)(self._split)
        if verify.localizes:
            self.split(SEQUENCE, "uniques")

    def _split(self, name: str, metric: Literal["uniques", "totals"]) -> Query:
        """Return the query grouped by a partition."""
        verify = self._verify
        assert verify.split is not None
        count = verify.uniques if metric == "uniques" else verify.totals
        assert count is not None
        values = {"labels": verify.split.labels, "values": verify.split.values}
        edits = (*count.overlay, *marks.split_edits(verify.split, name))
        return self._compile("split", edits, values)

    def _counts(self, uniques: Count, cost: int, more: tuple[Edit, ...] = ()) -> CountQueries:
        totals = self._verify.totals
        return CountQueries(
            uniques=self._count("uniques", uniques, more),
            totals=None if totals is None else self._count("totals", totals, more),
            cost=cost,
        )

    def _count(self, name: str, count: Count, more: tuple[Edit, ...] = ()) -> Query:
        return self._compile(name, (*count.overlay, *more), {name: count.value})

    def _compile(self, key: str, edits: tuple[Edit, ...], values: Mapping[str, str]) -> Query:
        verify = self._verify
        told = dataclasses.asdict(verify.evidence)
        # what is counted by bucket may accuse somebody: no cache may be its witness
        bypass = verify.bypass if verify.cache == "bypass" or key == "split" else ()
        try:
            return self._plan.query(
                self._observer.step_id,
                edits=(*edits, *bypass),
                values={**{name: text for name, text in told.items() if text}, **values},
            )
        except WorkflowError as error:
            raise ScenarioError(
                problem
                if problem.file
                else self._locate(f"verify.{key}", problem.message, problem.remedy)
                for problem in error.problems
            ) from error


class QueryFactory:
    """Compiles what a run can be asked, and what its sister runs can.

    Args:
        verify: How the service is asked.
        workflow: What the run's own plan is compiled from.
        observer: The observer step.
        locate: Makes a problem with a key of the scenario, a message and a remedy.
    """

    def __init__(
        self, verify: Verify, workflow: Settings, observer: StepPlan, locate: Locate
    ) -> None:
        self._verify = verify
        self._workflow = workflow
        self._observer = observer
        self._locate = locate
        self.sister = functools.lru_cache(maxsize=None)(self._sister)

    def queries(self, plan: Plan | None = None) -> ObserverQueries:
        """Return what the run can be asked.

        Args:
            plan: Its plan; None: it is compiled.

        Raises:
            ScenarioError: A query cannot be compiled.
            WorkflowError: A file that the workflow needs is gone.
        """
        return self._of(plan or compile_plan(self._workflow), self._workflow.run)

    def until(self, day: str) -> QueryFactory:
        """Return the same for a run whose queries reach to a later day."""
        run = dataclasses.replace(self._workflow.run, end_day=day)
        later = dataclasses.replace(self._workflow, run=run)
        return QueryFactory(self._verify, later, self._observer, self._locate)

    def _sister(self, suffix: str, *, paired: bool = False) -> tuple[Plan, ObserverQueries]:
        """Return the same workflow as a run whose id ends so, and what can be asked about it.

        Args:
            suffix: What its id has besides.
            paired: Its users are those of the run itself.
        """
        run = self._workflow.run
        sister = dataclasses.replace(
            run, id=f"{run.id}{suffix}", copies=None, users=run.id if paired else None
        )
        plan = compile_plan(dataclasses.replace(self._workflow, run=sister))
        return plan, self._of(plan, sister)

    def _of(self, plan: Plan, run: Run) -> ObserverQueries:
        return ObserverQueries(self._verify, plan, self._observer, run, self._locate)


def _days(run: Run) -> int:
    """Return how many days the run's queries span."""
    first, last = (
        datetime.strptime(day + "+0000", "%Y%m%d%z") for day in (run.start_day, run.end_day)
    )
    return (last - first).days + 1
