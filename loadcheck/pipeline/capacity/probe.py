"""One probe: the scenario at a constant rate, first to warm up and then to be measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loadcheck.load.pacer import OpenPacer
from loadcheck.measure.record import StageSpan
from loadcheck.scenario.model import OpenLoad, Scenario, Stage, Threshold
from loadcheck.verify import Verdict
from loadcheck.verify.figures import RunFigures
from loadcheck.verify.metrics import Availability
from loadcheck.verify.thresholds import Aborted, ParsedThreshold

WARM_UP, MEASURED = "warm-up", "probe"
"""The two stages of a probe; only the second counts."""
MOST_ERRORS = "error_rate <= 1%"
"""Must hold if the scenario has no threshold on errors."""
NONE_SKIPPED = "skipped == 0"
"""Must hold if the scenario has no threshold on skipped copies, which prove nothing."""
_HASTE = 0.01
"""Share of measured copies that may be skipped before the probe is aborted."""
_SIZED = ("started", "acknowledged", "uniques", "attempts", "succeeded", "rate")
"""Figures that depend on the size of the scenario's own load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTemplate:
    """What all probes of a search share.

    Attributes:
        scenario: The scenario whose capacity is searched for.
        checks: Thresholds of each probe: as the scenario writes them, and as a probe does.
        left_out: Thresholds of the scenario that do not apply to a probe.
    """

    scenario: Scenario
    checks: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]

    def measured_s(self, rate: float) -> float:
        """Return how long a rate is measured: long enough for the samples that are asked for."""
        capacity = self.scenario.capacity
        return max(capacity.probe_s, capacity.samples / rate)

    def load_s(self, rate: float) -> float:
        """Return how long a rate is held, the warm-up included."""
        return self.scenario.capacity.warmup_s + self.measured_s(rate)

    def events(self, rate: float, seed: int) -> int:
        """Return how many events a probe sends at most; the seed decides random arrivals."""
        load = self._load(*self._stages(rate))
        pacer = OpenPacer(stages=load.stages, arrivals=load.arrivals, seed=seed)
        sessions = self.scenario.sessions
        uploads = 1 if sessions is None else sessions.most
        return pacer.planned * uploads * load.events_per_copy

    @property
    def max_in_flight(self) -> int:
        """The most copies that may be in flight in a probe."""
        return self._load().max_in_flight

    def _load(self, *stages: Stage) -> OpenLoad:
        given = self.scenario.load
        if isinstance(given, OpenLoad):
            return replace(given, stages=stages, trace=None)
        return OpenLoad(
            stages=stages,
            events_per_copy=given.events_per_copy,
            copies_per_request=given.copies_per_request,
            think_time=given.think_time,
            workers=given.workers,
            prefixes=given.prefixes,
        )

    def _stages(self, rate: float) -> list[Stage]:
        return [
            Stage(name=name, duration_s=duration_s, rate=rate, end_rate=rate)
            for name, duration_s in (
                (WARM_UP, self.scenario.capacity.warmup_s),
                (MEASURED, self.measured_s(rate)),
            )
            if duration_s
        ]

    def at(self, rate: float) -> Scenario:
        """Return the scenario of the probe at a rate."""
        load = self._load(*self._stages(rate))
        thresholds = tuple(Threshold(check=check) for _, check in self.checks)
        document = {
            **self.scenario.document,
            "load": _document(load, self.scenario.document["load"]),
            "thresholds": [threshold.check for threshold in thresholds],
        }
        return replace(self.scenario, load=load, thresholds=thresholds, document=document)


def probing(scenario: Scenario, thresholds: Sequence[ParsedThreshold]) -> ProbeTemplate:
    """Return what all probes of a scenario share.

    Args:
        scenario: The scenario whose capacity is searched for.
        thresholds: Its thresholds, parsed.
    """
    checks: list[tuple[str, str]] = []
    left_out = []
    names = {
        threshold.metric.name.rpartition(".")[2]
        for threshold in thresholds
        if not threshold.metric.stage
    }
    for threshold in thresholds:
        check, metric = threshold.check.strip(), threshold.metric
        if metric.stage or metric.name.rpartition(".")[2] in _SIZED:
            left_out.append(check)
        elif metric.known is Availability.MEANWHILE:
            checks.append((check, f"{MEASURED}: {check}"))
        else:
            checks.append((check, check))
    for name, check in (("skipped", NONE_SKIPPED), ("error_rate", MOST_ERRORS)):
        if name not in names:
            checks.append((check, f"{MEASURED}: {check}"))
    return ProbeTemplate(scenario=scenario, checks=tuple(checks), left_out=tuple(left_out))


_SHAPE = frozenset(
    {
        *("model", "rate", "rate_in", "duration", "stages", "repeat", "spikes", "trace"),
        *("concurrency", "copies", "ramp"),
    }
)
"""Keys of ``[load]`` that a probe, which holds one rate, replaces."""


def _document(load: OpenLoad, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``[load]`` of a probe, as a scenario would write it."""
    kept = {name: value for name, value in given.items() if name not in _SHAPE}
    stages = [
        {"name": stage.name, "duration": stage.duration_s, "rate": stage.rate}
        for stage in load.stages
    ]
    return {"model": "open", **kept, "stages": stages}


class EarlyFailDetector:
    """Stops a probe that can no longer hold, however good the rest of it may be.

    A percentile cannot come back within its limit once more samples are above the limit than the
    percentile allows among all that are planned.

    Args:
        thresholds: The probe's thresholds.
        stages: Its stages.
        alone: The only step that a copy runs, whose response every copy in flight still lacks; None
            if there are several.
    """

    def __init__(
        self,
        thresholds: Sequence[ParsedThreshold],
        stages: Sequence[StageSpan],
        *,
        alone: str | None = None,
    ) -> None:
        self._spans = {stage.name: stage for stage in stages}
        self._alone = alone
        self._thresholds = [
            threshold
            for threshold in thresholds
            if threshold.is_upper and threshold.metric.stage in self._spans
        ]

    @property
    def is_active(self) -> bool:
        """Whether there is anything to check."""
        return bool(self._thresholds)

    def check(self, figures: RunFigures, elapsed_s: float) -> Aborted | None:
        """Return why the probe is to be stopped now; None if it is to go on."""
        for threshold in self._thresholds:
            judged = threshold.judge(figures)
            if self._is_lost(threshold, judged.value, figures):
                # copies in flight, not measured yet, may be what breaks it
                return Aborted(judged=replace(judged, verdict=Verdict.FAIL), at_s=elapsed_s)
        return None

    def _is_lost(
        self, threshold: ParsedThreshold, measured: float | None, figures: RunFigures
    ) -> bool:
        """Return whether a limit will be broken at the end, whatever is still to come."""
        metric, span = threshold.metric, self._spans[threshold.metric.stage]
        planned = span.last - span.first
        samples = figures.samples(metric)
        if samples is None or metric.percentile is None:
            beyond = threshold.limit + _HASTE * planned
            return metric.grows and measured is not None and measured > beyond
        late = 0
        if metric.scope == self._alone and metric.time in ("", "response_time"):
            late = figures.overdue(span, threshold.limit)
        # how many samples may be above the limit before the percentile is
        room = planned - math.ceil(round(metric.percentile * planned / 100, 6)) - late
        if room < 0:
            return True
        count = samples.count
        if count <= room:
            return False
        decisive_ms = samples.percentile_ms(100 * (count - room) / count)
        return decisive_ms is not None and decisive_ms > threshold.limit
