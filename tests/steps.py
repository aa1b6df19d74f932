"""Steps of a plan as measures see them: a name, a place and a role."""

from __future__ import annotations

from typing import Final

from loadcheck.workflow.exchange import Origin
from loadcheck.workflow.runtime.plan import Role, StepPlan

ORIGIN: Final = Origin("http", "127.0.0.1", 80)


def step(name: str, index: int = 0, role: Role = Role.COPY, *, dependent: bool = False) -> StepPlan:
    return StepPlan(
        step_id=name,
        index=index,
        role=role,
        method="POST",
        origin=ORIGIN,
        path="/",
        uses=frozenset(),
        dependent=dependent,
    )
