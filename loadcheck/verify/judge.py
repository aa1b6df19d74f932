"""Judges a run: what all its measurements and answers prove together.

Consistency comes first, then what is unknown, then a broken threshold: a threshold says something
only about a run that is understood. If the generator itself was the limit, the load was not what
the scenario asks for, whatever the target did with it. Each check turns evidence into findings, and
a check that raises becomes a finding itself.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from loadcheck.errors import many
from loadcheck.measure.record import Record
from loadcheck.verify import Finding, Verdict, overall, worst
from loadcheck.verify.figures import RunFigures
from loadcheck.verify.metrics import MetricKind
from loadcheck.verify.thresholds import Aborted, Judged, ParsedThreshold, apply_abort

_Evidence = TypeVar("_Evidence")
_Evidence_contra = TypeVar("_Evidence_contra", contravariant=True)
_MOST_FRAMES = 30


class Check(Protocol[_Evidence_contra]):
    """Turns evidence into findings; pure, so that it can be run again."""

    @property
    def __name__(self) -> str:
        """``check_`` and the name under which it is reported if it raises."""

    def __call__(self, evidence: _Evidence_contra, /) -> Iterable[Finding]:
        """Return the findings that follow."""


def compose(checks: Sequence[Check[_Evidence]]) -> Callable[[_Evidence], list[Finding]]:
    """Return a check that runs all of these, even if some of them raise."""

    def check_all(evidence: _Evidence, /) -> list[Finding]:
        findings: list[Finding] = []
        for check in checks:
            try:
                findings += check(evidence)
            except Exception as error:  # noqa: BLE001  # whatever it is, nothing is proven
                findings.append(broken(check.__name__.removeprefix("check_"), error))
        return findings

    return check_all


def broken(check: str, error: BaseException) -> Finding:
    """Return the finding on an internal error: what the check would have shown is unknown."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    what = traceback.format_exception_only(error)[-1].strip()
    return Finding(
        check=check,
        verdict=Verdict.UNKNOWN,
        summary=f"Internal error in loadcheck: {what}. What this check would have shown is "
        "unknown; please report the trace in the results file.",
        evidence={"trace": trace(error)},
    )


def trace(error: BaseException) -> list[str]:
    """Return where an exception came from, without the paths of this machine."""
    lines = []
    for frame in traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]:
        parts = Path(frame.filename).parts
        begin = len(parts) - 1
        if "loadcheck" in parts:
            begin = len(parts) - 1 - parts[::-1].index("loadcheck")
        lines.append(f"{'/'.join(parts[begin:])}:{frame.lineno} in {frame.name}: {frame.line}")
    lines += "".join(traceback.format_exception_only(error)).splitlines()
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            lines += trace(inner)
    return lines


TOLERATED_PAUSED = 0.01
"""Share of the copies due that may be skipped because the generator paused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostShard:
    """A worker that was lost.

    Attributes:
        index: Its number, from 0.
        name: Its name in messages.
        why: What is known about its end.
        heard_s: When it was last known to be alive, in seconds since the load began; None: it had
            not begun.
        at_s: When it was certainly gone, in the same way.
        indeterminate: Copies that it may or may not have sent, which will never be known.
    """

    index: int
    name: str
    why: str
    heard_s: float | None = None
    at_s: float | None = None
    indeterminate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """What is known about a run besides its counts.

    Attributes:
        figures: What was measured.
        trouble: What went wrong with the target; None if nothing did.
        aborted: What ended the load early; None if nothing did.
        lost: The workers that were lost: what they would have measured is unknown.
        judged: The judged thresholds; empty before they are judged.
    """

    figures: RunFigures
    trouble: str | None = None
    aborted: Aborted | None = None
    lost: Sequence[LostShard] = ()
    judged: Sequence[Judged] = ()


def check_target(evidence: RunEvidence) -> Iterator[Finding]:
    """Report what went wrong with the target."""
    trouble = evidence.trouble
    if trouble:
        summary = f"{trouble[0].upper()}{trouble[1:]}."
        yield Finding(check="target", verdict=Verdict.UNKNOWN, summary=summary)


def check_aborted(evidence: RunEvidence) -> Iterator[Finding]:
    """Report the threshold, or rule of ``[guard]``, that ended the load early."""
    if evidence.aborted is not None:
        yield evidence.aborted.finding()


_OF_LOST = ("index", "why", "heard_s", "at_s", "indeterminate")


def check_shard(evidence: RunEvidence) -> Iterator[Finding]:
    """Report which workers were lost, and what that leaves open."""
    lost = evidence.lost
    if not lost:
        return
    reports = ". ".join(
        f"{each.name[0].upper()}{each.name[1:]} was lost {_moment(each.heard_s)}: {each.why}"
        for each in lost
    )
    unknown = sum(each.indeterminate for each in lost)
    they, its = ("it", "its machine") if len(lost) == 1 else ("they", "their machines")
    if all(each.at_s is None for each in lost):
        left = "No copy was sent"
    elif unknown:
        left = f"What {they} had not reported, {many(unknown, 'copies')}, may or may not have been "
        left += f"sent{_until(lost)}; rates hold only what was reported, and the target was not "
        left += "given the load that was asked for"
    else:
        left = (
            f"What became of all that {they} sent is known; the load, or what was measured of it, "
        )
        left += "is not whole"
    yield Finding(
        check="shard",
        verdict=Verdict.UNKNOWN,
        summary=f"{reports}. {left}. See why on {its} (memory, network), and run again.",
        evidence={
            "indeterminate": unknown,
            "lost": [{name: getattr(each, name) for name in _OF_LOST} for each in lost],
        },
    )


def _moment(heard_s: float | None) -> str:
    return "before the load began" if heard_s is None else f"{heard_s:.1f} s into the load"


def _until(lost: Sequence[LostShard]) -> str:
    """Return in words until when copies may have been sent; "" if the workers' ends are certain."""
    ended_s = max(each.at_s or 0.0 for each in lost)
    heard_s = max(each.heard_s or 0.0 for each in lost)
    return f", until {ended_s:.0f} s into it" if ended_s > heard_s + 1 else ""


def is_paused(record: Record) -> bool:
    """Return whether more copies than is tolerated fell due while the generator paused."""
    return len(record.paused) > TOLERATED_PAUSED * record.due


def check_generator(evidence: RunEvidence) -> Iterator[Finding]:
    """Report what the generator's own state invalidates."""
    figures, judged = evidence.figures, evidence.judged
    record, monitor, pacer = figures.record, figures.monitor, figures.pacer
    voided = [judgement for judgement in judged if judgement.own_delay_ms is not None]
    paused, behind = is_paused(record), figures.is_behind
    if not (voided or paused or behind):
        return
    sentences = [describe_pauses(record)] if paused else []
    took_s, asked_s = figures.rates.duration_s, pacer.duration_s if pacer is not None else None
    if behind:
        sentences.append(
            f"The load generator could not keep up: starting the copies took {took_s:.1f} s instead"
            f" of {asked_s:.1f} s, so the target rate was not achieved"
        )
    if voided:
        worst_ms = max(judgement.own_delay_ms or 0.0 for judgement in voided)
        sentences.append(
            f"{'It' if sentences else 'The load generator'} added up to {worst_ms:.1f} ms to "
            f"response times itself, so {len(voided)} latency "
            f"threshold{'s' if len(voided) > 1 else ''} cannot be judged"
        )
    cpu_share = monitor.cpu_s / monitor.watched_s if monitor.watched_s else 0.0
    if voided or behind:
        sentences.append(
            f"It used {100 * cpu_share:.0f} % of a core: use a less busy machine or a lower rate"
        )
    yield Finding(
        check="generator",
        verdict=Verdict.UNKNOWN,
        summary=". ".join(sentences) + ".",
        evidence={
            "took_s": took_s,
            "asked_s": asked_s,
            "cpu_share": cpu_share,
            "paused": len(record.paused),
            "voided": [judgement.threshold.check for judgement in voided],
        },
    )


def check_shortage(evidence: RunEvidence) -> Iterator[Finding]:
    """Report attempts that this machine could not make, and why."""
    record = evidence.figures.record
    shortages: Counter[str] = sum((step.shortages for step in record.steps), Counter())
    if not shortages:
        return
    unsent, attempts = len(record.unsent), shortages.total()
    reasons = "; ".join(why for why, _ in shortages.most_common(_MOST_UNSENT))
    end = f"{many(unsent, 'copies were')} not sent" if unsent else "all copies were sent later"
    yield Finding(
        check="generator",
        verdict=Verdict.UNKNOWN if unsent else Verdict.PASS,
        summary=f"This machine could not make {many(attempts, 'attempts')}, which do not count as "
        f"errors of the target, and {end}: {reasons}.",
        evidence={"unsent": unsent, "attempts": attempts, "reasons": dict(shortages)},
    )


def describe_pauses(record: Record) -> str:
    """Return when the generator paused, and for how long."""
    pauses = record.pauses()
    shown = [
        f"for {pause['length_s']:.1f} s at {pause['at_s']:.1f} s"
        + (" (the machine slept)" if pause["suspended"] else "")
        for pause in pauses[:_MOST_PAUSES]
    ]
    if len(pauses) > _MOST_PAUSES:
        shown.append(f"{len(pauses) - _MOST_PAUSES:,} times more")
    skipped = len(record.paused)
    missing = f"; {many(skipped, 'copies')} due meanwhile were skipped" if skipped else ""
    return (
        f"The load generator paused {', '.join(shown)} into the load: stopped, suspended or "
        f"without a CPU{missing}"
    )


def _of_lost(judged: Judged) -> Judged:
    """Return a threshold as unknown if its verdict may be due to the loss of a worker.

    The target may have been fast for lack of load, and responses not received are not errors.
    """
    metric, verdict = judged.threshold.metric, judged.verdict
    quick = metric.kind is MetricKind.DURATION and verdict is Verdict.PASS
    erring = metric.name in _LOST_COUNTS and verdict is not Verdict.PASS
    return replace(judged, verdict=Verdict.UNKNOWN) if quick or erring else judged


_LOST_COUNTS = frozenset({"error_rate", "indeterminate"})
"""Figures that grow when a worker is lost."""


NOTHING_DONE = Finding(
    check="acknowledged",
    verdict=Verdict.UNKNOWN,
    summary="No copy was acknowledged, and no threshold covers that: check the responses of the "
    "ingest step.",
)


def _joined(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of one check merged into one."""
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


_MOST_UNSENT = 3
"""The most reasons shown why nothing could be sent."""
_MOST_PAUSES = 3
"""The most pauses that are shown one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on a run, and what it rests on.

    Attributes:
        consistent: The verdict on the counts; None if they were not to be checked.
        verdict: The verdict on everything together.
        judged: The judged thresholds.
        findings: The findings of all checks.
    """

    consistent: Verdict | None
    verdict: Verdict
    judged: Sequence[Judged]
    findings: Sequence[Finding]


def judge(
    thresholds: Sequence[ParsedThreshold],
    evidence: RunEvidence,
    findings: Sequence[Finding],
    *,
    checked: bool = True,
) -> Judgement:
    """Judge a run.

    Args:
        thresholds: What must hold.
        evidence: What is known about it besides the counts.
        findings: What the counts prove.
        checked: Whether consistency was to be checked; if not, thresholds alone decide.
    """
    judged, every = [], list(findings)
    figures, aborted = evidence.figures, evidence.aborted
    for threshold in thresholds:
        try:
            judged.append(threshold.judge(figures))
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing is proven
            judged.append(Judged(threshold=threshold, measured=None, verdict=Verdict.UNKNOWN))
            every.append(broken("threshold", error))
    judged = apply_abort(judged, aborted)
    evidence = replace(evidence, judged=judged)
    target = compose([check_target])(evidence)
    consistent = worst(finding.verdict for finding in (*findings, *target)) if checked else None
    every += [*target, *_joined(compose([check_generator, check_shortage])(evidence))]
    every += compose([check_shard, check_aborted])(evidence)
    if not (checked or judged or figures.record.acknowledged):
        every.append(NOTHING_DONE)
    if evidence.lost:
        judged = [_of_lost(each) for each in judged]
    # if the load was stopped before a threshold had a sample, the threshold says nothing
    measured = [j for j in judged if aborted is None or j.measured is not None]
    verdict = overall(consistent, [*(f.verdict for f in every), *(j.verdict for j in measured)])
    return Judgement(consistent=consistent, verdict=verdict, judged=judged, findings=every)
