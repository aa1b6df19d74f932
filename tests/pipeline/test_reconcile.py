"""What an export proves, beside what the service counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from pyroaring import BitMap

from loadcheck.pipeline.reconcile import LaterAnswer, _renew_lag, exact_findings, rejudge
from loadcheck.verify import OWN_CHECKS, Consistency, Finding, SentCounts, Verdict
from loadcheck.verify.controls import ControlResult
from loadcheck.verify.evidence import ControlEvidence, Observation, Terms, prove
from loadcheck.verify.export import Compared
from loadcheck.verify.findings import CountEvidence, conclude
from loadcheck.verify.judge import broken
from loadcheck.verify.session import VerificationResult

EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example-burst.json"
SENT = SentCounts(started=100, acknowledged=100, indeterminate=0, rejected=0)


def counted(uniques: int, totals: int, sent: SentCounts = SENT) -> Consistency:
    terms = Terms(sent=sent, since_ns=0, deadline_ns=1, quiet_ns=1)
    answers = [
        Observation(asked_ns=ns, answered_ns=ns, as_of_ns=ns, uniques=uniques, totals=totals)
        for ns in (1, 2)
    ]
    proof = prove(terms, answers, controls=ControlEvidence(counted=True))
    seen, _ = conclude(CountEvidence(terms=terms, proof=proof, controlled=ControlResult()))
    return seen


def answer(seen: Consistency, *findings: Finding) -> VerificationResult:
    return VerificationResult(
        consistency=seen,
        findings=list(findings),
        visibility=None,
        localized=None,
        controlled=ControlResult(),
        believed=True,
    )


@pytest.mark.parametrize(
    ("uniques", "totals", "missing", "verdict"),
    [
        (100, 100, 0, Verdict.PASS),
        (97, 97, 3, Verdict.FAIL),
        (100, 100, 40, Verdict.UNKNOWN),  # counted, and not yet exported
        (97, 97, 40, Verdict.UNKNOWN),
    ],
)
def test_an_export_that_lacks_more_than_the_count_is_not_complete(
    uniques: int, totals: int, missing: int, verdict: Verdict
) -> None:
    found = Compared(events=100 - missing, lost=BitMap(range(missing)))
    lost, *others = exact_findings(found, SENT, counted(uniques, totals))
    assert (lost.check, lost.verdict) == ("lost", verdict)
    # of what is not exported yet nothing is known
    whole = Verdict.UNKNOWN if verdict is Verdict.UNKNOWN else Verdict.PASS
    assert {one.verdict for one in others} == {whole}


def test_users_of_whom_events_are_missing_are_lost_although_they_are_counted() -> None:
    several = replace(SENT, events_per_copy=2)
    seen = counted(100, 199, several)
    lost = exact_findings(Compared(events=199, lost=BitMap([7])), several, seen)[0]
    assert lost.verdict is Verdict.FAIL


def test_without_a_count_the_export_has_the_word() -> None:
    seen = Consistency.unasked(SENT)
    assert exact_findings(Compared(lost=BitMap([7])), SENT, seen)[0].verdict is Verdict.FAIL


@pytest.mark.parametrize("check", sorted(OWN_CHECKS))
def test_what_the_run_itself_left_unknown_stays_unknown(check: str) -> None:
    document = orjson.loads(EXAMPLE.read_bytes())
    document["findings"].append(broken(check, ValueError("five")).to_json())
    users = document["consistency"]["uniques"]
    sent = SentCounts(started=users, acknowledged=users, indeterminate=0, rejected=0)
    arrived = Finding(check="lost", verdict=Verdict.PASS, summary="")
    again = LaterAnswer(
        sent=sent, verified=answer(counted(users, users, sent), arrived), compared=None
    )
    renewed = rejudge(document, again, [], now="2026-01-01T00:00:00Z", unsaved=0, export=None)
    assert (renewed.consistent, renewed.verdict) == (Verdict.PASS, Verdict.UNKNOWN)
    assert check in {each["check"] for each in renewed.document["findings"]}


@pytest.mark.parametrize("believed", [True, False])
def test_only_answers_that_agree_tell_when_users_were_counted(believed: bool) -> None:
    document = orjson.loads(EXAMPLE.read_bytes())
    section = document["consistency"]
    section["visibility"], users = None, section["uniques"]
    sent = SentCounts(started=users, acknowledged=users, indeterminate=0, rejected=0)
    _renew_lag(document, replace(answer(counted(users, users, sent)), believed=believed))
    assert (section["visibility"] is not None) == believed
