"""What everything that a run has measured and heard proves together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadcheck.pipeline.abort import Aborted, with_abort
from loadcheck.verify.generator import judge_generator, void
from loadcheck.verify.thresholds import Judged
from loadcheck.verify.verdict import Finding, Verdict, worst

if TYPE_CHECKING:
    from loadcheck.load.record import Record
    from loadcheck.pipeline.figures import RunFigures
    from loadcheck.pipeline.prepare import Prepared

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
    prepared: Prepared,
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
    judged = with_abort(void(judged, figures.own_delay), aborted)
    limited = judge_generator(
        judged,
        took_s=figures.rates.duration_s,
        asked_s=pacer.duration_s if pacer else None,
        cpu_share=monitor.cpu_s / monitor.watched_s if monitor.watched_s else 0.0,
    )
    if limited is not None:
        told.append(limited)
    if aborted is not None:
        told.append(aborted.finding())
    verdict = worst([*(f.verdict for f in told), *(j.verdict for j in judged)])
    return Judgement(consistent=consistent, verdict=verdict, judged=judged, findings=told)


def warnings(record: Record, prepared: Prepared, *, missed: int) -> Iterator[str]:
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
