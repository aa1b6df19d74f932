"""Looks up the figures that thresholds speak of."""

from __future__ import annotations

from dataclasses import dataclass

from pyroaring import BitMap

from loadcheck.load.monitor import Monitor
from loadcheck.load.pacer import OpenPacer
from loadcheck.measure import Histogram
from loadcheck.measure.record import Record, StageRecord, StageSpan, StepRecord
from loadcheck.verify.metrics import OWN_SCOPES, Metric
from loadcheck.verify.verdict import Consistency
from loadcheck.verify.visibility import Visibility


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates of a load, in copies per second.

    Attributes:
        asked: The schedule's mean up to the end of the load; None for a closed load.
        reached: Copies started over the length of the load.
        duration_s: The length of the load.
    """

    asked: float | None
    reached: float
    duration_s: float

    @property
    def ratio(self) -> float | None:
        """Reached over asked; None if nothing was asked for."""
        return self.reached / self.asked if self.asked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """Implements :class:`~loadcheck.verify.thresholds.Figures` for one run, also under way.

    Attributes:
        record: What was measured.
        monitor: What the generator did beside.
        rates: The load's, up to now.
        pacer: The schedule of an open load.
        consistency: What the counts prove; None before they were asked for.
        lag: The visibility lag; None if nothing tells it.
    """

    record: Record
    monitor: Monitor
    rates: Rates
    pacer: OpenPacer | None = None
    consistency: Consistency | None = None
    lag: Visibility | None = None

    def measure(self, metric: Metric, /) -> float | None:
        """Return the figure in the unit of a threshold's limit; None if there is no sample."""
        stage = self._stage(metric)
        if metric.percentile is not None and metric.scope in OWN_SCOPES:
            return self._own(metric, metric.percentile, stage)
        if metric.scope:
            return self._step(metric, stage)
        if stage is not None:
            return self._of_stage(metric.name, stage)
        return self._run(metric.name)

    def samples(self, metric: Metric) -> Histogram | None:
        """Return the distribution that a latency of a step is read off; None for all else."""
        if metric.percentile is None or not metric.scope or metric.scope in OWN_SCOPES:
            return None
        return _times(self._step_record(metric, self._stage(metric)), metric.time)

    def overdue(self, span: StageSpan, age_ms: float) -> int:
        """Return how many copies of a stage have been under way for longer than a while."""
        if self.pacer is None:
            return 0
        due = self.pacer.due_before(max(0.0, self.rates.duration_s - age_ms / 1e3))
        ledger, last = self.record.ledger, min(span.last, due)
        if last <= span.first:
            return 0
        started, *ended = (
            copies.range_cardinality(span.first, last)
            for copies in (
                ledger.started,
                ledger.acknowledged,
                ledger.rejected,
                ledger.indeterminate,
            )
        )
        return int(started - sum(ended))

    def own_delay(self, metric: Metric) -> float | None:
        """Return how much of a latency may be the generator's own delay, in milliseconds."""
        if metric.percentile is None or metric.scope in OWN_SCOPES:
            return None
        stage = self._stage(metric)
        lag = self.monitor.loop_lag if stage is None else stage.loop_lag
        loop_ms = lag.percentile_ms(metric.percentile) or 0.0
        if metric.time not in ("", "response_time"):
            return loop_ms
        lag = (self.record if stage is None else stage).dispatch_lag
        return max(loop_ms, lag.percentile_ms(metric.percentile) or 0.0)

    def _stage(self, metric: Metric) -> StageRecord | None:
        stages = {stage.span.name: stage for stage in self.record.stages}
        return stages[metric.stage] if metric.stage else None

    def _own(self, metric: Metric, percentile: float, stage: StageRecord | None) -> float | None:
        if metric.scope == "visible":
            lag_s = self.lag.percentile_s(percentile) if self.lag is not None else None
            return None if lag_s is None else lag_s * 1e3
        if metric.scope in ("loop_lag", "gc_pauses"):
            times: Histogram = getattr(self.monitor, metric.scope)
        else:
            times = getattr(self.record if stage is None else stage, metric.scope)
        return times.percentile_ms(percentile)

    def _step(self, metric: Metric, stage: StageRecord | None) -> float | None:
        step = self._step_record(metric, stage)
        if metric.percentile is not None:
            return _times(step, metric.time).percentile_ms(metric.percentile)
        elapsed_s = self._elapsed_s(stage)
        figures: dict[str, float | None] = {
            "error_rate": step.error_rate,
            "rate": step.succeeded / elapsed_s if elapsed_s else None,
            "attempts": step.attempts,
            "succeeded": step.succeeded,
        }
        return figures[metric.name.removeprefix(f"{metric.scope}.")]

    def _step_record(self, metric: Metric, stage: StageRecord | None) -> StepRecord:
        queries = self.record.queries
        steps = {step.step_id: step for step in (self.record if stage is None else stage).steps}
        if queries is not None:
            steps[queries.step_id] = queries
        return steps[metric.scope]

    def _elapsed_s(self, stage: StageRecord | None) -> float:
        """Return for how long the load, or a stage of it, has gone on."""
        if stage is None:
            return self.rates.duration_s
        return max(0.0, min(self.rates.duration_s, stage.span.end_s) - stage.span.begin_s)

    def _of_stage(self, name: str, stage: StageRecord) -> float | None:
        ledger, span = self.record.ledger, stage.span

        def among(copies: BitMap) -> int:
            return int(copies.range_cardinality(span.first, span.last))

        started, elapsed_s = among(ledger.started), self._elapsed_s(stage)
        if not started and not among(ledger.skipped):
            return None
        asked = 0.0
        if self.pacer is not None:
            asked = self.pacer.expected_at(span.begin_s + elapsed_s)
            asked -= self.pacer.expected_at(span.begin_s)
        acknowledged = among(ledger.acknowledged)
        ended = acknowledged + among(ledger.rejected) + among(ledger.indeterminate)
        ended -= among(self.record.unsent)
        figures: dict[str, float | None] = {
            "error_rate": 1 - acknowledged / ended if ended else None,
            "rate": started / elapsed_s if elapsed_s else None,
            "rate_ratio": started / asked if asked else None,
            "started": started,
            "skipped": among(ledger.skipped),
            "acknowledged": acknowledged,
            "rejected": among(ledger.rejected),
            "indeterminate": among(ledger.indeterminate),
        }
        return figures[name]

    def _run(self, name: str) -> float | None:
        record, seen = self.record, self.consistency
        # copies under way are no errors: the figure is asked for while the load goes on, too
        ended = record.acknowledged + record.rejected + record.indeterminate - len(record.unsent)
        figures: dict[str, float | None] = {
            "error_rate": 1 - record.acknowledged / ended if ended else None,
            "rate": self.rates.reached if record.started else None,
            "rate_ratio": self.rates.ratio,
            "started": record.started,
            "skipped": record.skipped if record.due else None,
            "acknowledged": record.acknowledged,
            "rejected": record.rejected if record.started else None,
            "indeterminate": record.indeterminate if record.started else None,
            "retries": record.retries if record.started else None,
            "max_in_flight": record.max_in_flight if record.started else None,
        }
        if name in figures or seen is None:
            return figures.get(name)
        counted: dict[str, float | None] = {
            "uniques": seen.uniques,
            "lost": seen.lost,
            "recovered": seen.recovered_at_most,
            "unexpected": seen.unexpected,
            "duplicated": seen.duplicated,
            "missing_events": seen.missing_events,
        }
        return counted[name]


def _times(step: StepRecord, name: str) -> Histogram:
    """Return a distribution of a step; without a name its headline one."""
    headline = step.service_time if step.response_time is None else step.response_time
    named = {
        "": headline,
        "response_time": headline,
        "service_time": step.service_time,
        "failed": step.failed,
        "throttled": step.throttled,
    }
    return named[name]
