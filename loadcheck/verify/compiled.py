"""The hand-off: a scenario that has been compiled and found good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loadcheck.load.pacer import OpenPacer
from loadcheck.verify import thresholds
from loadcheck.verify.queries import ControlRuns, ObserverQueries
from loadcheck.workflow.runtime.plan import Plan, StepPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledScenario:
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
    questions: ObserverQueries | None
    controls: ControlRuns | None
    thresholds: tuple[thresholds.Threshold, ...]
    pacer: OpenPacer | None
    planned: int | None
    isolation: Literal["filter", "baseline"]
