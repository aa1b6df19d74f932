"""Which steps each copy runs, and what a step depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadcheck.workflow.units import StepUnit, Unit

COPY: Final = "$copy."


def close(units: Iterable[Unit]) -> dict[str, frozenset[str]]:
    """Return what each step depends on, through inputs and outputs of others.

    Returns:
        ``step:KEY/STEP``, ``input:KEY/NAME`` and ``workflow:KEY`` → every word that it depends on.
    """
    words: dict[str, frozenset[str]] = {}
    for unit in units:
        for step in unit.steps:
            words[symbol(unit, step)] = step.uses
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


def symbol(unit: Unit, step: StepUnit) -> str:
    """Return the word that stands for a step in what others depend on."""
    return f"step:{unit.key}/{step.step.step_id}"


def end_of_copy(main: Unit, words: Mapping[str, frozenset[str]]) -> int | None:
    """Return the index behind the last step of a workflow that depends on the copy.

    None if no step does.
    """
    per_copy = [
        place
        for place, step in enumerate(main.steps)
        if any(word.startswith(COPY) for word in _reached_words(main, step, words))
    ]
    return per_copy[-1] + 1 if per_copy else None


def reached(steps: Iterable[StepUnit], main: Unit) -> set[int]:
    """Return the plan indexes of steps, and of all that they call or go to."""
    indexes: set[int] = set()
    for step in steps:
        indexes.add(step.index)
        for unit in _called(main, step):
            indexes.update(inner.index for inner in unit.steps)
    return indexes - {-1}


def _reached_words(
    unit: Unit, step: StepUnit, words: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    return words[symbol(unit, step)].union(
        *(words[symbol(inner, other)] for inner in _called(unit, step) for other in inner.steps)
    )


def _called(unit: Unit, step: StepUnit) -> list[Unit]:
    """Return the workflows that a step calls or its actions go to, and theirs in turn."""
    found: dict[str, Unit] = {}
    waiting = _targets(unit, step)
    while waiting:
        target = waiting.pop()
        if target.key not in found:
            found[target.key] = target
            for inner in target.steps:
                waiting += _targets(target, inner)
    return list(found.values())


def _targets(unit: Unit, step: StepUnit) -> list[Unit]:
    targets = [] if step.target is None else [step.target]
    for holder in () if step.model is None else (step.model, unit.model):
        for action in (*holder.on_success, *holder.on_failure):
            if action.workflow_id is not None and action.workflow_id in unit.targets:
                targets += [unit.targets[action.workflow_id]]
    return targets
