"""Everything that can be known, and refused, before the first byte is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from loadcheck.emulator import config as emulator_config
from loadcheck.errors import Problem, ScenarioError, WorkflowError, did_you_mean
from loadcheck.load.pacer import OpenPacer
from loadcheck.pipeline import marks
from loadcheck.pipeline.fetch import fetch
from loadcheck.pipeline.loading import asked_copies, pacer_of
from loadcheck.pipeline.newrun import secret_values
from loadcheck.pipeline.questions import Questions, Sisters
from loadcheck.scenario.model import OpenLoad, Scenario
from loadcheck.verify import thresholds
from loadcheck.verify.metrics import Vocabulary
from loadcheck.workflow.batches import Together
from loadcheck.workflow.compile import Settings, compile_plan
from loadcheck.workflow.identity import Run
from loadcheck.workflow.plan import Plan, Role, StepPlan

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A scenario that has been compiled and found good.

    Attributes:
        plan: What a copy does.
        ingest: The step whose outcome is the copy's.
        observer: The step that tells what was counted; None when verification is off.
        questions: What it can be asked; None when verification is off.
        controls: The same workflow as another run, whose users are the controls; None if the query
            cannot tell runs apart.
        thresholds: The limits.
        pacer: The schedule of an open load; None for a closed one.
        planned: Copies in all, if that is known beforehand.
        isolation: How this run's users are told from others'.
    """

    plan: Plan
    ingest: StepPlan
    observer: StepPlan | None
    questions: Questions | None
    controls: Sisters | None
    thresholds: tuple[thresholds.Threshold, ...]
    pacer: OpenPacer | None
    planned: int | None
    isolation: Literal["filter", "baseline"]


def prepare(scenario: Scenario, *, run: Run, servers: Mapping[str, str], seed: int = 0) -> Prepared:
    """Compile a scenario.

    Args:
        scenario: What to do.
        run: Identity of the run, and what its target supplies.
        servers: Base URLs that stand in for described servers; "*" for all.
        seed: Seed of the arrivals.

    Raises:
        InputError: With every problem found.
    """
    verify = scenario.verify
    problems = _emulator_problems(scenario)
    criteria = {}
    condition = marks.acknowledged(scenario)
    needing = [
        key
        for key, used in (
            ("verify.acknowledged", condition is not None),
            ("verify.split", scenario.localizes),
            ("load.events_per_copy", scenario.load.events_per_copy > 1),
            ("load.copies_per_request", scenario.load.copies_per_request > 1),
        )
        if used
    ]
    if verify.ingest is None:
        remedy = "name the step that it is about in verify.ingest"
        problems += [scenario.problem(key, "has no step", remedy) for key in needing]
    elif condition is not None:
        criteria[verify.ingest] = [condition]
    if scenario.load.events_per_copy > 1 and verify.repeat is None:
        remedy = "tell in [verify.repeat] how a copy sends further events"
        message = "the workflow's profile knows only one event a copy"
        problems.append(scenario.problem("load.events_per_copy", message, remedy))
    together = None
    if scenario.load.copies_per_request > 1:
        together = _together(scenario, problems)
    settings = Settings(
        document=scenario.workflow.document,
        name=scenario.workflow.name,
        workflow_id=scenario.workflow.id,
        sources=scenario.workflow.sources,
        servers={**scenario.target.servers, **servers},
        strict=scenario.workflow.strict,
        inputs={name: given.value for name, given in scenario.inputs.items()},
        overlay=marks.overlay(scenario, verify.ingest or ""),
        run=run,
        criteria=criteria,
        query=verify.query,
        secrets=secret_values(scenario, run),
        together=together,
        fetch=fetch,
    )
    plan = _compile(scenario, problems, settings)
    ingest = _choose(scenario, "ingest", verify.ingest, _ingests(plan.steps), problems)
    observer = questions = None
    if verify.enabled:
        observers = [step for step in plan.steps if _is_observer(scenario, step, ingest)]
        observer = _choose(scenario, "step", verify.step, observers, problems)
        if verify.uniques is None:
            problems.append(
                scenario.problem(
                    "verify.uniques",
                    "is missing: where in the observer step's answer is the count of users?",
                    'e.g. uniques = "$response.body#/data/count", or enabled = false',
                )
            )
        elif observer is not None:
            questions = Questions(scenario, plan, observer, run)
    problems += _misplaced_limits(scenario, plan)
    limits, unparsable = thresholds.parse_all(
        scenario.thresholds, _vocabulary(scenario, plan, observer)
    )
    problems += [
        scenario.problem(f"thresholds.{index}", problem.message, problem.remedy)
        for index, problem in unparsable.items()
    ]
    if problems or ingest is None:
        raise ScenarioError(problems)
    filtered = observer is not None and "$run.id" in observer.uses
    load = scenario.load
    sisters = None
    if filtered and observer is not None and questions is not None:
        sisters = Sisters(scenario, settings, observer)
    return Prepared(
        plan=plan,
        ingest=ingest,
        observer=observer,
        questions=questions,
        controls=sisters,
        thresholds=limits,
        pacer=pacer_of(load, seed) if isinstance(load, OpenLoad) else None,
        planned=asked_copies(load, seed),
        isolation="filter" if filtered else "baseline",
    )


def _together(scenario: Scenario, problems: list[Problem]) -> Together | None:
    """Return how copies share requests; None if what is wrong was reported."""
    batch, ingest = scenario.verify.batch, scenario.verify.ingest
    if batch is None:
        remedy = "tell in [verify.batch] where the events stand in a request"
        message = "the workflow's profile knows only one copy a request"
        problems.append(scenario.problem("load.copies_per_request", message, remedy))
    if batch is None or ingest is None:
        return None
    return Together(step=ingest, events=batch.events, refused=batch.refused)


def _vocabulary(scenario: Scenario, plan: Plan, observer: StepPlan | None) -> Vocabulary:
    """Return the names that thresholds may use."""
    load = scenario.load
    # what copies run as well is asked by ourselves under a name of its own
    ours = [f"{observer.step_id}@observer"] if observer and observer.role is Role.COPY else []
    undue = [step.step_id for step in plan.steps if step.role is not Role.COPY or step.dependent]
    return Vocabulary(
        steps=[*(step.step_id for step in plan.steps), *ours],
        undue=[*undue, *ours],
        stages=[stage.name for stage in load.stages] if isinstance(load, OpenLoad) else (),
    )


def _is_observer(scenario: Scenario, step: StepPlan, ingest: StepPlan | None) -> bool:
    """Tell whether one query of a step answers for all copies."""
    if scenario.verify.query == "after":
        return step.role is Role.OBSERVER
    return step is not ingest and not any(used.startswith("$copy.") for used in step.uses)


def _misplaced_limits(scenario: Scenario, plan: Plan) -> list[Problem]:
    """Return a problem for each limit of something that no copy runs."""
    names = [step.step_id for step in plan.steps if step.role is Role.COPY]
    return [
        scenario.problem(f"limits.{name}", "is no step that copies run", did_you_mean(name, names))
        for name in scenario.limits
        if name not in names
    ]


def _compile(scenario: Scenario, problems: list[Problem], settings: Settings) -> Plan:
    """Compile, and if that fails tell what was found before as well."""
    try:
        return compile_plan(settings)
    except WorkflowError as error:
        named = {edit.step: f"overlay.{index}.step" for index, edit in enumerate(scenario.overlay)}
        named |= {scenario.verify.ingest or "": "verify.ingest"}
        named["load.copies_per_request"] = "load.copies_per_request"
        placed = [
            problem
            if problem.file or problem.key not in named
            else scenario.problem(named[problem.key], problem.message, problem.remedy)
            for problem in error.problems
        ]
        raise ScenarioError([*problems, *placed]) from error


def _ingests(steps: Sequence[StepPlan]) -> list[StepPlan]:
    copies = [step for step in steps if step.role is Role.COPY]
    writing = [step for step in copies if step.method not in _SAFE_METHODS]
    return writing or copies


def _choose(
    scenario: Scenario,
    key: str,
    wanted: str | None,
    candidates: Sequence[StepPlan],
    problems: list[Problem],
) -> StepPlan | None:
    """Return the step that ``verify.<key>`` means: the named one, or the only one."""
    path = f"verify.{key}"
    names = [step.step_id for step in candidates]
    role = "per-copy step that sends data" if key == "ingest" else "observer step"
    if wanted is None and len(candidates) == 1:
        return candidates[0]
    if wanted is None:
        problem = (
            scenario.problem(path, f"the workflow has {len(names)} such steps", _one_of(names))
            if names
            else scenario.problem(path, f"the workflow has no {role}", "see loadcheck check")
        )
        problems.append(problem)
        return None
    for step in candidates:
        if step.step_id == wanted:
            return step
    remedy = did_you_mean(wanted, names) if names else f"the workflow has no {role}"
    problems.append(scenario.problem(path, f'"{wanted}" is no {role}', remedy))
    return None


def _one_of(names: Sequence[str]) -> str:
    return "say which: " + ", ".join(names)


def _emulator_problems(scenario: Scenario) -> list[Problem]:
    if scenario.target.kind != "emulator":
        return []
    try:
        emulator_config.parse(scenario.target.emulator)
    except emulator_config.ConfigError as error:
        return [
            scenario.problem(f"target.{problem.path}", problem.message, problem.remedy)
            for problem in error.problems
        ]
    return []
