"""Was the generator itself the limit? Then its latencies prove nothing about the target.

A latency that is compared with a limit is worth something only while the generator's own delay is
small beside that limit. Twelve milliseconds of our own do not matter where 250 are allowed, and
spoil everything where 20 are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from loadcheck.verify.metrics import Kind, Metric
from loadcheck.verify.thresholds import Judged
from loadcheck.verify.verdict import Finding, Verdict

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
