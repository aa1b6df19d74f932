"""Success and failure actions of a step, its own and its workflow's (Arazzo 1.0.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadcheck.workflow import model
    from loadcheck.workflow.problems import Scribe

SUCCESS: Final = "Success Action Object"
FAILURE: Final = "Failure Action Object"


def effective(
    own: Sequence[model.Action], general: Sequence[model.Action]
) -> tuple[model.Action, ...]:
    """Return the actions of a step: its own, then those of its workflow of other names."""
    named = {action.name for action in own}
    return (*own, *(action for action in general if action.name not in named))


def warn_of_idle_goto(actions: Sequence[model.Action], behind: str, scribe: Scribe) -> None:
    """Warn of a goto that is meant as a gate and holds nothing back.

    Args:
        actions: The success actions of a step.
        behind: The step that follows it.
        scribe: Takes the warning.
    """
    for place, action in enumerate(actions):
        if action.type != "goto" or action.step_id != behind or not action.criteria:
            continue
        if all(later.criteria for later in actions[place + 1 :]):
            scribe.warn(
                action.path,
                f'the goto "{action.name}" names the step that follows anyway: '
                "its criteria hold nothing back",
                "to stop there, make them successCriteria of the step, "
                "or add an action of type end without criteria behind it",
                SUCCESS,
            )
