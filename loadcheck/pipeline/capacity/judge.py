"""Judges a probe: its rate held, broke, or is unproven because the generator was at fault.

Besides the thresholds and the consistency of what arrived, a rate only holds if the target keeps
up: a number of copies in flight that grows all the time is a queue, and a rate that goes well while
the queue is short is not one that the target can sustain.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from loadcheck.pipeline.capacity.probe import MEASURED, ProbeTemplate
from loadcheck.pipeline.capacity.search import ProbeResult, ProbeVerdict
from loadcheck.pipeline.session import CompletedRun
from loadcheck.verify import Verdict
from loadcheck.verify.metrics import OWN_SCOPES, MetricKind
from loadcheck.verify.thresholds import Judged

FALLS_BEHIND = "keeps up"
"""The name of the check."""
GENERATOR = "generator"
EVIDENCE = "evidence"
WORKER = "worker"
"""One worker could not keep up while others could have sent more."""
_SATURATED_CPU, _SATURATED_LAG_MS = 0.85, 5.0
"""Share of a core, and event-loop lag, above which a worker can send no more."""

_BEHIND = 0.01
"""Growth of the copies in flight per second, as a share of the rate: the target falls behind."""
_SURELY_BEHIND = 0.02
_FEWEST = 5.0
"""Minimum growth of in-flight copies that counts as a growing queue."""
_NARROWLY = 1.5
"""A figure below this multiple of its limit broke it narrowly."""
_NEARLY = 0.8
"""A figure above this multiple of its limit nearly broke it."""
_HICCUP = 0.25
"""Maximum share of slow seconds in a probe that broke because of a hiccup."""
_SKIPPED = 0.01
"""Maximum share of skipped copies in a probe that broke narrowly."""
_HEAPS = 3.0
"""Maximum skips attributed to a generator pause, as a multiple of the copies due during it."""
_SHORT = 0.01
"""Share of its schedule the generator may lag without being the limit."""
_BUSY_S = 0.05
"""A backlog worth this many seconds means the target never idles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeJudgement:
    """The judgement of a probe.

    Attributes:
        held: Whether its rate held.
        because: The threshold or check that decided; "" if it held.
        measured: The figure of that threshold, in its unit; None if there is none.
        unit: The unit.
        close: Whether a repetition might well have another verdict.
        carried: What the target completed per second while it had more to do; None if it had not.
        growth: Growth per second of the copies in flight, as a share of the rate; None if the
            probe is too short.
        inconsistent: Whether what arrived is not what was sent.
    """

    held: ProbeVerdict
    because: str = ""
    measured: float | None = None
    unit: str = ""
    close: bool = False
    carried: float | None = None
    growth: float | None = None
    inconsistent: bool = False

    def seen(self, rate: float) -> ProbeResult:
        """Return the result of the probe for the search."""
        return ProbeResult(
            rate=rate,
            held=self.held,
            close=self.close,
            final=self.inconsistent,
            carried=self.carried,
        )


def judge_probe(finished: CompletedRun, probing: ProbeTemplate, rate: float) -> ProbeJudgement:
    """Judge a probe.

    Args:
        finished: The probe's run.
        probing: What all probes share.
        rate: The probe's rate, in copies per second.
    """
    spelled = {staged: check for check, staged in probing.checks}
    record = finished.figures.record
    begin = round(probing.scenario.capacity.warmup_s)
    flight = _column(record.timeline.column("in_flight"))
    # after the end of the load a queue can only shrink
    growth = queue_growth(
        flight[begin : min(round(probing.load_s(rate)), int(record.load_ns / 1e9))]
    )
    share = None if growth is None else growth / rate
    behind = (
        growth is not None
        and share is not None
        and share >= _BEHIND
        and growth * probing.measured_s(rate) >= _FEWEST
    )
    done = _column(record.timeline.column("acknowledged"))
    carried = saturated_throughput(done, flight, min(_BUSY_S * rate, probing.max_in_flight / 2))

    def said(
        held: ProbeVerdict, because: str, judged: Judged | None = None, *, close: bool
    ) -> ProbeJudgement:
        return ProbeJudgement(
            held=held,
            because=spelled.get(because, because),
            measured=judged.value if judged else None,
            unit=judged.threshold.unit if judged else "",
            close=close,
            carried=carried if held is ProbeVerdict.BROKE else None,
            growth=share,
            inconsistent=finished.judgement.consistent is Verdict.FAIL,
        )

    if finished.judgement.consistent is Verdict.FAIL:
        first = next(f for f in finished.judgement.findings if f.verdict is Verdict.FAIL)
        return said(ProbeVerdict.BROKE, first.check, close=False)
    failed = [each for each in finished.judgement.judged if each.verdict is Verdict.FAIL]
    short = _is_short(finished)
    broken = [each for each in failed if not short and not _is_ours(each, finished, probing, rate)]
    if broken:
        slow_seconds = _slow_seconds(finished, broken[0], begin)
        hiccup = not behind and slow_seconds <= _HICCUP
        close = all(_is_close(each, finished, hiccup=hiccup) for each in broken)
        return said(ProbeVerdict.BROKE, broken[0].threshold.check, broken[0], close=close)
    if behind and not short:
        assert share is not None
        return said(ProbeVerdict.BROKE, FALLS_BEHIND, close=share < _SURELY_BEHIND)
    if (
        failed
        or short
        or any(finding.check == GENERATOR for finding in finished.judgement.findings)
    ):
        return said(ProbeVerdict.UNPROVEN, _limit(finished), close=not short)
    unknown = [each for each in finished.judgement.judged if each.verdict is Verdict.UNKNOWN]
    if unknown or (
        probing.scenario.verify.enabled and finished.judgement.consistent is not Verdict.PASS
    ):
        because = unknown[0].threshold.check if unknown else EVIDENCE
        if any(j.measured is not None and j.threshold.metric.scope != "visible" for j in unknown):
            # only the generator's own delay in a figure of the load leaves it open
            because = _limit(finished)
        return said(ProbeVerdict.UNPROVEN, because, close=True)
    near = any(
        each.threshold.metric.kind is MetricKind.DURATION
        and each.threshold.is_upper
        and (each.value or 0) > _NEARLY * each.threshold.limit
        for each in finished.judgement.judged
    )
    return said(ProbeVerdict.HELD, "", close=near)


def _limit(finished: CompletedRun) -> str:
    """Return what the limit was: one worker if others could send more, else the generator."""
    workers = finished.document["run"].get("workers")
    shards = [] if workers is None else workers["shards"]
    saturated = [
        shard["cpu_s"] > _SATURATED_CPU * shard["watched_s"]
        or (shard["loop_lag_p99_ms"] or 0) > _SATURATED_LAG_MS
        for shard in shards
    ]
    return WORKER if any(saturated) and not all(saturated) else GENERATOR


def queue_growth(levels: Sequence[float]) -> float | None:
    """Return by how much a level rises per second: the median of all slopes (Theil and Sen).

    A single outlier does not affect it. None for fewer than four seconds.
    """
    if len(levels) < 4:  # noqa: PLR2004
        return None
    slopes = [
        (later - earlier) / (second - first)
        for (first, earlier), (second, later) in itertools.combinations(enumerate(levels), 2)
    ]
    return statistics.median(slopes)


def saturated_throughput(
    completed: Sequence[float], in_flight: Sequence[float], busy: float
) -> float | None:
    """Return the median completed per second, of those that begin and end with a queue.

    None if there are none.

    Args:
        completed: Copies completed in each second.
        in_flight: Copies in flight at the end of each second.
        busy: Number of copies in flight from which on they are a queue.
    """
    found = [
        done
        for done, before, after in zip(completed[1:], in_flight, in_flight[1:], strict=False)
        if before >= busy and after >= busy
    ]
    return statistics.median(found) if found else None


def _column(cells: Sequence[float | None]) -> list[float]:
    return [0.0 if cell is None else float(cell) for cell in cells]


def _is_short(finished: CompletedRun) -> bool:
    """Return whether the generator did not get through its own schedule."""
    figures = finished.figures
    if figures.pacer is None:
        return False
    expected = figures.pacer.expected_at(figures.record.load_ns / 1e9)
    return figures.record.due < (1 - _SHORT) * expected - _FEWEST


def _is_ours(judged: Judged, finished: CompletedRun, probing: ProbeTemplate, rate: float) -> bool:
    """Return whether a limit was broken because of the generator itself."""
    threshold, measured = judged.threshold, judged.value
    if threshold.metric.name == "skipped":
        # copies that fall due while the generator stands still start at once, and fill the limit
        lags = (finished.figures.monitor.loop_lag, finished.figures.record.dispatch_lag)
        still_ms = max(lag.percentile_ms(100) or 0.0 for lag in lags)
        heap = still_ms / 1e3 * rate
        return probing.max_in_flight / 2 <= heap and (measured or 0.0) <= _HEAPS * heap
    if threshold.metric.kind is not MetricKind.DURATION or not threshold.is_upper:
        return False
    if threshold.metric.scope in OWN_SCOPES:
        return threshold.metric.scope != "visible"
    # a probe that was stopped early counts as broken before everything is known
    return judged.measured is not None and judged.measured.low < threshold.limit


def _slow_seconds(finished: CompletedRun, judged: Judged, begin: int) -> float:
    """Return the share of the seconds measured in which a latency was above its limit."""
    threshold = judged.threshold
    if threshold.metric.kind is not MetricKind.DURATION:
        return 1.0
    column = finished.figures.record.timeline.column("p99_ms")[begin:]
    seen = [cell for cell in column if cell is not None]
    return sum(cell > threshold.limit for cell in seen) / len(seen) if seen else 1.0


def _is_close(judged: Judged, finished: CompletedRun, *, hiccup: bool) -> bool:
    threshold, measured = judged.threshold, judged.value or 0.0
    if threshold.metric.name == "skipped":
        (stage,) = (s for s in finished.figures.record.stages if s.span.name == MEASURED)
        return measured - threshold.limit < _SKIPPED * (stage.span.last - stage.span.first)
    narrowly = threshold.is_upper and measured < _NARROWLY * threshold.limit
    return narrowly or (hiccup and threshold.metric.kind is MetricKind.DURATION)
