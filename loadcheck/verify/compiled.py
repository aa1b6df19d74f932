"""The compiled and validated scenario that is handed to the parts of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loadcheck.load.engine import LoadSpec
from loadcheck.load.pacer import OpenPacer
from loadcheck.load.transport import TransportSettings
from loadcheck.scenario.model import Once, Scenario
from loadcheck.verify.session import VerificationSpec
from loadcheck.verify.thresholds import ParsedThreshold
from loadcheck.workflow.identity import Run
from loadcheck.workflow.runtime.plan import Plan, StepPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPlan:
    """A workflow that is run once for all copies.

    Attributes:
        wanted: Its table in the scenario.
        plan: The compiled workflow.
        transport: How its requests are sent.
        used: Its outputs that the scenario refers to.
        renewal: The workflow that renews its outputs; None: itself, if they are renewed at all.
    """

    wanted: Once
    plan: Plan
    transport: TransportSettings
    used: tuple[str, ...] = ()
    renewal: SharedPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledScenario:
    """A compiled and validated scenario; never changed once it is made.

    Each part of a run is handed only its own part of this.

    Attributes:
        scenario: The scenario as read.
        run: The identity of the run.
        seed: Random seed.
        plan: The workflow of a copy.
        ingest: The step whose outcome is the copy's.
        observer: The step that returns the counts; None when verification is off.
        load: What to send, and when.
        verification: How the counts are queried; None when verification is off.
        asking: How queries are sent.
        thresholds: The parsed thresholds.
        pacer: The schedule of an open load; None for a closed one.
        setup: The workflow run once before the load; None if there is none.
        teardown: The workflow run once after the load; None if there is none.
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
    setup: SharedPlan | None = None
    teardown: SharedPlan | None = None

    @property
    def once(self) -> list[SharedPlan]:
        """The workflows that are run for all copies: the set-up, its renewal, the tear-down."""
        renewal = None if self.setup is None else self.setup.renewal
        return [part for part in (self.setup, renewal, self.teardown) if part is not None]

    @property
    def steps(self) -> tuple[StepPlan, ...]:
        """All steps that send requests, including those of workflows that are run once."""
        return sum((part.plan.steps for part in self.once), self.plan.steps)

    @property
    def planned(self) -> int | None:
        """The total number of copies; None if it is not known beforehand."""
        return self.run.copies

    @property
    def isolation(self) -> Literal["filter", "baseline"]:
        """How this run's users are distinguished from others'."""
        return "filter" if self.verification and self.verification.filtered else "baseline"

    @property
    def secrets(self) -> frozenset[str]:
        """Values never to be shown: of the scenario, the target and the set-up's outputs."""
        supplied = frozenset(self.run.target.values())
        return (self.scenario.secrets | supplied | self.run.shared.hidden) - {""}
