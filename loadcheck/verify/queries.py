"""The queries of a run, compiled from the observer step, their cost, and the observer.

The overlay, which requests carry in addition to what the workflow says, is expanded here. The
observer queries what the service has counted, during the load and after it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import anyio

from loadcheck.errors import Problem, ScenarioError, WorkflowError
from loadcheck.scenario.model import CountExpression, Edit, GroupBy, Scenario, Verify
from loadcheck.verify.evidence import Observation, Standing, Terms, standing
from loadcheck.verify.query_client import QueryClient, QueryResult
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.identity import SEQUENCE, Run, partitions
from loadcheck.workflow.runtime.plan import Plan, Query, StepPlan

_PARTITION = "{$partition}"
_EVENT = "{$event}"
_EVENTS = "{$events}"
_COUNT = "{$count}"
_INPUT = "$inputs."


def overlay(scenario: Scenario, ingest: str) -> tuple[Edit, ...]:
    """Return the overlay with the buckets and the further events of each copy.

    Args:
        scenario: The scenario.
        ingest: The step whose events are marked.
    """
    split, repeat = scenario.verify.split, scenario.verify.repeat
    edits = list(scenario.overlay)
    if scenario.verify.localizes and split is not None:
        for name in partitions(scenario.verify.partitions):
            edits += [
                dataclasses.replace(
                    substitute_edit(edit, _PARTITION, name), step=edit.step or ingest
                )
                for edit in split.tag
                if not edit.at.startswith(_INPUT)
            ]
    if repeat is not None:
        beneath = [edit for edit in edits if edit.step == ingest and _is_in(edit.at, repeat.event)]
        for number in range(1, scenario.load.events_per_copy):
            at = repeat.at.replace(_EVENT, str(number))
            first = Edit(step=ingest, at=at, value=substitute(repeat.value, _EVENT, str(number)))
            moved = [
                dataclasses.replace(edit, at=at + edit.at.removeprefix(repeat.event))
                for edit in beneath
            ]
            own = [
                Edit(
                    step=ingest, at=at + edit.at, value=substitute(edit.value, _EVENT, str(number))
                )
                for edit in repeat.overlay
            ]
            edits += [first, *moved, *own]
    return tuple(edits)


def inputs(scenario: Scenario) -> dict[str, Any]:
    """Return the workflow's inputs, with the buckets added to those that carry them."""
    found = {name: given.value for name, given in scenario.inputs.items()}
    split = scenario.verify.split
    if split is None or not scenario.verify.localizes:
        return found
    for partition in partitions(scenario.verify.partitions):
        for edit in split.tag:
            if edit.at.startswith(_INPUT):
                name = edit.at.removeprefix(_INPUT)
                found[name] = (
                    f"{found.get(name, '')}{substitute(edit.value, _PARTITION, partition)}"
                )
    return found


def split_edits(split: GroupBy, name: str, select: str) -> tuple[Edit, ...]:
    """Return the edits that group the observer step's answer by a partition.

    Args:
        split: How events are counted by bucket.
        name: The partition.
        select: What is counted.
    """
    edits = (substitute_edit(edit, _COUNT, select) for edit in split.overlay)
    return tuple(substitute_edit(edit, _PARTITION, name) for edit in edits)


def location(edit: Edit, name: str) -> str:
    """Return where an edit puts the bucket of a partition."""
    return edit.at.replace(_PARTITION, name)


def acknowledged(scenario: Scenario) -> str | None:
    """Return the condition of an acknowledgement, with the number of events; None without one."""
    condition, load = scenario.verify.acknowledged, scenario.load
    # the fewer copies of a shared request were refused, the more events it holds
    number = str(load.events_per_copy) if load.copies_per_request == 1 else "$copy.events"
    return None if condition is None else condition.replace(_EVENTS, number)


def substitute_edit(edit: Edit, placeholder: str, word: str) -> Edit:
    """Return an edit with a placeholder replaced."""
    return dataclasses.replace(
        edit, at=edit.at.replace(placeholder, word), value=substitute(edit.value, placeholder, word)
    )


def substitute(value: Any, placeholder: str, word: str) -> Any:
    """Return a JSON value with a placeholder replaced in every string."""
    if isinstance(value, str):
        return value.replace(placeholder, word)
    if isinstance(value, dict):
        return {key: substitute(item, placeholder, word) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [substitute(item, placeholder, word) for item in value]
    return value


def _is_in(at: str, place: str) -> bool:
    return at == place or at.startswith(f"{place}/")


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
    """The queries that the observer step of one plan can answer.

    Args:
        verify: How the service is queried.
        plan: The compiled workflow.
        observer: The step.
        run: The run that is counted.
        locate: Makes a problem from a key of the scenario, a message and a remedy.

    Raises:
        ScenarioError: A query cannot be compiled; holds all problems of the first that fails.

    Attributes:
        counts: The queries for users and events.
        uncached: The same, bypassing the service's cache, where the scenario otherwise respects it;
            None if they would be the same.
        split_cost: The cost of a grouped query.
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
        self.uncached: CountQueries | None = None
        if verify.cache == "respect" and verify.bypass:
            self.uncached = self._counts(verify.uniques, cost, verify.bypass)
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
        select = metric if count.select is None else count.select
        numbers = verify.split.values.replace(_COUNT, select)
        values = {"labels": verify.split.labels, "values": numbers}
        edits = (*count.overlay, *split_edits(verify.split, name, select))
        return self._compile("split", edits, values)

    def _counts(
        self, uniques: CountExpression, cost: int, more: tuple[Edit, ...] = ()
    ) -> CountQueries:
        totals = self._verify.totals
        return CountQueries(
            uniques=self._count("uniques", uniques, more),
            totals=None if totals is None else self._count("totals", totals, more),
            cost=cost,
        )

    def _count(self, name: str, count: CountExpression, more: tuple[Edit, ...] = ()) -> Query:
        return self._compile(name, (*count.overlay, *more), {name: count.value})

    def _compile(self, key: str, edits: tuple[Edit, ...], values: Mapping[str, str]) -> Query:
        verify = self._verify
        evidence = dataclasses.asdict(verify.evidence)
        # counts by bucket may name users as lost: they must not come from a cache
        bypass = verify.bypass if verify.cache == "bypass" or key == "split" else ()
        try:
            return self._plan.query(
                self._observer.step_id,
                edits=(*edits, *bypass),
                values={**{name: text for name, text in evidence.items() if text}, **values},
            )
        except WorkflowError as error:
            raise ScenarioError(
                problem
                if problem.file
                else self._locate(f"verify.{key}", problem.message, problem.remedy)
                for problem in error.problems
            ) from error


class QueryFactory:
    """Compiles the queries of a run and of its sister runs.

    Args:
        verify: How the service is queried.
        workflow: What the run's own plan is compiled from.
        observer: The observer step.
        locate: Makes a problem from a key of the scenario, a message and a remedy.
    """

    def __init__(
        self, verify: Verify, workflow: CompileSettings, observer: StepPlan, locate: Locate
    ) -> None:
        self._verify = verify
        self._workflow = workflow
        self._observer = observer
        self._locate = locate
        self.sister = functools.lru_cache(maxsize=None)(self._sister)

    def queries(self, plan: Plan | None = None) -> ObserverQueries:
        """Return the queries of the run.

        Args:
            plan: Its plan; None to compile it.

        Raises:
            ScenarioError: A query cannot be compiled.
            WorkflowError: A file that the workflow needs is gone.
        """
        return self._of(plan or compile_plan(self._workflow), self._workflow.run)

    def until(self, day: str) -> QueryFactory:
        """Return a factory whose queries reach to a later day."""
        run = dataclasses.replace(self._workflow.run, end_day=day)
        later = dataclasses.replace(self._workflow, run=run)
        return QueryFactory(self._verify, later, self._observer, self._locate)

    def _sister(self, suffix: str, *, paired: bool = False) -> tuple[Plan, ObserverQueries]:
        """Return the plan and the queries of the same workflow under another run id.

        Args:
            suffix: What is appended to the run id.
            paired: Whether its users are those of the run itself.
        """
        run = self._workflow.run
        sister = dataclasses.replace(
            run,
            id=f"{run.id}{suffix}",
            copies=None,
            users=run.id if paired else None,
            visits=None,  # each control is a user of its own
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


_MAX_BACKOFF_S = 30.0
TOTALS_EVERY = 5
"""During the load, one poll in this many counts events as well."""
TRIES = 3
"""The most tries of a query without whose answer others are worth little."""
_LAST_TRIES_S = 2.0
"""Seconds for which a last answer is sought, after the deadline, if the service gives none."""
_PAIRS = 5
"""The most answers after the deadline that may disagree on users and events."""


class Observer:
    """Sends one query at a time and keeps every answer.

    Args:
        queries: The compiled queries.
        asker: Sends them.
        every_s: Pause between two queries.
        seen: Called with each observation.
    """

    def __init__(
        self,
        queries: CountQueries,
        asker: QueryClient,
        *,
        every_s: float,
        seen: Callable[[Observation], None],
    ) -> None:
        self._queries = queries
        self._asker = asker
        self._every_s = every_s
        self._seen = seen
        self._refused = 0
        self._events_first = False
        self.observations: list[Observation] = []

    def ask_by(self, queries: CountQueries) -> None:
        """Use other queries from now on."""
        self._queries = queries

    async def ask(self, *, totals: bool = False) -> Observation:
        """Make one observation of the users and, with ``totals``, of the events as well.

        Which of the two is queried first alternates: if two replicas answer in turn, neither count
        always comes from the same one.
        """
        second: QueryResult | None = None
        if totals and self._queries.totals is not None:
            self._events_first = not self._events_first
            if self._events_first:
                second = await self._insist(self._queries.totals, "totals")
        reply = await self._insist(self._queries.uniques, "uniques", tries=TRIES if totals else 1)
        count, error = reply.count("uniques")
        if totals and self._queries.totals is not None and not self._events_first and not error:
            second = await self._insist(self._queries.totals, "totals")
        refused = reply.refused
        events, replies = None, [reply]
        if second is not None:
            events, why = second.count("totals")
            refused = refused or second.refused
            error = error or (f"no count of events: {why}" if why else "")
            if events is not None:
                replies.append(second)
        observation = Observation(
            asked_ns=min(each.asked_ns for each in replies),
            answered_ns=max(each.answered_ns for each in replies),
            as_of_ns=min(each.as_of_ns for each in replies),
            uniques=count,
            totals=events if count is not None else None,
            error=error,
        )
        self._refused = self._refused + 1 if refused else 0
        self.observations.append(observation)
        self._seen(observation)
        return observation

    async def _insist(self, query: Query, name: str, tries: int = TRIES) -> QueryResult:
        """Send a query, repeatedly if it gives no count: one of two is worth little alone."""
        reply = await self._asker.ask(query, self._queries.cost)
        for _ in range(tries - 1):
            if reply.refused or reply.count(name)[0] is not None:
                break
            reply = await self._asker.ask(query, self._queries.cost)
        return reply

    async def poll(self) -> None:
        """Query repeatedly; runs until cancelled."""
        number = 0
        while True:
            number += 1
            await self.ask(totals=number % TOTALS_EVERY == 0)
            await anyio.sleep(self._pause_s())

    async def settle(
        self,
        terms: Terms,
        *,
        until_ns: int | None = None,
        on_shortfall: Callable[[], Awaitable[object]] | None = None,
    ) -> Standing:
        """Query until no later answer is needed, or the deadline has passed.

        The count has settled when it is the upper bound, or has not moved for the quiet period.
        Missing users still get until the deadline: only time separates the late from the lost. So
        do answers that contradict each other.

        Args:
            terms: What the answers are judged against.
            until_ns: When to stop waiting; None: at the deadline.
            on_shortfall: Called once when users have been missing for a while, at the latest at the
                deadline.
        """
        clock = self._asker.clock
        end_ns = terms.deadline_ns if until_ns is None else until_ns
        begin_ns = min(clock(), terms.since_ns) if until_ns is None else clock()
        late_ns = begin_ns + min(terms.quiet_ns, (end_ns - begin_ns) // 3)
        pairs = 0
        while True:
            stands = standing(terms, self.observations)
            paired = self._queries.totals is not None and (stands.settled or clock() >= end_ns)
            seen = await self.ask(totals=paired)
            stands = standing(terms, self.observations)
            agreed = self._queries.totals is None or stands.totals is not None
            if stands.enough and agreed:
                return stands
            now = clock()
            if (
                on_shortfall is not None
                and (stands.final is None or stands.short)
                and now >= late_ns
            ):
                # also at the deadline, should an answer have taken until then
                await on_shortfall()
                on_shortfall, now = None, clock()
            if now >= end_ns:
                answered = seen.is_evidence and seen.as_of_ns >= end_ns
                pairs += answered
                if (
                    answered and (agreed or pairs >= _PAIRS)
                ) or now >= end_ns + _LAST_TRIES_S * 1e9:
                    return stands
            pause_s = self._pause_s()
            if now >= end_ns or (stands.settled and not stands.short):
                pause_s = min(pause_s, 1.0)
            left_s = (end_ns - now) / 1e9
            await anyio.sleep(min(pause_s, left_s) if left_s > 0 else pause_s)

    async def settle_totals(self, terms: Terms) -> Standing:
        """Query until two answers agree on users and events; a few times at the most.

        Events are counted by another query than users, so events that become visible in between
        would look like duplicates. An answer that is not evidence is not compared.
        """
        begin_ns, answered = self._asker.clock(), 0
        while True:
            seen = await self.ask(totals=True)
            stands = standing(terms, self.observations)
            answered += seen.is_evidence
            agreed = stands.totals is not None or (
                self._queries.totals is None and seen.is_evidence
            )
            waited_s = (self._asker.clock() - begin_ns) / 1e9
            if (agreed and answered > 1) or answered >= _PAIRS or waited_s >= _LAST_TRIES_S:
                return stands
            if agreed and self._queries.totals is None:
                return stands
            await anyio.sleep(min(self._pause_s(), 1.0))

    def _pause_s(self) -> float:
        """Return the pause before the next query: longer after each refusal in a row."""
        return min(self._every_s * 2.0**self._refused, max(self._every_s, _MAX_BACKOFF_S))
