"""Puts what the service counted against what was sent: bounds, not equality.

With an answer asked after the last acknowledgement, ``acknowledged ≤ uniques ≤ acknowledged +
indeterminate`` must hold. Below: users were lost. Above: users were counted that nobody sent, or
that were refused. Between: copies without a clear answer arrived all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from loadcheck.verify.observe import Settlement
from loadcheck.verify.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What our own ledger says, as numbers of copies; one user each."""

    started: int
    acknowledged: int
    indeterminate: int
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """What the counts prove. None stands for what could not be told.

    Attributes:
        uniques: Users of this run that the service counted.
        totals: Events of this run that it counted.
        lower, upper: The bounds that ``uniques`` must keep.
        lost_at_least: Acknowledged users that are certainly missing.
        recovered_at_most: Indeterminate copies that may have arrived: the rest of the band.
        unexpected: Users counted beyond the upper bound.
        duplicated: Events counted beyond one per counted user.
        settled: Whether the count had come to rest.
        waited_s: How long after the last acknowledgement the count was taken.
        baseline: What the same query counted before the run.
        isolation: How this run's users are told from others': by a filter in the query, or by
            taking the baseline away, which other senders of the same event disturb.
    """

    uniques: int | None
    totals: int | None
    lower: int
    upper: int
    lost_at_least: int | None
    recovered_at_most: int | None
    unexpected: int | None
    duplicated: int | None
    settled: bool
    waited_s: float | None
    baseline: int | None
    isolation: Literal["filter", "baseline"]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as the results file holds them."""
        return {name: getattr(self, name) for name in self.__slots__}


def reconcile(
    sent: Sent,
    settlement: Settlement | None,
    *,
    baseline: int | None,
    isolation: Literal["filter", "baseline"],
) -> tuple[Consistency, list[Finding]]:
    """Return what the counts prove, and the findings that follow.

    Args:
        sent: The ledger's numbers.
        settlement: How the wait for the count ended; None if the service was not asked.
        baseline: The count before the run; None if it could not be had.
        isolation: How this run's users are told from others'.
    """
    lower, upper = sent.acknowledged, sent.acknowledged + sent.indeterminate
    unverified = _unverified(sent, settlement, baseline, isolation)
    if unverified is not None:
        nothing = Consistency(
            uniques=None,
            totals=None,
            lower=lower,
            upper=upper,
            lost_at_least=None,
            recovered_at_most=None,
            unexpected=None,
            duplicated=None,
            settled=False,
            waited_s=settlement.waited_s if settlement else None,
            baseline=baseline,
            isolation=isolation,
        )
        return nothing, [unverified]
    assert settlement is not None
    last = settlement.last
    assert last is not None
    assert last.uniques is not None
    before = baseline or 0
    uniques = last.uniques - before
    # events before the run are at least as many as users, but how many more nobody asked
    totals = last.totals if before == 0 else None
    consistency = Consistency(
        uniques=uniques,
        totals=totals,
        lower=lower,
        upper=upper,
        lost_at_least=max(0, lower - uniques),
        recovered_at_most=min(max(0, uniques - lower), sent.indeterminate),
        unexpected=max(0, uniques - upper),
        duplicated=None if totals is None else max(0, totals - uniques),
        settled=settlement.settled,
        waited_s=settlement.waited_s,
        baseline=baseline,
        isolation=isolation,
    )
    return consistency, _findings(consistency, sent)


def _findings(seen: Consistency, sent: Sent) -> list[Finding]:
    findings = [_lost(seen, sent), _unexpected(seen)]
    if seen.duplicated is not None:
        findings.append(_duplicated(seen))
    if sent.acknowledged == 0:
        findings.append(
            Finding(
                check="acknowledged",
                verdict=Verdict.UNKNOWN,
                summary="No copy was acknowledged, so there is nothing that could have been lost: "
                "look at the answers of the ingest step.",
                evidence={"started": sent.started, "rejected": sent.rejected},
            )
        )
    if seen.isolation == "baseline":
        findings.append(
            Finding(
                check="isolation",
                verdict=Verdict.PASS,
                summary="The query cannot tell this run's users from others': the "
                f"{seen.baseline:,} counted before the run were taken away, and whoever else sent "
                "this event since then is counted as ours. Add the run id to the event and to the "
                "query's filter.",
                evidence={"baseline": seen.baseline},
            )
        )
    return findings


def _when(seen: Consistency) -> str:
    rest = "" if seen.settled else ", and the count was still moving"
    return f"{seen.waited_s:.1f} s after the last acknowledgement{rest}"


def _lost(seen: Consistency, sent: Sent) -> Finding:
    evidence = {
        "acknowledged": sent.acknowledged,
        "indeterminate": sent.indeterminate,
        "uniques": seen.uniques,
        "lost_at_least": seen.lost_at_least,
        "settled": seen.settled,
    }
    if seen.lost_at_least:
        more = (
            f" (at most {min(seen.lost_at_least + sent.indeterminate, sent.acknowledged):,}, as"
            f" {sent.indeterminate:,} copies without a clear answer may hide some)"
            if sent.indeterminate
            else ""
        )
        return Finding(
            check="lost",
            verdict=Verdict.FAIL,
            summary=f"At least {seen.lost_at_least:,} of {sent.acknowledged:,} acknowledged users "
            f"are missing {_when(seen)}{more}.",
            evidence=evidence,
        )
    band = (
        f" Within the {sent.indeterminate:,} copies without a clear answer a loss could hide:"
        f" {seen.recovered_at_most:,} of them were counted if none of the others is missing."
        if sent.indeterminate
        else ""
    )
    if not seen.settled:
        return Finding(
            check="lost",
            verdict=Verdict.UNKNOWN,
            summary=f"No loss is proven, but {_when(seen)}: raise verify.deadline.{band}",
            evidence=evidence,
        )
    return Finding(
        check="lost",
        verdict=Verdict.PASS if sent.acknowledged else Verdict.UNKNOWN,
        summary=f"All {sent.acknowledged:,} acknowledged users were counted {_when(seen)}.{band}"
        if sent.acknowledged
        else "Nothing was acknowledged, so nothing can be missing.",
        evidence=evidence,
    )


def _unexpected(seen: Consistency) -> Finding:
    evidence = {"uniques": seen.uniques, "upper": seen.upper, "unexpected": seen.unexpected}
    if seen.unexpected:
        return Finding(
            check="unexpected",
            verdict=Verdict.FAIL,
            summary=f"{seen.unexpected:,} users were counted beyond the {seen.upper:,} that can "
            "have arrived: refused copies were counted all the same, or somebody else sent them.",
            evidence=evidence,
        )
    return Finding(
        check="unexpected",
        verdict=Verdict.PASS,
        summary="No user was counted that was not sent.",
        evidence=evidence,
    )


def _duplicated(seen: Consistency) -> Finding:
    evidence = {"totals": seen.totals, "uniques": seen.uniques, "duplicated": seen.duplicated}
    if seen.duplicated:
        return Finding(
            check="duplicated",
            verdict=Verdict.FAIL,
            summary=f"{seen.duplicated:,} events were counted beyond one per user "
            f"({seen.totals:,} events of {seen.uniques:,} users): retries were not deduplicated, "
            "or the pipeline repeated them.",
            evidence=evidence,
        )
    return Finding(
        check="duplicated",
        verdict=Verdict.PASS,
        summary="No event was counted twice.",
        evidence=evidence,
    )


def _unverified(
    sent: Sent,
    settlement: Settlement | None,
    baseline: int | None,
    isolation: Literal["filter", "baseline"],
) -> Finding | None:
    """Return why the counts prove nothing; None if they do."""
    if settlement is None:
        why = "the service was not asked after the load"
    elif settlement.last is None or settlement.last.uniques is None:
        why = "no query asked after the last acknowledgement was answered with a count"
        if settlement.error:
            why += f" ({settlement.error})"
    elif baseline is None and isolation == "baseline":
        why = "the count before the run could not be had, and the query has no filter for this run"
    elif baseline and isolation == "filter":
        why = (
            f"the query counted {baseline:,} users of this run before it began, so its filter for "
            "the run does not work"
        )
    else:
        return None
    subject = (
        f"Whether the {sent.acknowledged:,} acknowledged users arrived"
        if sent.acknowledged
        else "No copy was acknowledged, and what arrived all the same"
    )
    return Finding(
        check="unverified",
        verdict=Verdict.UNKNOWN,
        summary=f"{subject} is unknown: {why}.",
        evidence={
            "started": sent.started,
            "acknowledged": sent.acknowledged,
            "indeterminate": sent.indeterminate,
            "rejected": sent.rejected,
            "baseline": baseline,
        },
    )
