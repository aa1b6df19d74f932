from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.verify.controls import ControlResult
from loadcheck.verify.localize import Localized
from loadcheck.verify.observe import Observation, SettleResult
from loadcheck.verify.reconcile import reconcile
from loadcheck.verify.verdict import Consistency, SentCounts, Verdict, worst


def sent(acknowledged: int, indeterminate: int = 0, rejected: int = 0) -> SentCounts:
    return SentCounts(
        started=acknowledged + indeterminate + rejected,
        acknowledged=acknowledged,
        indeterminate=indeterminate,
        rejected=rejected,
    )


def counted(uniques: int, totals: int | None = None, *, settled: bool = True) -> SettleResult:
    last = Observation(asked_ns=1, answered_ns=2, as_of_ns=1, uniques=uniques, totals=totals)
    return SettleResult(last=last, settled=settled, waited_s=3.0)


def verdict(
    sent_: SentCounts,
    settlement: SettleResult | None,
    baseline: int | None = 0,
    isolation: Literal["filter", "baseline"] = "filter",
) -> Verdict:
    _, findings = reconcile(sent_, settlement, baseline=baseline, isolation=isolation)
    return worst(finding.verdict for finding in findings)


def test_everything_counted_once_is_a_pass() -> None:
    seen, findings = reconcile(sent(100), counted(100, 100), baseline=0, isolation="filter")
    assert (seen.lost_at_least, seen.unexpected, seen.duplicated) == (0, 0, 0)
    assert {finding.verdict for finding in findings} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("totals", "words"), [(100, "though 3 requests were"), (103, "3 requests loadcheck itself")]
)
def test_what_we_sent_again_is_named_beside_what_was_counted_twice(totals: int, words: str) -> None:
    again = replace(sent(100), sent_again=3)
    _, findings = reconcile(again, counted(100, totals), baseline=0, isolation="filter")
    (duplicated,) = [finding for finding in findings if finding.check == "duplicated"]
    assert words + " sent again" in duplicated.summary
    assert duplicated.evidence["sent_again"] == 3


@pytest.mark.parametrize("lost", [1, 7, 99, 100])
def test_missing_users_are_lost(lost: int) -> None:
    seen, findings = reconcile(sent(100), counted(100 - lost), baseline=0, isolation="filter")
    assert seen.lost_at_least == lost
    assert findings[0].verdict is Verdict.FAIL
    assert f"{lost:,} of 100" in findings[0].summary


def test_users_beyond_the_upper_bound_are_unexpected() -> None:
    seen, _ = reconcile(sent(100, 5, 20), counted(108), baseline=0, isolation="filter")
    assert (seen.unexpected, seen.recovered_at_most) == (3, 5)
    assert verdict(sent(100, 5, 20), counted(108)) is Verdict.FAIL


def test_events_beyond_users_are_duplicates() -> None:
    seen, _ = reconcile(sent(100), counted(100, 104), baseline=0, isolation="filter")
    assert seen.duplicated == 4
    assert verdict(sent(100), counted(100, 104)) is Verdict.FAIL


def test_within_the_band_the_counts_alone_prove_nothing() -> None:
    seen, findings = reconcile(sent(100, 10), counted(104), baseline=0, isolation="filter")
    assert (seen.lost_at_least, seen.lost_at_most) == (0, 6)
    assert (seen.recovered_at_most, seen.unexpected) == (4, 0)
    assert worst(finding.verdict for finding in findings) is Verdict.UNKNOWN
    assert "up to 6 could be missing" in findings[0].summary


def test_at_the_upper_end_of_the_band_nobody_can_be_missing() -> None:
    seen, findings = reconcile(sent(100, 10), counted(110), baseline=0, isolation="filter")
    assert (seen.lost_at_least, seen.lost_at_most, seen.recovered_at_most) == (0, 0, 10)
    assert worst(finding.verdict for finding in findings) is Verdict.PASS


def test_counts_by_bucket_decide_within_the_band() -> None:
    def judged(found: Localized) -> tuple[Consistency, Verdict]:
        seen, findings = reconcile(
            sent(100, 10), counted(104), baseline=0, isolation="filter", localized=found
        )
        return seen, worst(finding.verdict for finding in findings)

    seen, said = judged(Localized(recovered=4, lost_at_most=0))
    assert (seen.lost_at_least, seen.recovered_at_most, said) == (0, 4, Verdict.PASS)
    seen, said = judged(Localized(lost=(7, 9), recovered=6, lost_at_least=2, lost_at_most=2))
    assert (seen.lost_at_least, seen.recovered_at_most, said) == (2, 6, Verdict.FAIL)
    seen, said = judged(Localized(lost_suspects=3, lost_at_most=3))
    assert said is Verdict.UNKNOWN


def test_users_missing_from_a_service_that_shows_nobody_new_are_not_called_lost() -> None:
    silent, alive = (ControlResult(acknowledged=3, visible=n, unsent=0) for n in (0, 3))
    for controlled, expected in ((silent, Verdict.UNKNOWN), (alive, Verdict.FAIL)):
        seen, findings = reconcile(
            sent(100), counted(90), baseline=0, isolation="filter", controlled=controlled
        )
        assert worst(finding.verdict for finding in findings) is expected
        assert seen.lost == (None if controlled is silent else 10)


def test_a_query_that_counts_users_of_a_run_that_never_was_proves_nothing() -> None:
    seen, findings = reconcile(
        sent(100),
        counted(100),
        baseline=0,
        isolation="filter",
        controlled=ControlResult(unsent=5),
    )
    assert seen.uniques is None
    assert worst(finding.verdict for finding in findings) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "3.0 s"),
        (119, "119.0 s"),
        (150, "2.5 minutes"),
        (9000, "2.5 hours"),
        (864e3, "10.0 days"),
    ],
)
def test_how_long_it_was_waited_is_said_in_a_fitting_unit(seconds: float, words: str) -> None:
    settlement = replace(counted(90), waited_s=seconds)
    _, findings = reconcile(sent(100), settlement, baseline=0, isolation="filter")
    assert f"are missing {words} after the last acknowledgement" in findings[0].summary


@pytest.mark.parametrize(("uniques", "totals"), [(0, 73), (50, 49)])
def test_answers_that_do_not_add_up_are_no_evidence(uniques: int, totals: int) -> None:
    seen, findings = reconcile(sent(73), counted(uniques, totals), baseline=0, isolation="filter")
    assert (seen.uniques, seen.lost_at_least, seen.duplicated) == (None, None, None)
    assert findings[0].verdict is Verdict.UNKNOWN
    assert f"do not add up: {totals} events of {uniques} users" in findings[0].summary


def test_events_that_never_stood_still_with_the_users_prove_no_duplicate() -> None:
    moving = replace(counted(100), adrift=True)
    seen, findings = reconcile(sent(100), moving, baseline=0, isolation="filter")
    assert seen.duplicated is None
    (finding,) = [finding for finding in findings if finding.check == "duplicated"]
    assert finding.verdict is Verdict.UNKNOWN
    assert "no two answers in a row agreed" in finding.summary


def test_several_events_a_copy_are_no_duplicates() -> None:
    three = replace(sent(100), events_per_copy=3)
    for events, duplicated, missing in ((300, 0, 0), (304, 4, 0), (295, 0, 5)):
        seen, findings = reconcile(three, counted(100, events), baseline=0, isolation="filter")
        assert (seen.duplicated, seen.missing_events) == (duplicated, missing)
        failed = worst(finding.verdict for finding in findings) is Verdict.FAIL
        assert failed is bool(duplicated or missing)


@pytest.mark.parametrize(
    "settlement",
    [
        None,
        SettleResult(last=None, settled=False, waited_s=60),
        counted(100, settled=False),
    ],
    ids=["not asked", "no answer", "still moving"],
)
def test_without_evidence_it_is_unknown(settlement: SettleResult | None) -> None:
    assert verdict(sent(100), settlement) is Verdict.UNKNOWN


def test_missing_past_the_deadline_is_lost_although_the_count_still_moved() -> None:
    assert verdict(sent(100), counted(90, settled=False)) is Verdict.FAIL


def test_nothing_acknowledged_is_unknown() -> None:
    assert verdict(sent(0), counted(0)) is Verdict.UNKNOWN
    assert verdict(sent(0, rejected=10), counted(0)) is Verdict.UNKNOWN


def test_without_a_filter_the_count_before_is_taken_away_and_the_weakness_said() -> None:
    seen, findings = reconcile(sent(100), counted(150, 900), baseline=50, isolation="baseline")
    assert (seen.uniques, seen.lost_at_least, seen.duplicated) == (100, 0, None)
    assert "cannot tell this run's users" in findings[-1].summary
    assert verdict(sent(100), counted(150), None, "baseline") is Verdict.UNKNOWN


def test_a_filter_that_counts_users_before_they_were_sent_proves_nothing() -> None:
    assert verdict(sent(100), counted(100), 3, "filter") is Verdict.UNKNOWN


@given(
    acknowledged=st.integers(0, 50),
    indeterminate=st.integers(0, 20),
    rejected=st.integers(0, 20),
    data=st.data(),
)
def test_no_truth_is_contradicted(
    acknowledged: int, indeterminate: int, rejected: int, data: st.DataObject
) -> None:
    """Whatever was lost, recovered or a phantom: the bounds hold, and a pass hides no sure loss."""
    lost = data.draw(st.integers(0, acknowledged))
    recovered = data.draw(st.integers(0, indeterminate))
    phantoms = data.draw(st.integers(0, rejected))
    uniques = acknowledged - lost + recovered + phantoms
    given_sent = sent(acknowledged, indeterminate, rejected)
    seen, findings = reconcile(given_sent, counted(uniques), baseline=0, isolation="filter")
    assert seen.lost_at_least is not None
    assert seen.unexpected is not None
    assert seen.lost_at_least <= lost
    assert seen.unexpected <= phantoms
    said = worst(finding.verdict for finding in findings)
    if said is Verdict.PASS and indeterminate == 0 and phantoms == 0:
        assert lost == 0
    if said is Verdict.FAIL:
        assert lost or phantoms


def test_events_that_nobody_promised_are_not_missing() -> None:
    # three events each; ten copies have no clear answer, and may have arrived with one
    some = SentCounts(started=100, acknowledged=90, indeterminate=10, rejected=0, events_per_copy=3)
    for events, missing, verdict in (
        (300, 0, Verdict.PASS),
        (290, 0, Verdict.UNKNOWN),
        (280, 0, Verdict.UNKNOWN),
        (279, 1, Verdict.FAIL),
    ):
        seen, findings = reconcile(some, counted(100, events), baseline=0, isolation="filter")
        assert seen.missing_events == missing
        assert seen.missing_events_at_most == 300 - events
        told = [f.verdict for f in findings if f.check == "missing_events"]
        assert worst([*told, Verdict.PASS]) is verdict
