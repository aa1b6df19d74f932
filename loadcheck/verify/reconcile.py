"""Puts what the service counted against what was sent: bounds, not equality.

With an answer asked after the last acknowledgement, ``acknowledged ≤ uniques ≤ acknowledged +
indeterminate`` must hold. Below: users were lost. Above: users were counted that nobody sent, or
that were refused. Between: copies without a clear answer arrived all the same, and may hide others
that are missing; counts by bucket tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard

from loadcheck.verify.controls import Controlled, judge_controls
from loadcheck.verify.localize import Localized
from loadcheck.verify.naming import where
from loadcheck.verify.observe import Observation, Settlement
from loadcheck.verify.verdict import Finding, Verdict

_UNHURT = Controlled()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What our own ledger says, as numbers of copies; one user each."""

    started: int
    acknowledged: int
    indeterminate: int
    rejected: int
    events_per_copy: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """What the counts prove. None stands for what could not be told.

    Attributes:
        uniques: Users of this run that the service counted.
        totals: Events of this run that it counted.
        lower, upper: The bounds that ``uniques`` must keep.
        lost_at_least: Acknowledged users that are certainly missing.
        lost_at_most: Acknowledged users that can be missing.
        recovered_at_most: Indeterminate copies that may have arrived: the rest of the band.
        unexpected: Users that were certainly counted though they were refused or never sent.
        duplicated: Events counted beyond those that were sent.
        missing_events: Events of counted users that are certainly missing.
        settled: Whether the count had come to rest.
        overtaken: Whether the service shows users who were sent after those that are missing; None
            if that was not looked at.
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
    lost_at_most: int | None
    recovered_at_most: int | None
    unexpected: int | None
    duplicated: int | None
    missing_events: int | None
    settled: bool
    overtaken: bool | None
    waited_s: float | None
    baseline: int | None
    isolation: Literal["filter", "baseline"]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as the results file holds them."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def lost(self) -> int | None:
        """Lost users, where that is proven: a count at rest, or certainly missing ones."""
        if self.overtaken is False:
            return None
        return self.lost_at_least if self.settled or self.lost_at_least else None


def reconcile(
    sent: Sent,
    settlement: Settlement | None,
    *,
    baseline: int | None,
    isolation: Literal["filter", "baseline"],
    controlled: Controlled = _UNHURT,
    localized: Localized | None = None,
    told: Mapping[str, Any] | None = None,
) -> tuple[Consistency, list[Finding]]:
    """Return what the counts prove, and the findings that follow.

    Args:
        sent: The ledger's numbers.
        settlement: How the wait for the count ended; None if the service was not asked.
        baseline: The count before the run; None if it could not be had.
        isolation: How this run's users are told from others'.
        controlled: What the control users showed.
        localized: What the counts by bucket tell; None if nothing was asked.
        told: The same in names and times, as :func:`loadcheck.verify.naming.tell` gives it.
    """
    lower, upper = sent.acknowledged, sent.acknowledged + sent.indeterminate
    unverified = _unverified(sent, settlement, baseline, isolation)
    controls = judge_controls(controlled)
    if unverified is not None or controlled.leaking:
        nothing = Consistency(
            uniques=None,
            totals=None,
            lower=lower,
            upper=upper,
            lost_at_least=None,
            lost_at_most=None,
            recovered_at_most=None,
            unexpected=None,
            duplicated=None,
            missing_events=None,
            settled=False,
            overtaken=None,
            waited_s=settlement.waited_s if settlement else None,
            baseline=baseline,
            isolation=isolation,
        )
        return nothing, [finding for finding in (unverified, controls) if finding is not None]
    assert settlement is not None
    seen = _consistency(sent, settlement, localized or Localized(), baseline, isolation)
    if controlled.acknowledged is not None:
        seen = replace(seen, overtaken=not controlled.silent)
    elif settlement.blank and sent.acknowledged:
        seen = replace(seen, overtaken=False)
    findings = _findings(seen, sent, localized, told)
    if settlement.adrift:
        findings.append(_adrift(seen))
    if controls is not None:
        findings.append(controls)
    return seen, findings


def _consistency(
    sent: Sent,
    settlement: Settlement,
    found: Localized,
    baseline: int | None,
    isolation: Literal["filter", "baseline"],
) -> Consistency:
    last = settlement.last
    assert last is not None
    assert last.uniques is not None
    before = baseline or 0
    uniques = last.uniques - before
    # events before the run are at least as many as users, but how many more nobody asked
    totals = last.totals if before == 0 else None
    lower, upper = sent.acknowledged, sent.acknowledged + sent.indeterminate
    lost = max(0, lower - uniques, found.lost_at_least)
    surplus = None if totals is None else totals - sent.events_per_copy * uniques
    return Consistency(
        uniques=uniques,
        totals=totals,
        lower=lower,
        upper=upper,
        lost_at_least=lost,
        lost_at_most=lost if found.exact else min(lower, max(lost, upper - uniques)),
        recovered_at_most=found.recovered
        if found.exact
        else min(max(0, uniques - lower + lost), sent.indeterminate),
        unexpected=max(0, uniques - upper, found.unexpected_at_least),
        duplicated=None if surplus is None else max(0, surplus, found.duplicated_at_least),
        missing_events=None if surplus is None else max(0, -surplus),
        settled=settlement.settled,
        overtaken=None,
        waited_s=settlement.waited_s,
        baseline=baseline,
        isolation=isolation,
    )


def _findings(
    seen: Consistency,
    sent: Sent,
    localized: Localized | None,
    told: Mapping[str, Any] | None,
) -> list[Finding]:
    findings = [_lost(seen, sent, localized, told), _unexpected(seen, localized, told)]
    if seen.duplicated is not None:
        findings.append(_duplicated(seen, sent, told))
    if seen.missing_events:
        findings.append(_missing_events(seen, sent))
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
    return f"{_length(seen.waited_s or 0.0)} after the last acknowledgement{rest}"


def _length(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _lost(
    seen: Consistency,
    sent: Sent,
    localized: Localized | None,
    told: Mapping[str, Any] | None,
) -> Finding:
    evidence = {
        "acknowledged": sent.acknowledged,
        "indeterminate": sent.indeterminate,
        "uniques": seen.uniques,
        "lost_at_least": seen.lost_at_least,
        "lost_at_most": seen.lost_at_most,
        "settled": seen.settled,
        "overtaken": seen.overtaken,
    }
    if seen.lost_at_least:
        return _missing(seen, sent, localized, told, evidence)
    exact = localized is not None and localized.exact
    if not seen.settled:
        return Finding(
            check="lost",
            verdict=Verdict.UNKNOWN,
            summary=f"No loss is proven, but {_when(seen)}: raise verify.deadline, or ask again "
            "later with loadcheck reconcile.",
            evidence=evidence,
        )
    if seen.lost_at_most and not exact:
        return Finding(
            check="lost",
            verdict=Verdict.UNKNOWN,
            summary=f"{seen.uniques:,} users were counted {_when(seen)}, within the bounds of "
            f"{seen.lower:,} acknowledged and {seen.upper:,} with those without a clear answer; so "
            f"up to {seen.lost_at_most:,} could be missing behind as many that arrived unanswered"
            f"{_untold(localized)}.",
            evidence=evidence,
        )
    recovered = (
        f" Of {sent.indeterminate:,} copies without a clear answer {seen.recovered_at_most:,} "
        "arrived."
        if sent.indeterminate
        else ""
    )
    return Finding(
        check="lost",
        verdict=Verdict.PASS if sent.acknowledged else Verdict.UNKNOWN,
        summary=f"All {sent.acknowledged:,} acknowledged users were counted {_when(seen)}."
        f"{recovered}",
        evidence=evidence,
    )


def _missing(
    seen: Consistency,
    sent: Sent,
    localized: Localized | None,
    told: Mapping[str, Any] | None,
    evidence: dict[str, Any],
) -> Finding:
    exact = seen.lost_at_most == seen.lost_at_least
    number = f"{seen.lost_at_least:,}" if exact else f"At least {seen.lost_at_least:,}"
    most = (
        ""
        if exact or seen.lost_at_most is None
        else f" (at most {seen.lost_at_most:,}, as copies without a clear answer may hide some)"
    )
    if seen.overtaken is False:
        return Finding(
            check="lost",
            verdict=Verdict.UNKNOWN,
            summary=f"{number} of {sent.acknowledged:,} acknowledged users are missing "
            f"{_when(seen)}{most}, and so is everybody sent later: whether they are lost or late "
            "is not known. Ask again later with loadcheck reconcile.",
            evidence=evidence,
        )
    trouble = f" Not all have a name: {localized.trouble}." if _troubled(localized) else ""
    later = " loadcheck reconcile asks again: whoever is counted by then was late."
    return Finding(
        check="lost",
        verdict=Verdict.FAIL,
        summary=f"{number} of {sent.acknowledged:,} acknowledged users are missing {_when(seen)}"
        f"{most}{where(told)}.{trouble}{later}",
        evidence=evidence,
    )


def _troubled(localized: Localized | None) -> TypeGuard[Localized]:
    return localized is not None and bool(localized.trouble)


def _untold(localized: Localized | None) -> str:
    if localized is None:
        return ". verify.localize = true tells them apart, and so does loadcheck reconcile --export"
    why = localized.trouble or "counts by bucket do not decide it"
    return f". {why[0].upper()}{why[1:]}: ask again with loadcheck reconcile --export"


def _unexpected(
    seen: Consistency, localized: Localized | None, told: Mapping[str, Any] | None
) -> Finding:
    evidence = {"uniques": seen.uniques, "upper": seen.upper, "unexpected": seen.unexpected}
    if not seen.unexpected:
        return Finding(
            check="unexpected",
            verdict=Verdict.PASS,
            summary="No user was counted that was not sent.",
            evidence=evidence,
        )
    if localized is not None and localized.unexpected and told is not None:
        first = told["unexpected"][0]["user_id"]
        summary = (
            f"{seen.unexpected:,} users were counted although the service refused them, the first "
            f"{first}: a refusal has an effect, so clients that send again send twice."
        )
    else:
        summary = (
            f"{seen.unexpected:,} users were counted beyond the {seen.upper:,} that can have "
            "arrived: refused copies were counted all the same, or somebody else sent them."
        )
    return Finding(check="unexpected", verdict=Verdict.FAIL, summary=summary, evidence=evidence)


def _duplicated(seen: Consistency, sent: Sent, told: Mapping[str, Any] | None) -> Finding:
    evidence = {"totals": seen.totals, "uniques": seen.uniques, "duplicated": seen.duplicated}
    if not seen.duplicated:
        return Finding(
            check="duplicated",
            verdict=Verdict.PASS,
            summary="No event was counted twice.",
            evidence=evidence,
        )
    named = told["duplicated"] if told is not None else ()
    who = ""
    if named:
        first = named[0]["user_id"]
        rest = told["ambiguous"]["duplicated"] if told is not None else 0
        who = (
            f" {_users(len(named))} them, the first {first}"
            f"{f'; {rest:,} events could not be given to a user' if rest else ''}."
        )
    each = "one" if sent.events_per_copy == 1 else f"{sent.events_per_copy:,}"
    return Finding(
        check="duplicated",
        verdict=Verdict.FAIL,
        summary=f"{seen.duplicated:,} events were counted beyond {each} per user "
        f"({seen.totals:,} events of {seen.uniques:,} users): retries were not deduplicated, "
        f"or the pipeline repeated them.{who} loadcheck reconcile --export tells which.",
        evidence=evidence,
    )


def _adrift(seen: Consistency) -> Finding:
    return Finding(
        check="duplicated",
        verdict=Verdict.UNKNOWN,
        summary="Whether events were counted twice is unknown: no two answers in a row agreed on "
        f"users and events {_when(seen)}. Ask again later with loadcheck reconcile.",
        evidence={"totals": None, "uniques": seen.uniques, "duplicated": None},
    )


def _users(number: int) -> str:
    return "One user has" if number == 1 else f"{number:,} users have"


def _missing_events(seen: Consistency, sent: Sent) -> Finding:
    return Finding(
        check="missing_events",
        verdict=Verdict.FAIL,
        summary=f"{seen.missing_events:,} events of counted users are missing: each sent "
        f"{sent.events_per_copy:,}, and {seen.totals:,} were counted of {seen.uniques:,} users. "
        "loadcheck reconcile --export tells which.",
        evidence={"totals": seen.totals, "uniques": seen.uniques},
    )


def _adds_up(last: Observation) -> bool:
    """Tell whether users and events can be counts of the same: each user has an event."""
    if last.uniques is None or last.totals is None:
        return True
    return last.totals >= last.uniques and not (last.totals and not last.uniques)


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
        why = "no query asked after the last acknowledgement was answered with a count of its time"
        if settlement.error:
            why += f" ({settlement.error})"
    elif baseline is None and isolation == "baseline":
        why = "the count before the run could not be had, and the query has no filter for this run"
    elif not _adds_up(settlement.last):
        why = (
            f"its answers do not add up: {settlement.last.totals:,} events of "
            f"{settlement.last.uniques:,} users"
        )
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
