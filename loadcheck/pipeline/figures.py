"""Looks up the figures that thresholds speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadcheck.load.monitor import Monitor
    from loadcheck.load.record import Record, StepRecord
    from loadcheck.verify.reconcile import Consistency
    from loadcheck.verify.thresholds import Metric
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
    """Implements :class:`~loadcheck.verify.thresholds.Figures` for one run."""

    record: Record
    monitor: Monitor
    consistency: Consistency
    rates: Rates
    lag: Visibility | None

    def measure(self, metric: Metric, /) -> float | None:
        """Return the figure in the unit of a threshold's limit; None if there is no sample."""
        if metric.scope == "lateness":
            assert metric.percentile is not None
            return self.record.lateness.percentile_ms(metric.percentile)
        if metric.scope == "visible":
            assert metric.percentile is not None
            lag_s = self.lag.percentile_s(metric.percentile) if self.lag is not None else None
            return None if lag_s is None else lag_s * 1e3
        if metric.scope:
            steps = {step.step_id: step for step in self.record.steps}
            return self._step(steps[metric.scope], metric)
        return self._run(metric.name)

    def own_delay(self, metric: Metric) -> float | None:
        """Return how much of a latency may be the generator's own delay, in milliseconds."""
        if metric.percentile is None or metric.scope in ("lateness", "visible"):
            return None
        loop_ms = self.monitor.loop_lag.percentile_ms(metric.percentile) or 0.0
        if metric.time == "service_time":
            return loop_ms
        return max(loop_ms, self.record.dispatch_lag.percentile_ms(metric.percentile) or 0.0)

    def _step(self, step: StepRecord, metric: Metric) -> float | None:
        if metric.percentile is None:
            if metric.name.endswith(".rate"):
                return step.succeeded / self.rates.duration_s if self.rates.duration_s else None
            return 1 - step.succeeded / step.attempts if step.attempts else None
        times = step.service_time
        if metric.time != "service_time" and step.response_time is not None:
            times = step.response_time
        return times.percentile_ms(metric.percentile)

    def _run(self, name: str) -> float | None:
        record, seen = self.record, self.consistency
        if name == "error_rate":
            return 1 - record.acknowledged / record.started if record.started else None
        figures: dict[str, float | None] = {
            "rate": self.rates.reached if record.started else None,
            "rate_ratio": self.rates.ratio,
            "started": record.started,
            "skipped": record.skipped if record.due else None,
            "acknowledged": record.acknowledged,
            "rejected": record.rejected if record.started else None,
            "indeterminate": record.indeterminate if record.started else None,
            "retries": record.retries if record.started else None,
            "uniques": seen.uniques,
            "lost": seen.lost,
            "recovered": seen.recovered_at_most,
            "unexpected": seen.unexpected,
            "duplicated": seen.duplicated,
        }
        return figures[name]
