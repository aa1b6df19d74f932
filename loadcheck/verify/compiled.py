"""The hand-off: a scenario that has been compiled and found good."""

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
        wanted: What the scenario says of it.
        plan: What it was compiled to.
        transport: How its requests travel.
        used: Its outputs that the scenario refers to.
        renewal: What renews its outputs; None: it does so itself, if anything does.
    """

    wanted: Once
    plan: Plan
    transport: TransportSettings
    used: tuple[str, ...] = ()
    renewal: SharedPlan | None = None


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
        observer: The step that returns what was counted; None when verification is off.
        load: What to send, and when.
        verification: Whom to ask what was counted; None when verification is off.
        asking: How queries travel.
        thresholds: The limits.
        pacer: The schedule of an open load; None for a closed one.
        setup: What is run once before the load; None: nothing.
        teardown: What is run once behind it; None: nothing.
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
        """Every step that sends a request, those that are run once among them."""
        return sum((part.plan.steps for part in self.once), self.plan.steps)

    @property
    def planned(self) -> int | None:
        """Copies in all, if that is known beforehand."""
        return self.run.copies

    @property
    def isolation(self) -> Literal["filter", "baseline"]:
        """How this run's users are distinguished from others'."""
        return "filter" if self.verification and self.verification.filtered else "baseline"

    @property
    def secrets(self) -> frozenset[str]:
        """What must be shown nowhere: the scenario's, the target's, and what the set-up gave."""
        supplied = frozenset(self.run.target.values())
        return (self.scenario.secrets | supplied | self.run.shared.hidden) - {""}
