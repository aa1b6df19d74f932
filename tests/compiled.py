"""Scenarios compiled as runs that are not to be carried out."""

from __future__ import annotations

from datetime import UTC, datetime

from loadcheck.pipeline.labels import new_run
from loadcheck.pipeline.prepare import compile_scenario
from loadcheck.pipeline.target import UNSTARTED, Address
from loadcheck.scenario.model import Scenario
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.workflow.identity import Run


def address_of(scenario: Scenario) -> Address:
    """Return where requests would go."""
    return UNSTARTED if scenario.target.kind == "emulator" else Address()


def compiled(scenario: Scenario, *, seed: int = 1, run: Run | None = None) -> CompiledScenario:
    """Compile a scenario as a run."""
    address = address_of(scenario)
    if run is None:
        run = new_run(scenario, datetime.now(UTC), address.supplied, seed=seed)
    return compile_scenario(scenario, run, address, seed=seed)
