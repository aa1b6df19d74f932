"""Says what the counts prove: a sentence each, with numbers and a next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeGuard

from loadcheck.verify.localize import Localized
from loadcheck.verify.naming import where
from loadcheck.verify.observe import Observation, SettleResult
from loadcheck.verify.verdict import Consistency, Finding, SentCounts, Verdict


def proven(
    seen: Consistency,
    sent: SentCounts,
    localized: Localized | None,
    told: Mapping[str, Any] | None,
) -> list[Finding]:
    """Return the findings that follow from counts that are evidence.

    Args:
        seen: What they prove.
        sent: The ledger's numbers.
        localized: What the counts by bucket tell; None if nothing was asked.
        told: The same in names and times.
    """
    findings = [_lost(seen, sent, localized, told), _unexpected(seen, localized, told)]
    if seen.duplicated is not None:
        findings.append(_duplicated(seen, sent, told))
    if seen.missing_events_at_most:
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


def unverified(
    sent: SentCounts,
    settlement: SettleResult | None,
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


def _adds_up(last: Observation) -> bool:
    """Tell whether users and events can be counts of the same: each user has an event."""
    if last.uniques is None or last.totals is None:
        return True
    return last.totals >= last.uniques and not (last.totals and not last.uniques)


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
    sent: SentCounts,
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
    sent: SentCounts,
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


def _duplicated(seen: Consistency, sent: SentCounts, told: Mapping[str, Any] | None) -> Finding:
    again = sent.sent_again
    evidence = {
        "totals": seen.totals,
        "uniques": seen.uniques,
        "duplicated": seen.duplicated,
        "sent_again": again,
    }
    if not seen.duplicated:
        though = (
            f", though {again:,} requests were sent again as idle connections were being closed"
            if again
            else ""
        )
        return Finding(
            check="duplicated",
            verdict=Verdict.PASS,
            summary=f"No event was counted twice{though}.",
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
    ours = (
        f" {again:,} requests loadcheck itself sent again, as idle connections were being closed"
        " (not with retry.stale = false)."
        if again
        else ""
    )
    each = "one" if sent.events_per_copy == 1 else f"{sent.events_per_copy:,}"
    return Finding(
        check="duplicated",
        verdict=Verdict.FAIL,
        summary=f"{seen.duplicated:,} events were counted beyond {each} per user "
        f"({seen.totals:,} events of {seen.uniques:,} users): retries were not deduplicated, "
        f"or the pipeline repeated them.{ours}{who} loadcheck reconcile --export tells which.",
        evidence=evidence,
    )


def adrift(seen: Consistency) -> Finding:
    """Return that users and events never stood still together."""
    return Finding(
        check="duplicated",
        verdict=Verdict.UNKNOWN,
        summary="Whether events were counted twice is unknown: no two answers in a row agreed on "
        f"users and events {_when(seen)}. Ask again later with loadcheck reconcile.",
        evidence={"totals": None, "uniques": seen.uniques, "duplicated": None},
    )


def _users(number: int) -> str:
    return "One user has" if number == 1 else f"{number:,} users have"


def _missing_events(seen: Consistency, sent: SentCounts) -> Finding:
    evidence = {
        "totals": seen.totals,
        "uniques": seen.uniques,
        "missing_events": seen.missing_events,
        "missing_events_at_most": seen.missing_events_at_most,
    }
    counted = (
        f"each sent {sent.events_per_copy:,}, and {seen.totals:,} were counted of "
        f"{seen.uniques:,} users"
    )
    if not seen.missing_events:
        return Finding(
            check="missing_events",
            verdict=Verdict.UNKNOWN,
            summary=f"Up to {seen.missing_events_at_most:,} events of acknowledged users could be "
            f"missing: {counted}; or copies without a clear answer arrived in part. "
            "loadcheck reconcile --export tells which.",
            evidence=evidence,
        )
    number = f"{seen.missing_events:,}"
    if seen.missing_events != seen.missing_events_at_most:
        number = f"At least {number}"
    return Finding(
        check="missing_events",
        verdict=Verdict.FAIL,
        summary=f"{number} events of counted users are missing: {counted}. "
        "loadcheck reconcile --export tells which.",
        evidence=evidence,
    )
