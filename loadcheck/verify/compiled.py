"""The hand-off: a scenario that has been compiled once, and what each room gets of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from loadcheck.load.pacer import OpenPacer
from loadcheck.load.spec import LoadSpec
from loadcheck.load.transport.settings import TransportSettings
from loadcheck.scenario.model import Retry, Scenario, Verify
from loadcheck.verify import thresholds
from loadcheck.verify.queries import ControlRuns, ObserverQueries
from loadcheck.workflow.identity import Run
from loadcheck.workflow.runtime.plan import Plan, StepPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationSpec:
    """What the service is asked, and how its answers are read.

    Attributes:
        verify: The scenario's ``[verify]``.
        localizes: Whether events carry buckets, by which the missing get their names.
        run: Whose users are counted.
        plan: What a copy does.
        ingest: The step whose outcome is the copy's.
        observer: The step that tells what was counted.
        queries: What it can be asked.
        runs: The same workflow as other runs, whose users are the controls.
        isolation: How this run's users are told from others'.
        load_s: How long the load lasts; None if that is not known.
        retry: What follows a failed attempt to send a control user.
        seed: Of the waits before it.
    """

    verify: Verify
    localizes: bool
    run: Run
    plan: Plan
    ingest: StepPlan
    observer: StepPlan
    queries: ObserverQueries
    runs: ControlRuns
    isolation: Literal["filter", "baseline"]
    load_s: float | None
    retry: Retry
    seed: int

    @property
    def controls(self) -> ControlRuns | None:
        """Where control users come from; None if the query cannot tell runs apart."""
        return self.runs if self.isolation == "filter" else None

    def until(self, end_day: str) -> VerificationSpec:
        """Return the same with a query window that ends on another day, YYYYMMDD.

        Raises:
            InputError: A file that the scenario names is gone.
        """
        run = dataclasses.replace(self.run, end_day=end_day)
        queries, runs = self.runs.of(run)
        return dataclasses.replace(self, run=run, queries=queries, runs=runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledScenario:
    """A scenario that has been compiled and found good, as one run.

    Attributes:
        scenario: What was compiled.
        run: The run's identity, and what its target supplies.
        load: What is sent, and when.
        transport: How requests of copies go out.
        asking: How queries go out.
        verification: What is asked; None when verification is off.
        thresholds: The limits.
        isolation: How this run's users are told from others'.
    """

    scenario: Scenario
    run: Run
    load: LoadSpec
    transport: TransportSettings
    asking: TransportSettings
    verification: VerificationSpec | None
    thresholds: tuple[thresholds.Threshold, ...]
    isolation: Literal["filter", "baseline"]

    @property
    def plan(self) -> Plan:
        """What a copy does."""
        return self.load.plan

    @property
    def ingest(self) -> StepPlan:
        """The step whose outcome is the copy's."""
        return self.load.plan.steps[self.load.ingest]

    @property
    def observer(self) -> StepPlan | None:
        """The step that tells what was counted; None when verification is off."""
        return None if self.verification is None else self.verification.observer

    @property
    def pacer(self) -> OpenPacer | None:
        """The schedule of an open load; None for a closed one."""
        return self.load.pacer

    @property
    def planned(self) -> int | None:
        """Copies in all, if that is known beforehand."""
        return self.run.copies

    @property
    def secrets(self) -> frozenset[str]:
        """What must be shown nowhere: the scenario's secrets, and what the target supplied."""
        return (self.scenario.secrets | frozenset(self.run.target.values())) - {""}
