"""What everything that a run has measured and heard proves together.

Consistency comes first, then what is unknown, then a broken threshold: a threshold says something
only about a run that is understood. Was the generator itself the limit? Then the load was not what
the scenario asks for, whatever the target did with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadcheck.measure.record import Record
from loadcheck.verify.abort import Aborted, apply_abort
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.figures import RunFigures
from loadcheck.verify.thresholds import Judged
from loadcheck.verify.verdict import Finding, Verdict, overall, worst

TOLERATED_PAUSED = 0.01
"""Of the copies, that may be skipped because the generator paused."""


def judge_generator(judged: Sequence[Judged], figures: RunFigures) -> Finding | None:
    """Return what the generator's own state spoils; None if nothing.

    Args:
        judged: The thresholds.
        figures: What was measured.
    """
    record, monitor, pacer = figures.record, figures.monitor, figures.pacer
    voided = [judgement for judgement in judged if judgement.own_delay_ms is not None]
    paused = len(record.paused) > TOLERATED_PAUSED * record.due
    behind = figures.is_behind
    if not (voided or paused or behind):
        return None
    sentences = [pauses_told(record)] if paused else []
    took_s, asked_s = figures.rates.duration_s, pacer.duration_s if pacer is not None else None
    if behind:
        sentences.append(
            f"The generator could not keep up: it took {took_s:.1f} s to start what was to start in"
            f" {asked_s:.1f} s, so the target was not given the load that was asked for"
        )
    if voided:
        worst_ms = max(judgement.own_delay_ms or 0.0 for judgement in voided)
        sentences.append(
            f"{'It' if sentences else 'The generator'} held copies or answers up by"
            f" {worst_ms:.1f} ms itself, too much to say whether {len(voided)} latency threshold"
            f"{'s hold' if len(voided) > 1 else ' holds'}"
        )
    cpu_share = monitor.cpu_s / monitor.watched_s if monitor.watched_s else 0.0
    return Finding(
        check="generator",
        verdict=Verdict.UNKNOWN,
        summary=". ".join(sentences)
        + f". It used {100 * cpu_share:.0f} % of a core: give it an idle one, or ask for less.",
        evidence={
            "took_s": took_s,
            "asked_s": asked_s,
            "cpu_share": cpu_share,
            "paused": len(record.paused),
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


def pauses_told(record: Record) -> str:
    """Return when the generator paused, and for how long; "" if it did not."""
    pauses = record.pauses()
    if not pauses:
        return ""
    told = [
        f"for {pause['length_s']:.1f} s at {pause['at_s']:.1f} s"
        + (" (the machine slept)" if pause["suspended"] else "")
        for pause in pauses[:_MOST_PAUSES]
    ]
    if len(pauses) > _MOST_PAUSES:
        told.append(f"{len(pauses) - _MOST_PAUSES:,} times more")
    skipped = len(record.paused)
    missing = f"; {skipped:,} copies that fell due meanwhile were skipped" if skipped else ""
    return (
        f"The generator stood still {', '.join(told)} into the load: stopped, suspended or without "
        f"a processor{missing}"
    )


def _joined(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings of one check as one."""
    if len(findings) < 2:  # noqa: PLR2004 -- one is one already
        return list(findings)
    return [
        Finding(
            check=findings[0].check,
            verdict=worst(finding.verdict for finding in findings),
            summary=" ".join(finding.summary for finding in findings),
            evidence={name: each for f in findings for name, each in f.evidence.items()},
        )
    ]


_LATE_MS = 10.0
"""A 99th percentile of the dispatch lag from which on a reader is warned."""
_MOST_PAUSES = 3
"""So many pauses are told one by one."""
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
    judged = [threshold.judge(figures) for threshold in prepared.thresholds]
    judged = apply_abort(judged, aborted)
    limited = judge_generator(judged, figures), judge_shortage(figures.record)
    told += _joined([finding for finding in limited if finding is not None])
    if aborted is not None:
        told.append(aborted.finding())
    # what a load that was stopped early came too early to measure says nothing
    measured = [j for j in judged if aborted is None or j.measured is not None]
    verdict = overall(consistent, [*(f.verdict for f in told), *(j.verdict for j in measured)])
    return Judgement(consistent=consistent, verdict=verdict, judged=judged, findings=told)


def warnings(record: Record, prepared: CompiledScenario, *, missed: int) -> Iterator[str]:
    """Say what a reader should know before trusting the figures.

    Args:
        record: What was measured.
        prepared: What was to be done.
        missed: Saves of the results that failed.
    """
    crowded = record.skipped - len(record.paused)
    if crowded:
        yield (
            f"{crowded:,} copies fell due while {record.max_in_flight:,} were in flight"
            " and were not sent: raise load.max_in_flight or ask for a lower rate"
        )
    paused = pauses_told(record)
    if paused:
        yield paused
    for why, number in prepared.plan.unsent.most_common(_MOST_UNSENT):
        times = "a request" if number == 1 else f"{number:,} requests"
        yield f"{times} could not be made, and nothing was sent: {why}"
    if missed:
        yield (f"{missed:,} saves of the results failed while the load went on: is the disk full?")
    late_ms = record.dispatch_lag.percentile_ms(99)
    if late_ms is not None and late_ms > _LATE_MS:
        yield (
            f"copies were started late by the generator itself: dispatch lag p99 {late_ms:.1f} ms;"
            " response times include it"
        )
