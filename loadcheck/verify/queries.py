"""The queries of a run, compiled from the observer step, and what they cost."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from loadcheck.errors import ScenarioError, WorkflowError
from loadcheck.scenario.model import Count, Edit, Scenario
from loadcheck.verify import overlay as marks
from loadcheck.workflow.compile.compiler import Settings, compile_plan
from loadcheck.workflow.identity import SEQUENCE, Run
from loadcheck.workflow.runtime.plan import Plan, Query, StepPlan


class ObserverQueries:
    """What the observer step of one plan can be asked.

    Args:
        scenario: What to do.
        plan: The compiled workflow.
        observer: The step.
        run: The run that is asked about.

    Raises:
        ScenarioError: A query cannot be compiled; holds every problem of the first such.

    Attributes:
        uniques: The query for users.
        totals: The query for events; None if the service has no such count.
        fresh: Both again, past the service's cache, where the scenario respects it otherwise; None
            if they would be the same.
        cost: What each of them costs.
        split_cost: What one costs that is grouped.
    """

    def __init__(self, scenario: Scenario, plan: Plan, observer: StepPlan, run: Run) -> None:
        self._scenario = scenario
        self._plan = plan
        self._observer = observer
        verify = scenario.verify
        assert verify.uniques is not None
        self.uniques = self._count("uniques", verify.uniques)
        self.totals = None if verify.totals is None else self._count("totals", verify.totals)
        self.fresh: tuple[Query, Query | None] | None = None
        if verify.cache == "respect" and verify.bypass:
            self.fresh = (
                self._count("uniques", verify.uniques, verify.bypass),
                None
                if verify.totals is None
                else self._count("totals", verify.totals, verify.bypass),
            )
        budget = verify.budget
        days = _days(run) if budget is not None and budget.per_day else 1
        self.cost = days * (budget.plain if budget else 1)
        self.split_cost = days * (budget.split if budget else 1)
        self.split = functools.lru_cache(maxsize=None)(self._split)
        if scenario.localizes:
            self.split(SEQUENCE, "uniques")

    def _split(self, name: str, metric: Literal["uniques", "totals"]) -> Query:
        """Return the query grouped by a partition."""
        verify = self._scenario.verify
        assert verify.split is not None
        count = verify.uniques if metric == "uniques" else verify.totals
        assert count is not None
        values = {"labels": verify.split.labels, "values": verify.split.values}
        edits = (*count.overlay, *marks.split_edits(self._scenario, name))
        return self._compile("split", edits, values)

    def _count(self, name: str, count: Count, more: tuple[Edit, ...] = ()) -> Query:
        return self._compile(name, (*count.overlay, *more), {name: count.value})

    def _compile(self, key: str, edits: tuple[Edit, ...], values: Mapping[str, str]) -> Query:
        verify = self._scenario.verify
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
                else self._scenario.problem(f"verify.{key}", problem.message, problem.remedy)
                for problem in error.problems
            ) from error


class ControlRuns:
    """The same workflow as runs with other ids, compiled when somebody asks for it.

    Args:
        scenario: What to do.
        settings: What the run's own plan was compiled from.
        observer: The observer step.
    """

    def __init__(self, scenario: Scenario, settings: Settings, observer: StepPlan) -> None:
        self._scenario = scenario
        self._settings = settings
        self._observer = observer

        self.questions = functools.lru_cache(maxsize=None)(self._questions)

    def of(self, run: Run) -> tuple[ObserverQueries, ControlRuns]:
        """Return what can be asked about another run, and where its control users come from.

        Raises:
            InputError: A file that the scenario names is gone.
        """
        settings = dataclasses.replace(self._settings, run=run)
        queries = ObserverQueries(self._scenario, compile_plan(settings), self._observer, run)
        return queries, ControlRuns(self._scenario, settings, self._observer)

    def _questions(self, suffix: str, *, paired: bool = False) -> tuple[Plan, ObserverQueries]:
        """Return the plan of the run whose id ends so, and what can be asked about it.

        Args:
            suffix: What its id has besides.
            paired: Its users are those of the run itself.
        """
        run = self._settings.run
        sister = dataclasses.replace(
            run, id=f"{run.id}{suffix}", copies=None, users=run.id if paired else None
        )
        plan = compile_plan(dataclasses.replace(self._settings, run=sister))
        return plan, ObserverQueries(self._scenario, plan, self._observer, sister)


def _days(run: Run) -> int:
    """Return how many days the run's queries span."""
    first, last = (
        datetime.strptime(day + "+0000", "%Y%m%d%z") for day in (run.start_day, run.end_day)
    )
    return (last - first).days + 1
