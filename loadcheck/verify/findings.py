"""Puts what the counts prove into findings: one sentence each, with numbers and a next step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from loadcheck.errors import all_of, many
from loadcheck.verify import Consistency, Finding, SentCounts, Verdict, sentences
from loadcheck.verify.controls import ControlResult, judge_controls
from loadcheck.verify.evidence import Claim, Proof, Reason, Terms
from loadcheck.verify.localize import Localized
from loadcheck.verify.naming import describe_losses


def _estimates(terms: Terms) -> str:
    """Return what to do if the service estimates; "" if its error is declared."""
    if terms.approximate:
        return ""
    return 'If the service returns estimates, declare their error: verify.approximate = "1%", say.'


def _beyond(terms: Terms) -> str:
    if not terms.approximate:
        return ""
    return f", beyond the {100 * terms.approximate:g} % that verify.approximate declares"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountEvidence:
    """What the findings on the counts rest on.

    Attributes:
        terms: What the answers were judged against.
        proof: What they prove.
        controlled: What the control users showed.
        error: Why the last unusable answer is not evidence; "" if all are usable.
        localized: What the counts by bucket show; None if they were not queried.
        named: The same with user ids and times, by
            :func:`~loadcheck.verify.naming.localized_to_json`.
        overtaken: Whether users sent after the missing ones are counted; None if not checked.
    """

    terms: Terms
    proof: Proof
    controlled: ControlResult
    error: str = ""
    localized: Localized | None = None
    named: Mapping[str, Any] | None = None
    overtaken: bool | None = None


def conclude(evidence: CountEvidence) -> tuple[Consistency, list[Finding]]:
    """Return what the counts prove as figures, and the findings that follow."""
    terms, proof = evidence.terms, evidence.proof
    seen = Consistency(
        lower=terms.lower,
        upper=terms.upper,
        waited_s=_waited_s(terms, proof),
        baseline=terms.baseline,
        isolation=terms.isolation,
        approximate=terms.approximate,
    )
    if proof.nothing is None:
        seen = _proven_figures(seen, evidence)
        findings = _Sentences(evidence, seen).findings()
    else:
        findings = [_unverified(terms.sent, _why_nothing(evidence), terms.baseline)]
    controls = judge_controls(evidence.controlled, terms.advice)
    return seen, findings + ([controls] if controls is not None else [])


def unasked(sent: SentCounts) -> Finding:
    """Return the finding that the service was not queried after the load."""
    return _unverified(sent, "the service was not asked after the load")


def _proven_figures(bounds: Consistency, evidence: CountEvidence) -> Consistency:
    """Return the bounds together with the figures that are proven."""
    proof, acknowledged = evidence.proof, evidence.terms.sent.acknowledged
    lost, events = proof.lost, proof.missing_events
    known = lost.verdict is not Verdict.UNKNOWN
    return replace(
        bounds,
        uniques=proof.uniques,
        totals=proof.totals,
        lost_at_least=lost.at_least,
        lost_at_most=lost.at_most,
        recovered_at_most=proof.recovered_at_most,
        unexpected=_proven(proof.unexpected),
        duplicated=_proven(proof.duplicated),
        missing_events=None if events.reason in _UNTOLD else events.at_least,
        missing_events_at_most=events.at_most,
        settled=proof.standing.settled,
        overtaken=evidence.overtaken,
        lost=lost.at_least if known or not acknowledged else None,
        disappeared=proof.disappeared.at_least,
    )


_UNTOLD = (Reason.ADRIFT, Reason.UNCOUNTED, Reason.CONFLICT, Reason.ROWS)


def _proven(claim: Claim) -> int | None:
    return None if claim.verdict is Verdict.UNKNOWN else claim.at_least


def _waited_s(terms: Terms, proof: Proof) -> float | None:
    """Return seconds from the last acknowledgement to the state that the count shows."""
    final = proof.standing.final
    return None if final is None else max(0.0, (final.as_of_ns - terms.since_ns) / 1e9)


def _unverified(sent: SentCounts, why: str, baseline: int | None = None) -> Finding:
    """Return the finding that the counts prove nothing, and why."""
    subject = (
        f"Whether the {many(sent.acknowledged, 'acknowledged users')} arrived"
        if sent.acknowledged
        else "No copy was acknowledged, and whether any arrived"
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


_NOTHING = {
    Reason.LEAKING: (
        "the query counts users of a run id that was never sent: its filter does not work"
    ),
    Reason.NO_BASELINE: "the baseline count failed, and the query has no filter for this run",
}


def _why_nothing(evidence: CountEvidence) -> str:
    terms, proof = evidence.terms, evidence.proof
    if proof.nothing is Reason.NO_ANSWER:
        why = "no query after the last acknowledgement returned an up-to-date count"
        return f"{why} ({evidence.error})" if evidence.error else why
    if proof.nothing in _NOTHING:
        return _NOTHING[proof.nothing]
    estimates = _estimates(terms).rstrip(".")
    if proof.nothing is Reason.INFLATED:
        why = f"the service counts more control users than were sent{_beyond(terms)}"
    elif proof.nothing is Reason.BROKEN_FILTER:
        return (
            f"the query counted {many(terms.baseline, 'users')} of this run before it began: its "
            "filter for the run does not work"
        )
    else:
        final = proof.standing.final
        assert final is not None
        why = (
            "the service's responses do not add up: "
            f"{many(proof.standing.totals or 0, 'events')} of {many(final.uniques, 'users')}"
        )
    return ". ".join(part for part in (why, estimates) if part)


class _Sentences:
    """The findings on one set of claims."""

    def __init__(self, evidence: CountEvidence, seen: Consistency) -> None:
        self._terms = evidence.terms
        self._sent = evidence.terms.sent
        self._proof = evidence.proof
        self._seen = seen
        self._localized = evidence.localized
        self._named = evidence.named

    def findings(self) -> list[Finding]:
        proof = self._proof
        findings = [self._lost()]
        if proof.disappeared.at_least:
            findings.append(self._disappeared())
        above = (self._seen.uniques or 0) > self._terms.upper
        if above or proof.unexpected.reason is not Reason.FOREIGN:
            findings.append(self._unexpected())
        if proof.duplicated.reason is not Reason.UNCOUNTED:
            findings.append(self._duplicated())
            missing, doubled = proof.missing_events, proof.duplicated
            # one sentence is enough where the counts of events show neither
            both = missing.reason in _UNTOLD and doubled.verdict is Verdict.UNKNOWN
            if missing.verdict is not Verdict.PASS and not both:
                findings.append(self._missing_events())
        if self._sent.acknowledged == 0:
            findings.append(self._nobody())
        if self._terms.isolation == "baseline":
            findings.append(self._isolation())
        return findings

    def _figures(self, *names: str) -> dict[str, Any]:
        """Return some of the proven figures, by name, as a finding's evidence."""
        return {name: getattr(self._seen, name) for name in names}

    # parts of sentences

    def _when(self) -> str:
        rest = "" if self._proof.standing.settled else ", while the count was still moving"
        return f"{_length(self._seen.waited_s or 0.0)} after the last acknowledgement{rest}"

    def _within(self) -> str:
        error = self._terms.approximate
        return f", within the {100 * error:g} % that verify.approximate declares" if error else ""

    def _hiding(self) -> str:
        """Return which copies can hide a missing user."""
        sent = self._sent
        hiding = [
            text
            for number, text in (
                (sent.indeterminate, many(sent.indeterminate, "indeterminate copies")),
                (sent.rejected, f"{sent.rejected:,} rejected ones"),
            )
            if number
        ]
        return " and ".join(hiding) or "users not sent by this run"

    def _told_apart(self, later: str) -> str:
        """Return how to name missing users, who can then be sent second events, and how to wait."""
        return sentences(self._terms.advice.name_users(), later)

    def _split_remedy(self) -> str:
        found = self._localized
        return self._terms.advice.tell_apart(None if found is None else found.trouble)

    # the findings

    def _lost(self) -> Finding:
        claim = self._proof.lost
        if claim.verdict is Verdict.FAIL:
            summary = self._missing(claim)
        elif claim.verdict is Verdict.PASS:
            summary = self._arrived()
        else:
            summary = self._open(claim)
        return Finding(
            check="lost",
            verdict=claim.verdict,
            summary=summary,
            evidence={
                "acknowledged": self._sent.acknowledged,
                "indeterminate": self._sent.indeterminate,
                **self._figures("uniques", "lost_at_least", "lost_at_most", "settled", "overtaken"),
                "reason": claim.reason.name.lower(),
            },
        )

    def _arrived(self) -> str:
        sent = self._sent
        recovered = (
            f" Of {many(sent.indeterminate, 'indeterminate copies')} "
            f"{self._seen.recovered_at_most or 0:,} arrived."
            if sent.indeterminate and not self._terms.approximate
            else ""
        )
        unnamed = (
            " Approximate counts cannot be compared by bucket: users missing within the error "
            "are not named."
            if self._terms.approximate
            else ""
        )
        everybody = all_of(sent.acknowledged, "acknowledged users were", start=True)
        counted = f"{everybody} counted {self._when()}"
        if self._terms.approximate:  # an estimate only allows that all of them arrived
            counted = (
                f"{many(self._seen.uniques or 0, 'users were')} counted {self._when()}, and "
                f"{sent.acknowledged:,} acknowledged"
            )
        return f"{counted}{self._within()}.{recovered}{unnamed}"

    def _missing(self, claim: Claim) -> str:
        exact = claim.at_most == claim.at_least
        number = f"{claim.at_least:,}" if exact else f"At least {claim.at_least:,}"
        most = ""
        if not exact and claim.at_most is not None:
            hide = "" if self._terms.approximate else f": {self._hiding()} may hide some"
            most = f" (at most {claim.at_most:,}{hide})"
        found = self._localized
        trouble = f" Not all could be named: {found.trouble}." if found and found.trouble else ""
        text = (
            f"{number} of {many(self._sent.acknowledged, 'acknowledged users')} "
            f"{'is' if number == '1' else 'are'} missing {self._when()}"
            f"{most}{_beyond(self._terms)}{describe_losses(self._named)}.{trouble}"
        )
        named, advice = self._named, self._terms.advice
        lost = () if named is None else named["lost"]
        every = named is not None and lost and not trouble and not named["ambiguous"]["lost"]
        return sentences(
            text,
            "" if lost or trouble else advice.name_users(),
            "" if every else advice.name_by_export(),
            advice.delayed(),
        )

    def _open(self, claim: Claim) -> str:
        """Return why it is unknown whether users are lost."""
        seen, sent, when = self._seen, self._sent, self._when()
        later = self._terms.advice.later()
        uniques = seen.uniques or 0
        by_bucket = self._localized.lost_at_least if self._localized else 0
        short = max(0, sent.acknowledged - uniques, by_bucket)
        counted = f"{many(uniques, 'users were')} counted {when}"
        missing = f"{short:,} of {many(sent.acknowledged, 'acknowledged users')} "
        missing += f"{'is' if short == 1 else 'are'} missing"
        neither = "it is unknown whether they are lost or late"
        stands, before = self._proof.standing, self._terms.before
        rows = self._localized.groups.contradiction if self._localized else ""
        controls = "so are all" if seen.overtaken is False else "so are some of the users"
        estimates = _estimates(self._terms)
        reasons = {
            Reason.CONFLICT: "Whether users are lost is unknown: the service contradicts itself. "
            f"It counted {many(stands.highest - before, 'users')}, and later only "
            f"{stands.lowest - before:,}; the last count is {uniques:,} ({when}), with "
            f"{sent.acknowledged:,} acknowledged. {later} {estimates}",
            Reason.ROWS: "Whether users are lost is unknown: the service's responses do not add "
            f"up: {rows}. {estimates}",
            Reason.APPROXIMATE: f"{missing} from the count of users, but all {seen.totals or 0:,} "
            "events are counted: the service contradicts itself, or its count of users is an "
            f"estimate. {estimates}",
            Reason.OLD: f"{missing} by the last count, which shows the state "
            f"{_length(seen.waited_s or 0.0)} after the last acknowledgement, before "
            f"verify.deadline: {neither}. {later}",
            Reason.CONTROLS: f"{missing} {when}, and {controls} sent later: {neither}. {later}",
            Reason.PART: f"{missing} {when}; but a delayed part of the service, which holds none "
            "of the control users, may hold all of them, so "
            f"{neither}. {self._told_apart(later)}",
            Reason.UNCONTROLLED: f"{missing} {when}; but without a filter for this run no "
            f"control users could be checked, so {neither}. Add the run id to the event and "
            "to the query's filter.",
            Reason.FOREIGN: f"{counted}, with {seen.lower:,} acknowledged; but without a filter "
            "for this run, users from other traffic may be among them and hide any number of "
            "missing ones. Add the run id to the event and to the query's filter.",
            Reason.UNSUPPORTED: f"{missing} {when}; but neither event counts nor counts by bucket "
            f"are available to confirm it, so {neither}. {later}",
            Reason.UNSPLIT: f"{counted}, as many as expected; but a total does not show which "
            f"users they are. {self._split_remedy()}",
            Reason.NOBODY: "No user was acknowledged, so none can be lost.",
            Reason.HIDDEN: f"{counted}, between {seen.lower:,} (acknowledged) and {seen.upper:,} "
            f"(including indeterminate); up to {claim.at_most or 0:,} could be missing, hidden by "
            f"{self._hiding()}{self._within()}. {self._split_remedy()}",
            Reason.MOVING: f"{missing} {when}: {neither}. {self._terms.advice.longer()}"
            if short
            else f"No loss is proven: the count was still moving {_length(seen.waited_s or 0.0)} "
            f"after the last acknowledgement. {self._terms.advice.longer()}",
        }
        return reasons[claim.reason].rstrip()

    def _disappeared(self) -> Finding:
        gone, stands = self._proof.disappeared.at_least, self._proof.standing
        before = self._terms.before
        return Finding(
            check="disappeared",
            verdict=Verdict.FAIL,
            summary=f"{_people(gone)} visible and disappeared: {stands.highest - before:,} were "
            f"counted at first, and {self._seen.uniques or 0:,} {self._when()}.",
            evidence={
                "disappeared": gone,
                "highest": stands.highest - before,
                "uniques": self._seen.uniques,
            },
        )

    def _unexpected(self) -> Finding:
        claim, seen, named = self._proof.unexpected, self._seen, self._named
        number = many(seen.uniques or 0, "users were")
        number += f" counted, but at most {many(seen.upper, 'were')} sent"
        if claim.verdict is Verdict.PASS:
            summary = "No unexpected users."
        elif claim.reason is Reason.FOREIGN:
            summary = (
                f"{number}: without a filter for the run, other traffic cannot be excluded. "
                "Add the run id to the event and to the query's filter."
            )
        elif claim.reason is Reason.HIDDEN:
            summary = (
                "It is unknown whether some of the "
                f"{many(self._sent.rejected, 'rejected copies were')} "
                f"counted: a total does not show which users it has. {self._split_remedy()}"
            )
        elif claim.verdict is Verdict.UNKNOWN:
            summary = f"It is unknown whether there are unexpected users: {_because(claim)}."
        elif self._localized is not None and named is not None and named["unexpected"]:
            first = named["unexpected"][0]["user_id"]
            summary = (
                f"{many(claim.at_least, 'users were')} counted although the service rejected them, "
                f"the first {first}: rejected requests take effect, so retries send twice."
            )
        else:
            summary = (
                f"{many(claim.at_least, 'unexpected users')}: more were counted than the "
                f"{seen.upper:,} that "
                "can have arrived. Rejected copies were counted, or other traffic was."
            )
        return Finding(
            check="unexpected",
            verdict=claim.verdict,
            summary=summary,
            evidence={"uniques": seen.uniques, "upper": seen.upper, "unexpected": seen.unexpected},
        )

    def _duplicated(self) -> Finding:
        claim, again = self._proof.duplicated, self._sent.sent_again
        if claim.verdict is Verdict.PASS:
            though = (
                f", although {many(again, 'requests were')} resent because idle connections were "
                "closing"
                if again
                else ""
            )
            summary = f"No duplicated events{though}."
        elif claim.reason is Reason.ADRIFT:
            summary = (
                "It is unknown whether events are duplicated: no two consecutive responses agreed "
                f"on users and events {self._when()}. {self._terms.advice.later()}"
            )
        elif claim.reason is Reason.HIDDEN:
            summary = (
                "It is unknown whether events are duplicated: equally many could be missing, with "
                f"the same total. {self._split_remedy()}"
            )
        elif claim.verdict is Verdict.UNKNOWN:
            summary = f"It is unknown whether events are duplicated: {_because(claim)}."
        else:
            summary = self._doubled(claim)
        return Finding(
            check="duplicated",
            verdict=claim.verdict,
            summary=summary,
            evidence={**self._figures("totals", "uniques", "duplicated"), "sent_again": again},
        )

    def _doubled(self, claim: Claim) -> str:
        seen, named = self._seen, self._named
        users = named["duplicated"] if named is not None else ()
        who = ""
        if named is not None and users:
            rest = named["ambiguous"]["duplicated"]
            unnamed = f"; {many(rest, 'events')} could not be attributed to a user" if rest else ""
            who = f" {_users(len(users))} them, the first {users[0]['user_id']}{unnamed}."
        again = self._sent.sent_again
        ours = (
            f" loadcheck itself resent {many(again, 'requests')} because idle connections were "
            "closing (retry.stale = false turns that off)."
            if again
            else ""
        )
        each, events = self._sent.events_per_copy, self._sent.events
        beyond = f"{'one' if each == 1 else f'{each:,}'} per user"
        if events is not None:
            beyond = f"the {events.possible:,} sent"
        text = (
            f"{many(claim.at_least, 'events were')} counted beyond {beyond} "
            f"({many(seen.totals, 'events')} of {many(seen.uniques, 'users')}): retries were not "
            f"deduplicated, or the pipeline repeated them.{ours}{who}"
        )
        advice = self._terms.advice
        return sentences(text, "" if users else advice.name_users(), advice.list_events())

    def _missing_events(self) -> Finding:
        claim, seen, events = self._proof.missing_events, self._seen, self._sent.events
        counted = (
            f"each user sent {self._sent.events_per_copy:,}, and {seen.totals:,} of "
            f"{many(seen.uniques, 'users were')} counted"
        )
        if events is not None:
            counted = (
                f"{many(events.acknowledged, 'events were')} acknowledged, and {seen.totals:,} of "
                f"{many(seen.uniques, 'users were')} counted"
            )
        if claim.verdict is Verdict.FAIL:
            number = many(claim.at_least, "events")
            if claim.at_least != claim.at_most:
                number = f"At least {number}"
            summary = sentences(
                f"{number} of counted users {'is' if claim.at_least == 1 else 'are'} missing: "
                f"{counted}.",
                self._terms.advice.list_events(),
            )
        elif claim.reason is Reason.HIDDEN:
            summary = sentences(
                f"Up to {many(claim.at_most or 0, 'events')} of acknowledged users could be "
                f"missing: {counted}; duplicated events, or unacknowledged copies that arrived in "
                "part, may hide them.",
                self._terms.advice.list_events(),
            )
        else:
            summary = (
                f"It is unknown whether events of acknowledged users are missing: {counted}, and "
                f"{_because(claim)}."
            )
        return Finding(
            check="missing_events",
            verdict=claim.verdict,
            summary=summary,
            evidence=self._figures("totals", "uniques", "missing_events", "missing_events_at_most"),
        )

    def _nobody(self) -> Finding:
        sent = self._sent
        return Finding(
            check="acknowledged",
            verdict=Verdict.UNKNOWN,
            summary="No copy was acknowledged, so nothing can be lost: check the responses of the "
            "ingest step.",
            evidence={"started": sent.started, "rejected": sent.rejected},
        )

    def _isolation(self) -> Finding:
        baseline = self._terms.baseline
        return Finding(
            check="isolation",
            verdict=Verdict.PASS,
            summary="The query has no filter for this run: the count is compared against a "
            f"baseline of {baseline:,} taken before it, and other traffic since then counts as "
            "this run's. Add the run id to the event and to the query's filter.",
            evidence={"baseline": baseline},
        )


def _because(claim: Claim) -> str:
    return claim.reason.value


def _length(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _people(number: int) -> str:
    return "One user was" if number == 1 else many(number, "users were")


def _users(number: int) -> str:
    return "One user has" if number == 1 else many(number, "users have")
