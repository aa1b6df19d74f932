"""Analyse which steps each copy runs, what steps depend on, and which workflows can never end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from loadcheck.workflow.compile.workflow import SUCCESS, StepDraft, WorkflowCompiler
from loadcheck.workflow.copydata import PER_COPY
from loadcheck.workflow.description.loader import ArazzoDescription
from loadcheck.workflow.runtime import CompiledAction


def transitive_dependencies(units: Iterable[WorkflowCompiler]) -> dict[str, frozenset[str]]:
    """Return what steps, inputs and workflows depend on, directly and through others.

    Returns:
        ``step:KEY/STEP``, ``input:KEY/NAME`` and ``workflow:KEY`` → everything it depends on: words
        of the same kinds, and expressions of our own.
    """
    words: dict[str, frozenset[str]] = {}
    for unit in units:
        for step in unit.steps:
            words[dependency_key(unit, step)] = step.uses
        for name in unit.schema.declared:
            words[f"input:{unit.key}/{name}"] = unit.input_uses.get(name, frozenset())
        words[f"workflow:{unit.key}"] = unit.result_uses
    changed = True
    while changed:
        changed = False
        for name, known in words.items():
            more = known.union(*(words.get(word, frozenset()) for word in known))
            if more != known:
                words[name] = more
                changed = True
    return words


def dependency_key(unit: WorkflowCompiler, step: StepDraft) -> str:
    """Return the word for a step in :func:`transitive_dependencies`."""
    return f"step:{unit.key}/{step.step.step_id}"


def end_of_copy(main: WorkflowCompiler, words: Mapping[str, frozenset[str]]) -> int | None:
    """Return the index after the last step that depends on the copy; None if no step does."""
    per_copy = [
        place
        for place, step in enumerate(main.steps)
        if any(word.startswith(PER_COPY) for word in _reached_words(main, step, words))
    ]
    return per_copy[-1] + 1 if per_copy else None


def reached(steps: Iterable[StepDraft], main: WorkflowCompiler) -> set[int]:
    """Return the plan indexes of steps and of all steps in the workflows that these reach."""
    indexes: set[int] = set()
    for step in steps:
        indexes.add(step.index)
        for unit in _called(main, step):
            indexes.update(inner.index for inner in unit.steps)
    return indexes - {-1}


def _reached_words(
    unit: WorkflowCompiler, step: StepDraft, words: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    return words[dependency_key(unit, step)].union(
        *(
            words[dependency_key(inner, other)]
            for inner in _called(unit, step)
            for other in inner.steps
        )
    )


def _called(unit: WorkflowCompiler, step: StepDraft) -> list[WorkflowCompiler]:
    """Return the workflows that a step calls or its actions go to, transitively."""
    found: dict[str, WorkflowCompiler] = {}
    waiting = _targets(unit, step)
    while waiting:
        target = waiting.pop()
        if target.key not in found:
            found[target.key] = target
            for inner in target.steps:
                waiting += _targets(target, inner)
    return list(found.values())


def _targets(unit: WorkflowCompiler, step: StepDraft) -> list[WorkflowCompiler]:
    targets = [] if step.target is None else [step.target]
    for holder in () if step.model is None else (step.model, unit.model):
        for action in (*holder.on_success, *holder.on_failure):
            if action.workflow_id is not None and action.workflow_id in unit.targets:
                targets += [unit.targets[action.workflow_id]]
    return targets


WORKFLOW: Final = "Workflow Object"


def check_dependencies(arazzo: ArazzoDescription) -> bool:
    """Report cycles in ``dependsOn`` within a document; return whether there is one."""
    finished: set[str] = set()
    return sum(_follow(arazzo, start, finished) for start in arazzo.workflows) > 0


def _follow(arazzo: ArazzoDescription, name: str, finished: set[str]) -> bool:
    """Search depth first for a cycle, iteratively: a document may chain thousands of workflows."""
    waiting, chain = [(name, False)], list[str]()
    found = False
    while waiting:
        current, leaving = waiting.pop()
        if leaving:
            chain.pop()
            finished.add(current)
        elif current in chain:
            circle = " → ".join((*chain[chain.index(current) :], current))
            path = (*arazzo.workflows[current].path, "dependsOn")
            message = f"dependsOn goes round in a circle: {circle}"
            arazzo.reporter.error(path, message, "leave one of them out", WORKFLOW)
            found = True
        elif current not in finished and current in arazzo.workflows:
            chain.append(current)
            waiting.append((current, True))
            waiting += [(other, False) for other in arazzo.workflows[current].depends_on]
    return found


def check_exits(units: Iterable[WorkflowCompiler], *, circle: bool) -> None:
    """Report, for each workflow, the first step from which it can never end if all steps succeed.

    A path that is taken only after a failure does not count as an exit: with a healthy target no
    copy would take it.

    Args:
        units: All workflows.
        circle: Whether a cycle in ``dependsOn`` was reported, which is not reported again.
    """
    listed = list(units)
    ending: set[str] = set()
    endless: dict[str, list[StepDraft]] = {}
    while True:
        endless = {unit.key: list(_endless(unit, ending)) for unit in listed}
        more = {
            unit.key for unit in listed if not unit.steps or unit.steps[0] not in endless[unit.key]
        }
        if more == ending:
            break
        ending = more
    for unit in listed:
        for step in endless[unit.key][:1]:
            if step.model is None and circle:
                continue
            unit.arazzo.reporter.error(
                step.path,
                f'the workflow "{unit.model.workflow_id}" can never end from step '
                f'"{step.step.step_id}": goto and calls lead round in a circle',
                "give one of its actions criteria, or an action of type end",
                SUCCESS,
            )


def _endless(unit: WorkflowCompiler, ending: set[str]) -> Iterator[StepDraft]:
    """Yield the steps from which no path leads to the end; ``ending`` workflows can end."""
    count = len(unit.steps)
    machines = {target.machine.key: target.key for target in unit.targets.values()}
    exits = {count}
    changed = True
    while changed:
        changed = False
        for place in range(count - 1, -1, -1):
            if place not in exits and any(
                target in exits
                for target in _successors(unit.steps[place], place, count, ending, machines)
            ):
                exits.add(place)
                changed = True
    yield from (step for place, step in enumerate(unit.steps) if place not in exits)


def _successors(
    step: StepDraft, place: int, count: int, ending: set[str], machines: dict[str, str]
) -> Iterator[int]:
    if step.target is not None and step.target.key not in ending:
        return
    for action in step.step.on_success:
        yield from _goes_to(action, count, ending, machines)
        if not action.criteria:
            return
    yield place + 1


def _goes_to(
    action: CompiledAction, count: int, ending: set[str], machines: dict[str, str]
) -> Iterator[int]:
    if action.kind == "end":
        yield count
    elif action.step is not None:
        yield action.step
    elif action.workflow is not None and machines.get(action.workflow.key) in ending:
        yield count
