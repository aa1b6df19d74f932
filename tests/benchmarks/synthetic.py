"""Runs that never were: a results document from made-up answers, by the code that real ones pass.

What comes in is noise as services have it: gamma-distributed times whose level wanders slowly
(autocorrelated from second to second), with a heavy tail and rare failures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.load.monitor import Monitor
from loadcheck.load.pacer import pacer_of
from loadcheck.measure.grid import Grid
from loadcheck.measure.record import Record
from loadcheck.result import document
from loadcheck.result import document as intervals
from loadcheck.result.schema import SCHEMA
from loadcheck.scenario.model import OpenLoad, Stage
from loadcheck.verify.figures import Rates, RunFigures
from loadcheck.workflow.exchange import Exchange, Request
from loadcheck.workflow.runtime.plan import Role
from tests.steps import ORIGIN, step

Instants = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_BEGIN_NS = 1_000_000_000_000
_STEPS = tuple(
    step(name, index, role)
    for index, (name, role) in enumerate(
        (("uploadEvents", Role.COPY), ("segmentEvent", Role.OBSERVER))
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How a made-up service answers.

    Attributes:
        p50_ms: About the median of its service times.
        shape: Of their gamma distribution: the higher the narrower.
        wander: Standard deviation of the level's logarithm, from second to second.
        memory: Correlation of the level with that of the second before.
        run_to_run: Standard deviation of the logarithm of what a whole run is slower by.
        failing: Share of failed attempts.
    """

    p50_ms: float = 20.0
    shape: float = 6.0
    wander: float = 0.02
    memory: float = 0.6
    run_to_run: float = 0.0
    failing: float = 0.0

    def times_ns(
        self, dues_s: npt.NDArray[np.float64], random: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Return a service time for each copy, given when it was due."""
        seconds = int(dues_s[-1]) + 1 if dues_s.size else 0
        noise = random.standard_normal(seconds) * np.sqrt(1 - self.memory**2)
        level = np.empty(seconds)
        state = random.standard_normal()
        for second in range(seconds):
            state = self.memory * state + noise[second]
            level[second] = state
        times_ms = random.gamma(self.shape, self.p50_ms / (self.shape - 1 / 3), dues_s.size)
        slow = random.random(dues_s.size) < 0.01
        times_ms[slow] *= 1 + random.pareto(3, int(slow.sum()))
        run = random.standard_normal() * self.run_to_run
        factor = np.exp(self.wander * level[dues_s.astype(np.int64)] + run)
        return np.rint(times_ms * factor * 1e6).astype(np.int64)


def result(
    *,
    seconds: float = 30.0,
    copies: int = 30_000,
    service: Service | None = None,
    seed: int = 0,
    queries_per_s: float = 0.0,
) -> dict[str, Any]:
    """Return the complete results document of a made-up run.

    Args:
        seconds: Length of the load, in one stage.
        copies: Evenly spaced over it.
        service: How the service answers.
        seed: Of everything random.
        queries_per_s: How often the count was asked for.
    """
    service = service or Service()
    random = np.random.default_rng(seed)
    record = Record(_STEPS, 0, 1, (), Grid([seconds]))
    record.begin(_BEGIN_NS)
    dues_s = np.arange(copies, dtype=np.float64) * (seconds / copies)
    due = np.rint(dues_s * 1e9).astype(np.int64) + _BEGIN_NS
    sent = due + np.rint(random.gamma(2, 20e3, copies)).astype(np.int64)
    done = sent + service.times_ns(dues_s, random)
    failed = random.random(copies) < service.failing
    for second in range(int(np.ceil(seconds))):
        first, last = np.searchsorted(dues_s, (second, second + 1)).tolist()
        _enter(
            record, first, due[first:last], sent[first:last], done[first:last], failed[first:last]
        )
        record.close_second(second)
    record.end(_BEGIN_NS + round(seconds * 1e9))
    observations = _queries(record, seconds, queries_per_s, random)
    return _document(record, Monitor(), seconds, copies, observations, seed)


def _enter(
    record: Record, first: int, due: Instants, sent: Instants, done: Instants, failed: Flags
) -> None:
    """Enter the copies of a second, all at once."""
    numbers = np.arange(first, first + due.size)
    for number, due_ns in zip(numbers.tolist(), due.tolist(), strict=True):
        if due_ns >= record.grid.next_ns:
            record.grid.enter(number, due_ns)
    good = ~failed
    step = record.steps[0]
    if good.any():
        started = due + (sent - due) // 2
        step.times.add(due[good], started[good], sent[good], done[good])
    for due_ns, sent_ns, done_ns in zip(
        *(at[failed].tolist() for at in (due, sent, done)), strict=True
    ):
        assert step.failures is not None
        step.failures.record(due_ns)
        step.failed.record(done_ns - sent_ns)
    record.delays.add(due, sent)
    record.dispatch_lag.add((sent - due) // 2)
    step.attempts += due.size
    step.succeeded += int(good.sum())
    step.answers.update({200: int(good.sum()), 503: int(failed.sum())})
    record.ledger.started.update(numbers.tolist())
    record.ledger.acknowledged.update(numbers[good].tolist())
    record.ledger.indeterminate.update(numbers[failed].tolist())
    record.due += due.size
    record.started += due.size
    record.acknowledged += int(good.sum())
    record.indeterminate += int(failed.sum())


def _queries(
    record: Record, seconds: float, per_s: float, random: np.random.Generator
) -> list[dict[str, Any]]:
    observations = []
    for number in range(round(seconds * per_s)):
        asked_ns = _BEGIN_NS + round(number / per_s * 1e9)
        made = Exchange(Request(1, ORIGIN, b"", b""), sent_ns=asked_ns)
        made.done_ns = asked_ns + int(random.gamma(4, 2e6))
        made.status, made.success = 200, True
        record.record_query(made)
        asked_s = round((asked_ns - _BEGIN_NS) / 1e9, 4)
        observations.append(
            {
                "asked_s": asked_s,
                "answered_s": round((made.done_ns - _BEGIN_NS) / 1e9, 4),
                "as_of_s": asked_s,
                "uniques": number * 200,
                "totals": number * 200,
                "error": "",
                "acknowledged": number * 200,
            }
        )
    return observations


def _document(
    record: Record,
    monitor: Monitor,
    seconds: float,
    copies: int,
    observations: list[dict[str, Any]],
    seed: int,
) -> dict[str, Any]:
    rate = copies / seconds
    load = OpenLoad(stages=(Stage(name="load", duration_s=seconds, rate=rate, end_rate=rate),))
    rates = Rates(asked=rate, reached=record.started / seconds, duration_s=seconds)
    lag = {"p50_s": 0.4, "p95_s": 0.6, "p99_s": 0.7, "max_s": 0.8}
    return {
        "schema": SCHEMA,
        "verdict": "pass",
        "run": {
            "id": f"run{seed:09}",
            "phase": "complete",
            "seed": seed,
            "started_at": "2026-11-23T09:00:00.000Z",
            "ended_at": "2026-11-23T09:00:40.000Z",
            "interrupted": False,
            "error": None,
        },
        "scenario": {"name": "made up", "target": {"kind": "emulator"}},
        "workflow": {"name": "amplitude", "id": "w", "sha256": "0", "ingest": "uploadEvents"},
        "environment": document.environment(),
        "warnings": [],
        **document.progress_sections(record, copies),
        **document.load_sections(
            RunFigures(record=record, monitor=monitor, rates=rates, pacer=pacer_of(load, seed)),
            _STEPS,
        ),
        "stages": intervals.stages(load, seconds),
        "intervals": intervals.intervals(record),
        "consistency": {
            "uniques": record.acknowledged,
            "totals": record.acknowledged,
            "lower": record.acknowledged,
            "upper": record.acknowledged + record.indeterminate,
            "lost_at_least": 0,
            "lost_at_most": 0,
            "recovered_at_most": 0,
            "unexpected": 0,
            "duplicated": 0,
            "settled": True,
            "waited_s": 0.7,
            "baseline": 0,
            "isolation": "filter",
            "visibility": {
                **lag,
                "lower": {name: value - 0.3 for name, value in lag.items()},
                "resolution_s": 0.3,
                "never": 0,
                "samples": record.acknowledged,
            },
            "observations": observations,
        },
        "thresholds": [],
        "findings": [],
    }
