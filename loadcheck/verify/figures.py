"""The figures that thresholds refer to: of a run, and of the flows of a mix together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from pyroaring import BitMap

from loadcheck.load.monitor import Monitor
from loadcheck.load.pacer import OpenPacer
from loadcheck.measure.histogram import Histogram
from loadcheck.measure.record import Record, StageRecord, StageSpan, StepRecord
from loadcheck.verify import Consistency
from loadcheck.verify.metrics import OWN_SCOPES, BoundedFigure, Metric, MetricKind
from loadcheck.verify.visibility import Visibility

TOLERATED_OVERRUN = 0.01
"""Share of a schedule's length by which starting its copies may overrun, plus half a second."""
_HICCUP_S = 0.5
_SIZES = ("started", "acknowledged", "attempts", "succeeded")
"""Numbers that would be larger if nothing had been skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates of a load, in copies per second.

    Attributes:
        asked: Target rate: the schedule's mean over the load; None for a closed load.
        reached: Achieved rate: copies started over the length of the load.
        duration_s: The length of the load.
    """

    asked: float | None
    reached: float
    duration_s: float

    @property
    def ratio(self) -> float | None:
        """Achieved over target rate; None without a target rate."""
        return self.reached / self.asked if self.asked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """Implements :class:`~loadcheck.verify.thresholds.Figures` for a run, also in progress.

    Attributes:
        record: What was measured.
        monitor: What was measured of the generator's own process.
        rates: The rates of the load so far.
        pacer: The schedule of an open load; None for a closed one.
        consistency: What the counts prove; None before they are known.
        lag: The visibility lag; None if it is not known.
    """

    record: Record
    monitor: Monitor
    rates: Rates
    pacer: OpenPacer | None = None
    consistency: Consistency | None = None
    lag: Visibility | None = None

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        """Return the figure in the unit of a threshold's limit; None if there is no sample.

        A figure that our own process affects is an interval: a latency with and without its delay;
        a number or rate without and with the copies that it passed over, or that a lost generator
        may have started.
        """
        stage = self._stage(metric)
        if metric.percentile is not None:
            return self._statistic(metric, metric.percentile, stage)
        if metric.scope:
            value = self._step(metric, stage)
        elif stage is not None:
            value = self._of_stage(metric.name, stage)
        else:
            value = self._run(metric.name)
        return None if value is None else self._with_unknown(metric, value, stage)

    @property
    def is_behind(self) -> bool:
        """Whether starting the copies took longer than the schedule and its tolerance allow."""
        if self.pacer is None:
            return False
        most_s = self.pacer.duration_s * (1 + TOLERATED_OVERRUN) + _HICCUP_S
        return self.rates.duration_s > most_s

    def samples(self, metric: Metric) -> Histogram | None:
        """Return the distribution of a step's latency; None for any other metric.

        Our own delay is subtracted where it is known, so that no time is too long because of us.
        """
        if metric.percentile is None or not metric.scope or metric.scope in OWN_SCOPES:
            return None
        step = self._step_record(metric, self._stage(metric))
        return _times_without_own(step, metric.time) or _times(step, metric.time)

    def overdue(self, span: StageSpan, age_ms: float) -> int:
        """Return how many copies of a stage, due over ``age_ms`` ago, are still in flight."""
        if self.pacer is None:
            return 0
        due = self.pacer.due_before(max(0.0, self.rates.duration_s - age_ms / 1e3))
        last = min(span.last, due)
        if last <= span.first:
            return 0
        return int(self.record.ledger.open().range_cardinality(span.first, last))

    def _stage(self, metric: Metric) -> StageRecord | None:
        stages = {stage.span.name: stage for stage in self.record.stages}
        return stages[metric.stage] if metric.stage else None

    def _statistic(
        self, metric: Metric, percentile: float, stage: StageRecord | None
    ) -> BoundedFigure | None:
        if metric.scope == "visible":
            return self._visible(percentile)
        if metric.scope in OWN_SCOPES:
            times = self.own_times(metric.scope, stage)
            return BoundedFigure.exactly(times.percentile_ms(percentile))
        step = self._step_record(metric, stage)
        lag = self.monitor.loop_lag if stage is None else stage.loop_lag
        return _of_steps([step], metric.time, percentile, lag.percentile_ms(100))

    def own_times(self, scope: str, stage: StageRecord | None = None) -> Histogram:
        """Return a distribution of the generator itself, by its name in :data:`OWN_SCOPES`."""
        measured = self.record if stage is None else stage
        where = self.monitor if scope in ("loop_lag", "gc_pauses") else measured
        times: Histogram = getattr(where, scope)
        return times

    @property
    def ended(self) -> int:
        """Copies started that have an outcome, without those that this machine could not send."""
        record = self.record
        # copies without an outcome are not errors: the figure is used during the load, too
        ended = record.acknowledged + record.rejected + record.indeterminate
        return ended - record.unconfirmed - len(record.unsent)

    def _visible(self, percentile: float) -> BoundedFigure | None:
        if self.lag is None:
            return None
        low_s = self.lag.percentile_s(percentile, lower=True)
        high_s = self.lag.percentile_s(percentile)
        if low_s is None or high_s is None:
            return None
        return BoundedFigure(high_s * 1e3, low_s * 1e3, high_s * 1e3)

    def _with_unknown(
        self, metric: Metric, value: float, stage: StageRecord | None
    ) -> BoundedFigure:
        """Return a number or a rate, with the interval of what it could have been.

        The interval covers the copies that our process passed over in a pause, and those that a
        lost generator may or may not have started.
        """
        name, record = metric.name.rpartition(".")[2], self.record
        span = stage.span if stage is not None else None
        paused = record.paused if span is None else record.paused[span.first : span.last]
        if name == "skipped":
            return BoundedFigure(value, value - len(paused), value)
        missed = len(paused) + self._may_have_started(stage)
        if name in _SIZES:
            return BoundedFigure(value, value, value + missed)
        if name in ("rate", "rate_ratio"):
            elapsed_s = self._elapsed_s(stage)
            asked = self.rates.asked or 0.0
            missing = missed / elapsed_s if elapsed_s else 0.0
            if self.is_behind:
                missing = max(missing, asked - self.rates.reached)
            if name == "rate_ratio":
                missing = missing / asked if asked else 0.0
            return BoundedFigure(value, value, value + missing)
        return BoundedFigure(value, value, value)

    def _may_have_started(self, stage: StageRecord | None) -> int:
        """Return how many copies a lost generator may have started without reporting them."""
        record = self.record
        if stage is None:
            return record.unconfirmed
        unknown = record.ledger.indeterminate - record.ledger.started
        return int(unknown.range_cardinality(stage.span.first, stage.span.last))

    def _step(self, metric: Metric, stage: StageRecord | None) -> float | None:
        step = self._step_record(metric, stage)
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
        whole = (self.record if stage is None else stage).workflow
        steps = {step.step_id: step for step in (self.record if stage is None else stage).steps}
        if queries is not None:
            steps[queries.step_id] = queries
        if whole is not None:
            steps[whole.step_id] = whole
        elif metric.scope not in steps:
            return steps[self.record.ingest.step_id]  # the only step is the whole copy
        return steps[metric.scope]

    def _elapsed_s(self, stage: StageRecord | None) -> float:
        """Return how many seconds the load, or a stage of it, has lasted so far."""
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
        ended = started - among(ledger.open()) - among(self.record.unsent)
        figures: dict[str, float | None] = {
            "error_rate": (ended - acknowledged) / ended if ended else None,
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
        ended = self.ended
        figures: dict[str, float | None] = {
            "error_rate": (ended - record.acknowledged) / ended if ended else None,
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
        return seen.figure(name)


def _of_steps(
    steps: Sequence[StepRecord], time: str, percentile: float, longest_lag_ms: float | None
) -> BoundedFigure | None:
    """Return a percentile of the times of several steps, merged."""
    value = reduce(add, (_times(step, time) for step in steps), Histogram()).percentile_ms(
        percentile
    )
    if value is None:
        return None
    without = [_times_without_own(step, time) for step in steps]
    known = [times for times in without if times is not None]
    if len(known) < len(without):
        # of failures, only the longest stall is known
        low = max(0.0, value - (longest_lag_ms or 0.0))
    else:
        low = reduce(add, known, Histogram()).percentile_ms(percentile) or 0.0
    return BoundedFigure(value, min(low, value), value)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixFigures:
    """The figures of the flows of a mix together, also in progress.

    Numbers are added and times merged: a percentile is that of all requests, not a mean.

    Attributes:
        flows: The figures of each flow.
        steps: By flow, the ids of the steps that its copies run.
        same_users: Whether flows send for the same users, whose counts cannot be added up then.
    """

    flows: Sequence[RunFigures]
    steps: Sequence[Collection[str]]
    same_users: bool = False

    def measure(self, metric: Metric, /) -> BoundedFigure | None:
        """Return the figure in the unit of a threshold's limit; None if there is no sample."""
        if metric.percentile is not None:
            return self._statistic(metric, metric.percentile)
        if metric.scope:
            return self._whole(metric.name.rpartition(".")[2])
        each = [flow.measure(metric) for flow in self.flows]
        if metric.kind is MetricKind.COUNT:
            return self._count(metric.name, each)
        lengths_s = [flow.rates.duration_s for flow in self.flows]
        if metric.name == "rate":
            longest_s = max(lengths_s) or 1.0
            return _sum(each, [length_s / longest_s for length_s in lengths_s])
        weights = [float(flow.ended) for flow in self.flows]  # of error_rate
        if metric.name == "rate_ratio":
            asked = [flow.rates.asked for flow in self.flows]
            if None in asked:  # a closed load has no target rate
                return None
            weights = [(rate or 0.0) * s for rate, s in zip(asked, lengths_s, strict=True)]
        total = sum(weights)
        return _sum(each, [weight / total for weight in weights]) if total else None

    def _count(self, name: str, each: Sequence[BoundedFigure | None]) -> BoundedFigure | None:
        known = [one for one in each if one is not None]
        if len(known) < len(each) or (name == "uniques" and self.same_users):
            return None
        total = BoundedFigure(*map(sum, zip(*known, strict=True)))
        if name != "max_in_flight":
            return total
        # the flows need not have peaked at the same time
        return BoundedFigure(total.value, max(one.low for one in known), total.high)

    def _statistic(self, metric: Metric, percentile: float) -> BoundedFigure | None:
        if metric.scope == "visible":
            # a percentile of all users lies between those of the flows
            each = [one for flow in self.flows if (one := flow.measure(metric)) is not None]
            if not each or len(each) < len(self.flows):
                return None
            high = max(one.high for one in each)
            return BoundedFigure(high, min(one.low for one in each), high)
        if metric.scope in OWN_SCOPES:
            times = reduce(add, (flow.own_times(metric.scope) for flow in self.flows), Histogram())
            return BoundedFigure.exactly(times.percentile_ms(percentile))
        lags = [flow.monitor.loop_lag.percentile_ms(100) or 0.0 for flow in self.flows]
        steps = [*(self._wholes() if metric.scope else self._requests(metric.time))]
        return _of_steps(steps, metric.time, percentile, max(lags))

    def _requests(self, time: str) -> Iterator[StepRecord]:
        """Yield the steps of copies; for response times, only steps that have a due time."""
        for flow, own in zip(self.flows, self.steps, strict=True):
            for step in flow.record.steps:
                due = step.response_time is not None or time not in ("", "response_time")
                if step.step_id in own and due:
                    yield step

    def _wholes(self) -> list[StepRecord]:
        """Return the record of whole copies of each flow."""
        return [flow.record.workflow or flow.record.ingest for flow in self.flows]

    def _whole(self, name: str) -> BoundedFigure | None:
        attempts, succeeded = (
            sum(getattr(step, key) for step in self._wholes()) for key in ("attempts", "succeeded")
        )
        duration_s = max(flow.rates.duration_s for flow in self.flows)
        figures: dict[str, float | None] = {
            "error_rate": (attempts - succeeded) / attempts if attempts else None,
            "rate": succeeded / duration_s if duration_s else None,
            "attempts": attempts,
            "succeeded": succeeded,
        }
        return BoundedFigure.exactly(figures[name])


def _sum(each: Sequence[BoundedFigure | None], weights: Sequence[float]) -> BoundedFigure | None:
    """Return the weighted sum of the figures that are known; None if none is."""
    known = [
        [end * weight for end in one]
        for one, weight in zip(each, weights, strict=True)
        if one is not None
    ]
    return BoundedFigure(*map(sum, zip(*known, strict=True))) if known else None


def _times(step: StepRecord, name: str) -> Histogram:
    """Return a distribution of a step by its name; the headline one if the name is empty."""
    headline = step.service_time if step.response_time is None else step.response_time
    named = {
        "": headline,
        "response_time": headline,
        "service_time": step.service_time,
        "failed": step.failed,
        "throttled": step.throttled,
    }
    return named[name]


def _times_without_own(step: StepRecord, name: str) -> Histogram | None:
    """Return a distribution of a step without our own delay; None if that is not known."""
    times = step.times
    named = {
        "": times.service_time_low if step.response_time is None else times.response_time_low,
        "response_time": times.response_time_low,
        "service_time": times.service_time_low,
    }
    return named.get(name)
