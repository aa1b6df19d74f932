"""Who a run is: its id, its copies, what its target supplies, and the days it is asked about."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from loadcheck.load.pacer import planned_copies
from loadcheck.scenario.model import OpenLoad, Scenario
from loadcheck.workflow.identity import Run

_ID_ALPHABET = string.ascii_lowercase + string.digits
_ID_LENGTH = 12


def new_id() -> str:
    """Return the id of a new run: 12 characters that no other run has."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def new_run(scenario: Scenario, now: datetime, target: Mapping[str, str], *, seed: int) -> Run:
    """Return the identity of a new run.

    The query window goes from the day before to the day after everything that may happen, since
    the project's time zone, which is not ours to know, decides the day.

    Args:
        scenario: What to do.
        now: The present.
        target: What the target supplies.
        seed: Seed of the arrivals, which decide how many copies there are.
    """
    end = now + timedelta(seconds=_loading_s(scenario))
    return Run(
        id=new_id(),
        start_day=f"{now.astimezone(UTC) - timedelta(days=1):%Y%m%d}",
        end_day=end_day(scenario, end),
        target=target,
        copies=planned_copies(scenario.load, seed),
    )


def end_day(scenario: Scenario, loaded: datetime) -> str:
    """Return the last day of the query window of a run whose load ends at some instant."""
    after_s = scenario.timeouts.drain_s + scenario.verify.deadline_s
    return f"{loaded.astimezone(UTC) + timedelta(days=1, seconds=after_s):%Y%m%d}"


def _loading_s(scenario: Scenario) -> float:
    """Return how long the load lasts as far as is known: a number of copies takes what it takes."""
    load = scenario.load
    if isinstance(load, OpenLoad):
        return sum(stage.duration_s for stage in load.stages)
    return load.duration_s or 0.0
