"""What everything that a run has measured and heard proves together.

Was the generator itself the limit? Then its latencies prove nothing about the target.

A latency that is compared with a limit is worth something only while the generator's own delay is
small beside that limit. Twelve milliseconds of our own do not matter where 250 are allowed, and
spoil everything where 20 are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from loadcheck.measure.record import Record
from loadcheck.verify.abort import Aborted, apply_abort
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.figures import RunFigures
from loadcheck.verify.metrics import Kind, Metric
from loadcheck.verify.thresholds import Judged
from loadcheck.verify.verdict import Finding, Verdict, worst

TOLERATED_SHARE = 0.1
"""Of a limit, that the generator's own delay at the same percentile may take."""
TOLERATED_OVERRUN = 0.01
"""Of its length, by which starting a schedule's copies may take longer, beside half a second."""
_HICCUP_S = 0.5

OwnDelay = Callable[[Metric], float | None]
"""Metric → the generator's own delay at its percentile, in milliseconds."""


def void(judged: Sequence[Judged], own_delay: OwnDelay) -> list[Judged]:
    """Return the judgements, with each pass of a latency that rests on no evidence unknown."""
    return [_void(judgement, own_delay) for judgement in judged]


def _void(judgement: Judged, own_delay: OwnDelay) -> Judged:
    threshold = judgement.threshold
    metric = threshold.metric
    if judgement.verdict is not Verdict.PASS or metric.kind is not Kind.DURATION:
        return judgement
    own_ms = own_delay(metric)
    if own_ms is None or own_ms <= TOLERATED_SHARE * threshold.limit:
        return judgement
    return replace(judgement, verdict=Verdict.UNKNOWN, own_delay_ms=own_ms)


def judge_generator(
    judged: Sequence[Judged], *, took_s: float, asked_s: float | None, cpu_share: float
) -> Finding | None:
    """Return what the generator's own state spoils; None if nothing.

    Args:
        judged: The thresholds, after :func:`void`.
        took_s: How long starting the copies took.
        asked_s: How long it should have taken; None for a closed load.
        cpu_share: Processor time over time, 1 is a whole core.
    """
    voided = [judgement for judgement in judged if judgement.own_delay_ms is not None]
    behind = asked_s is not None and took_s > asked_s * (1 + TOLERATED_OVERRUN) + _HICCUP_S
    if not voided and not behind:
        return None
    sentences = []
    if behind:
        sentences.append(
            f"The generator could not keep up: it took {took_s:.1f} s to start what was to start in"
            f" {asked_s:.1f} s, so the target was not given the load that was asked for"
        )
    if voided:
        worst_ms = max(judgement.own_delay_ms or 0.0 for judgement in voided)
        sentences.append(
            f"{'It' if behind else 'The generator'} held copies or answers up by {worst_ms:.1f} ms"
            f" itself, too much to say that {len(voided)} latency threshold"
            f"{'s' if len(voided) > 1 else ''} held"
        )
    return Finding(
        check="generator",
        verdict=Verdict.UNKNOWN,
        summary=". ".join(sentences)
        + f". It used {100 * cpu_share:.0f} % of a core: give it an idle one, or ask for less.",
        evidence={
            "took_s": took_s,
            "asked_s": asked_s,
            "cpu_share": cpu_share,
            "voided": [judgement.threshold.expression for judgement in voided],
        },
    )


def judge_shortage(record: Record) -> Finding | None:
    """Return of what this machine had too little to send everything; None if of nothing."""
    shortages: Counter[str] = sum((step.shortages for step in record.steps), Counter())
    if not shortages:
        return None
    unsent, attempts = len(record.unsent), shortages.total()
    told = "; ".join(why for why, _ in shortages.most_common(_MOST_UNSENT))
    end = f"{unsent:,} copies were not sent" if unsent else "all copies were sent later"
    return Finding(
        check="generator",
        verdict=Verdict.UNKNOWN if unsent else Verdict.PASS,
        summary=f"This machine could not make {attempts:,} attempts, which are no errors of the "
        f"target's, and {end}: {told}.",
        evidence={"unsent": unsent, "attempts": attempts, "reasons": dict(shortages)},
    )


_LATE_MS = 10.0
"""A 99th percentile of lateness from which on a reader is warned."""
_MOST_UNSENT = 3
"""So many reasons why requests could not be made are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on a run, and what it rests on.

    Attributes:
        consistent: What the counts prove.
        verdict: What everything together proves.
        judged: The thresholds.
        findings: What the checks say.
    """

    consistent: Verdict
    verdict: Verdict
    judged: Sequence[Judged]
    findings: Sequence[Finding]


def judge(
    prepared: CompiledScenario,
    figures: RunFigures,
    findings: Sequence[Finding],
    *,
    trouble: str | None,
    aborted: Aborted | None,
) -> Judgement:
    """Judge a run.

    Args:
        prepared: What was to be done.
        figures: What was measured.
        findings: What reconciliation says.
        trouble: What went wrong with the target; None if nothing did.
        aborted: What ended the load early; None if nothing did.
    """
    told = list(findings)
    if trouble is not None:
        summary = f"{trouble.capitalize()}."
        told.append(Finding(check="target", verdict=Verdict.UNKNOWN, summary=summary))
    consistent = worst(finding.verdict for finding in told)
    monitor, pacer = figures.monitor, prepared.pacer
    judged = [threshold.judge(figures) for threshold in prepared.thresholds]
    judged = apply_abort(void(judged, figures.own_delay), aborted)
    limited = judge_generator(
        judged,
        took_s=figures.rates.duration_s,
        asked_s=pacer.duration_s if pacer else None,
        cpu_share=monitor.cpu_s / monitor.watched_s if monitor.watched_s else 0.0,
    )
    told += [each for each in (limited, judge_shortage(figures.record)) if each is not None]
    if aborted is not None:
        told.append(aborted.finding())
    verdict = worst([*(f.verdict for f in told), *(j.verdict for j in judged)])
    return Judgement(consistent=consistent, verdict=verdict, judged=judged, findings=told)


def warnings(record: Record, prepared: CompiledScenario, *, missed: int) -> Iterator[str]:
    """Say what a reader should know before trusting the figures.

    Args:
        record: What was measured.
        prepared: What was to be done.
        missed: Saves of the results that failed.
    """
    if record.skipped:
        yield (
            f"{record.skipped:,} copies fell due while {record.max_in_flight:,} were in flight"
            " and were not sent: raise load.max_in_flight or ask for a lower rate"
        )
    for why, number in prepared.plan.unsent.most_common(_MOST_UNSENT):
        times = "a request" if number == 1 else f"{number:,} requests"
        yield f"{times} could not be made, and nothing was sent: {why}"
    if missed:
        yield (f"{missed:,} saves of the results failed while the load went on: is the disk full?")
    late_ms = record.lateness.percentile_ms(99)
    if late_ms is not None and late_ms > _LATE_MS:
        yield (
            f"copies were sent late by the generator itself: lateness p99 {late_ms:.1f} ms;"
            " response times include it"
        )
