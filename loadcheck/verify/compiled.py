"""The hand-off: a scenario that has been compiled and found good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loadcheck.load.engine import LoadSpec
from loadcheck.load.pacer import OpenPacer
from loadcheck.load.transport.settings import TransportSettings
from loadcheck.scenario.model import Scenario
from loadcheck.verify.session import VerificationSpec
from loadcheck.verify.thresholds import ParsedThreshold
from loadcheck.workflow.identity import Run
from loadcheck.workflow.runtime.plan import Plan, StepPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledScenario:
    """A scenario that has been compiled and found good; made once, and never changed.

    Whoever does a part of the run is handed that part alone.

    Attributes:
        scenario: What to do.
        run: Who the run is.
        seed: Of everything random.
        plan: What a copy does.
        ingest: The step whose outcome is the copy's.
        observer: The step that tells what was counted; None when verification is off.
        load: What to send, and when.
        verification: Whom to ask what was counted; None when verification is off.
        asking: How queries travel.
        thresholds: The limits.
        pacer: The schedule of an open load; None for a closed one.
    """

    scenario: Scenario
    run: Run
    seed: int
    plan: Plan
    ingest: StepPlan
    observer: StepPlan | None
    load: LoadSpec
    verification: VerificationSpec | None
    asking: TransportSettings
    thresholds: tuple[ParsedThreshold, ...]
    pacer: OpenPacer | None

    @property
    def planned(self) -> int | None:
        """Copies in all, if that is known beforehand."""
        return self.run.copies

    @property
    def isolation(self) -> Literal["filter", "baseline"]:
        """How this run's users are told from others'."""
        return "filter" if self.verification and self.verification.filtered else "baseline"

    @property
    def secrets(self) -> frozenset[str]:
        """What must be shown nowhere: the scenario's secrets, and what the target supplied."""
        return (self.scenario.secrets | frozenset(self.run.target.values())) - {""}
