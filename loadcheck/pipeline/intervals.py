"""Puts what was measured by interval into the shape of the results file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loadcheck.scenario.model import ClosedLoad, OpenLoad

if TYPE_CHECKING:
    from loadcheck.load.record import Record, StepRecord


def stages(load: OpenLoad | ClosedLoad, duration_s: float) -> list[dict[str, Any]]:
    """Return where the stages of an open load that were begun lie; none of a closed load.

    Args:
        load: The load.
        duration_s: How long copies were started.
    """
    found: list[dict[str, Any]] = []
    begin_s = 0.0
    for stage in load.stages if isinstance(load, OpenLoad) else ():
        end_s = begin_s + stage.duration_s
        if found and begin_s >= duration_s:
            break
        found.append(
            {
                "name": stage.name,
                "from_s": begin_s,
                "to_s": end_s,
                "rate": stage.rate,
                "end_rate": stage.end_rate,
            }
        )
        begin_s = end_s
    return found


def intervals(record: Record) -> dict[str, Any]:
    """Return columns with a value for each interval of the load."""
    edges = record.grid.edges_s()
    number = max(len(edges) - 1, 0)
    steps = [*record.steps, *([record.queries] if record.queries is not None else [])]
    return {
        "from_s": edges[:-1],
        "to_s": edges[1:],
        **record.grid.counts(record.ledger, record.due),
        "lateness": record.delays.intervals().encode(number),
        "steps": {step.step_id: _interval_step(step, number) for step in steps},
    }


def _interval_step(step: StepRecord, number: int) -> dict[str, Any]:
    response = step.times.intervals("response_time")
    service = step.times.intervals("service_time")
    return {
        "succeeded": service.totals(number) if service is not None else [],
        "failed": step.failures.counts(number) if step.failures is not None else [],
        "response_time": response.encode(number) if response is not None else None,
        "service_time": service.encode(number) if service is not None else [],
    }
