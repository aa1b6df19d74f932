"""The rules of evidence: one by one, and against what any consistent service could have been."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from loadcheck.verify import Advice, Consistency, EventBounds, Finding, SentCounts, Verdict, worst
from loadcheck.verify.controls import ControlResult
from loadcheck.verify.evidence import (
    ControlEvidence,
    Groups,
    Observation,
    Proof,
    Reason,
    Terms,
    prove,
    standing,
)
from loadcheck.verify.findings import CountEvidence, conclude
from loadcheck.verify.localize import Localized, SentCopies, deduce_lost
from loadcheck.verify.localize import build_localized as conclude_groups
from loadcheck.verify.query_client import BucketCounts
from loadcheck.workflow.identity import SEQUENCE, Buckets, size

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
S = 1_000_000_000
DEADLINE_S, QUIET_S = 10, 2


def terms(acknowledged: int, indeterminate: int = 0, rejected: int = 0, *, each: int = 1) -> Terms:
    sent = SentCounts(
        started=acknowledged + indeterminate + rejected,
        acknowledged=acknowledged,
        indeterminate=indeterminate,
        rejected=rejected,
        events_per_copy=each,
    )
    return Terms(sent=sent, since_ns=0, deadline_ns=DEADLINE_S * S, quiet_ns=QUIET_S * S)


def at(seconds: float, uniques: int | None, totals: int | None = None) -> Observation:
    ns = int(seconds * S)
    return Observation(asked_ns=ns, answered_ns=ns + 1, as_of_ns=ns, uniques=uniques, totals=totals)


def steady(uniques: int, totals: int | None = None) -> list[Observation]:
    """Return answers that stay the same to the deadline; events as many as users unless told."""
    events = uniques if totals is None else totals
    return [at(second, uniques, events) for second in range(DEADLINE_S + 1)]


def said(proof: Proof) -> Verdict:
    claims = (proof.lost, proof.disappeared, proof.unexpected, proof.duplicated)
    return worst(claim.verdict for claim in (*claims, proof.missing_events))


def shown_by(
    terms_: Terms, seen: Sequence[Observation], groups: Groups | None = None, **controls: Any
) -> Proof:
    return prove(terms_, seen, groups, ControlEvidence(**controls))


def told(
    terms_: Terms, seen: Sequence[Observation], groups: Groups | None = None, **controls: Any
) -> tuple[Consistency, list[Finding]]:
    proof = shown_by(terms_, seen, groups, **controls)
    controlled = ControlResult(unsent=5) if controls.get("leaking") else ControlResult()
    found = None if groups is None else Localized(groups=groups, trouble=groups.trouble)
    return conclude(
        CountEvidence(terms=terms_, proof=proof, controlled=controlled, localized=found)
    )


# one by one


def test_everything_counted_once_is_a_pass() -> None:
    seen, findings = told(terms(100), steady(100))
    assert (seen.lost, seen.unexpected, seen.duplicated, seen.disappeared) == (0, 0, 0, 0)
    assert {finding.verdict for finding in findings} == {PASS}


@pytest.mark.parametrize(
    ("totals", "words"),
    [(100, "although 3 requests were resent"), (103, "itself resent 3 requests")],
)
def test_what_we_sent_again_is_named_beside_what_was_counted_twice(totals: int, words: str) -> None:
    again = terms(100)
    again = replace(again, sent=replace(again.sent, sent_again=3))
    _, findings = told(again, steady(100, totals))
    (duplicated,) = [finding for finding in findings if finding.check == "duplicated"]
    assert words in duplicated.summary
    assert duplicated.evidence["sent_again"] == 3


@pytest.mark.parametrize("lost", [1, 7, 99, 100])
def test_missing_users_are_lost(lost: int) -> None:
    seen, findings = told(terms(100), steady(100 - lost), counted=True)
    assert seen.lost == seen.lost_at_least == seen.lost_at_most == lost
    assert findings[0].verdict is FAIL
    assert f"{lost:,} of 100" in findings[0].summary


def test_1_a_loss_rests_on_the_state_at_the_deadline_and_its_age_is_told() -> None:
    # one answer after the last acknowledgement, then nothing but failures
    answers = [at(0, 127), *(at(second, None) for second in range(1, 30))]
    seen, findings = told(terms(500), answers)
    assert (seen.lost, seen.lost_at_least, seen.waited_s) == (None, 0, 0.0)
    assert findings[0].verdict is UNKNOWN
    assert "the state 0.0 s after the last acknowledgement, before" in findings[0].summary
    # an answer out of a cache is as old as it says
    cached = Observation(asked_ns=11 * S, answered_ns=11 * S, as_of_ns=9 * S, uniques=127)
    assert shown_by(terms(500), [*steady(127)[:8], cached]).lost.reason is Reason.OLD
    assert shown_by(terms(500), steady(127)).lost.verdict is FAIL


def test_1_what_still_moves_at_the_deadline_is_late_rather_than_lost() -> None:
    answers = [at(second, 80 + second) for second in range(DEADLINE_S + 1)]
    assert shown_by(terms(100), answers).lost.reason is Reason.MOVING


def test_2_a_dip_that_is_over_proves_nothing() -> None:
    dip = [*(at(second / 10, 500) for second in range(5)), at(1, 494), at(2, 494)]
    after = [at(second, 500) for second in range(3, 11)]
    assert standing(terms(500), dip).conflict
    assert not standing(terms(500), dip).enough  # asked on
    assert shown_by(terms(500), [*dip, *after]).lost.verdict is PASS
    in_doubt = shown_by(terms(500), [*dip, at(3, 500)])
    # contradicting answers bound nothing: others may stand in for whoever is lost
    assert (in_doubt.lost.verdict, in_doubt.lost.at_most) == (UNKNOWN, 500)


def test_2_answers_that_alternate_prove_nothing_and_both_numbers_are_told() -> None:
    answers = [at(second / 2, 600 if second % 2 else 563) for second in range(25)]
    seen, findings = told(terms(600), answers)
    assert (seen.lost, seen.disappeared) == (None, 0)
    assert findings[0].verdict is UNKNOWN
    assert "600 users, and later only 563" in findings[0].summary
    assert "verify.approximate" in findings[0].summary


def test_2_who_was_visible_and_steadily_is_not_any_more_has_disappeared() -> None:
    answers = [at(0, 500), at(1, 500), *(at(second, 494) for second in range(2, 12))]
    seen, findings = told(terms(500), answers, counted=True)
    assert seen.disappeared == 6
    (finding,) = [finding for finding in findings if finding.check == "disappeared"]
    assert finding.verdict is FAIL
    assert "6 users were visible and disappeared: 500 were counted" in finding.summary
    # whether or not all others are there
    fewer = [at(0, 110), *(at(second, 105) for second in range(2, 12))]
    assert shown_by(terms(100, 10), fewer).disappeared.at_least == 5
    # a few answers may all come from a replica that is behind
    assert not standing(terms(500), [at(0, 500), at(9, 494), at(12, 494)]).gone


def test_2_more_than_can_have_arrived_and_then_as_many_as_should_is_no_disappearance() -> None:
    after = [at(second, 500, 500) for second in range(2, 12)]
    proof = shown_by(terms(500), [at(0, 503), at(1, 503), *after])
    assert (proof.disappeared.at_least, proof.lost.verdict) == (0, UNKNOWN)
    # one absurd answer among many is none
    assert said(shown_by(terms(500), [at(0, 500), at(1, 1_000_000), *after])) is PASS


def test_3_refused_copies_that_were_counted_can_hide_lost_ones() -> None:
    seen, findings = told(terms(100, 0, 3), steady(100))
    assert (seen.lost, seen.lost_at_least, seen.lost_at_most, seen.unexpected) == (None, 0, 3, None)
    assert {f.check: f.verdict for f in findings}["lost"] is UNKNOWN
    assert "up to 3 could be missing, hidden by 3 rejected ones" in findings[0].summary
    # all of them short: as many can hide more
    proof = shown_by(terms(100, 2, 3), steady(97), counted=True)
    assert (proof.lost.at_least, proof.lost.at_most) == (3, 8)


def test_3_without_a_count_by_bucket_a_sum_proves_nothing_of_members_where_it_could() -> None:
    splits = replace(terms(100), splits=True, advice=Advice(localizes=False))
    seen, findings = told(splits, steady(100))
    assert (seen.lost, seen.lost_at_most) == (None, 100)
    assert "verify.localize = true" in findings[0].summary
    assert findings[1].verdict is UNKNOWN  # nor of users that nobody sent
    good = Groups(uniques=100, totals=100, as_of_ns=DEADLINE_S * S, lost_at_most=0, exact=True)
    assert said(shown_by(splits, steady(100), good)) is PASS
    # rows of another count are none of this one's
    assert shown_by(splits, steady(100), replace(good, uniques=99)).lost.reason is Reason.UNSPLIT


def test_3_lost_users_and_foreign_ones_are_told_apart_by_bucket() -> None:
    groups = Groups(
        uniques=100, as_of_ns=DEADLINE_S * S, lost_at_least=3, lost_at_most=None, unexpected=3
    )
    proof = shown_by(replace(terms(100), splits=True), steady(100), groups, counted=True)
    assert (proof.lost.verdict, proof.lost.at_least, proof.lost.at_most) == (FAIL, 3, 100)
    assert (proof.unexpected.verdict, proof.unexpected.at_least) == (FAIL, 3)
    early = replace(groups, as_of_ns=0)
    assert shown_by(terms(100), steady(100), early, counted=True).lost.reason is Reason.OLD


def test_3_lost_and_duplicated_events_make_up_for_each_other() -> None:
    three = terms(100, each=3)
    assert shown_by(three, steady(100, 300)).duplicated.reason is Reason.HIDDEN
    good = Groups(uniques=100, totals=300, lost_at_most=0, exact=True, balanced=True)
    assert said(shown_by(three, steady(100, 300), good)) is PASS
    bad = replace(good, duplicated=3, missing_events=3)
    proof = shown_by(three, steady(100, 300), bad)
    assert (proof.duplicated.at_least, proof.missing_events.at_least) == (3, 3)
    assert said(proof) is FAIL


@pytest.mark.parametrize(("uniques", "totals"), [(0, 73), (50, 49)])
def test_4_users_and_events_that_do_not_add_up_are_no_evidence(uniques: int, totals: int) -> None:
    seen, findings = told(terms(73), steady(uniques, totals))
    assert (seen.uniques, seen.lost_at_least, seen.duplicated) == (None, None, None)
    assert findings[0].verdict is UNKNOWN
    assert f"do not add up: {totals} events of {uniques} users" in findings[0].summary


def test_4_missing_users_none_of_whose_events_are_missing_may_be_an_estimate() -> None:
    seen, findings = told(terms(1000), steady(990, 1000), counted=True)
    assert (seen.lost, seen.duplicated, seen.lost_at_least) == (None, None, 0)
    assert {f.check: f.verdict for f in findings}["lost"] is UNKNOWN
    assert 'verify.approximate = "1%"' in findings[0].summary
    # lost and duplicated in different buckets: no estimate
    groups = Groups(
        uniques=990,
        totals=1000,
        as_of_ns=DEADLINE_S * S,
        lost_at_least=10,
        lost_at_most=10,
        complete=False,
        duplicated=10,
    )
    proof = shown_by(terms(1000), steady(990, 1000), groups, counted=True)
    assert (proof.lost.at_least, proof.duplicated.at_least) == (10, 10)


def test_4_rows_that_do_not_add_up_to_the_count_make_both_no_evidence() -> None:
    groups = Groups(contradiction="its rows add up to 500, the count without groups is 494")
    seen, findings = told(terms(500), steady(494), groups, counted=True)
    assert (seen.lost, seen.lost_at_least, seen.lost_at_most) == (None, 0, 500)
    assert worst(finding.verdict for finding in findings) is UNKNOWN
    assert "add up to 500" in findings[0].summary
    assert "verify.approximate" in findings[0].summary


def test_4_a_declared_error_widens_the_bounds_and_is_told() -> None:
    about = replace(terms(1000), approximate=0.01)
    for uniques, verdict in ((1000, PASS), (991, PASS), (1009, PASS), (980, FAIL), (1020, FAIL)):
        seen, findings = told(about, steady(uniques, 1000), counted=True)
        assert worst(finding.verdict for finding in findings) is verdict, uniques
        assert seen.approximate == 0.01
        if verdict is PASS:
            assert "within the 1 % that verify.approximate declares" in findings[0].summary
    seen, _ = told(about, steady(980, 980), counted=True)
    assert (seen.lost_at_least, seen.lost_at_most) == (11, 29)
    # estimates that waver within it do not contradict each other
    wavering = [at(second, 1000 + (-1) ** second * 9, 1000) for second in range(12)]
    assert shown_by(about, wavering).lost.verdict is PASS
    # at its very border, too
    for error in (0.005, 0.01, 0.03, 0.05, 0.07, 0.15):
        for sent in range(1, 3_000):
            about = replace(terms(sent), approximate=error)
            assert about.least(math.floor(sent * (1 + error) + 1e-9)) <= sent
            assert about.most(math.ceil(sent * (1 - error) - 1e-9)) >= sent
    # unclear answers can hide more than the error
    unclear = replace(terms(1000, 100), approximate=0.01)
    assert shown_by(unclear, steady(1000)).lost.verdict is UNKNOWN


def test_5_answers_that_are_no_evidence_are_no_zero() -> None:
    nothing = [at(second, None) for second in range(12)]
    assert shown_by(terms(100), nothing).nothing is Reason.NO_ANSWER
    assert shown_by(terms(100), []).nothing is Reason.NO_ANSWER


@pytest.mark.parametrize("counted", [True, False, None])
def test_6_missing_users_are_late_if_users_sent_later_are_missing_too(counted: bool) -> None:
    seen, findings = told(terms(100), steady(90), counted=counted)
    assert worst(f.verdict for f in findings) is (UNKNOWN if counted is False else FAIL)
    assert (seen.lost, seen.lost_at_least) == ((None, 0) if counted is False else (10, 10))


def test_4_a_loss_that_one_kind_of_count_tells_alone_is_not_proven() -> None:
    split = replace(terms(100), splits=True)
    alone = [replace(seen, totals=None) for seen in steady(98)]
    lost = shown_by(split, alone, counted=True).lost
    assert (lost.verdict, lost.at_least, lost.reason) == (UNKNOWN, 0, Reason.UNSUPPORTED)
    assert shown_by(split, steady(98), counted=True).lost.verdict is FAIL


def test_4_one_answer_of_too_many_is_a_slip_and_two_are_a_contradiction() -> None:
    after = [at(second, 119) for second in range(3, DEADLINE_S + 1)]
    once = [at(0, 119), at(1, 121), at(2, 119)]
    assert not standing(terms(119), once).enough
    assert shown_by(terms(119), [*once, *after]).lost.verdict is PASS
    twice = [*once, at(3, 121), at(4, 119)]
    assert shown_by(terms(119), [*twice, *after[2:]]).lost.reason is Reason.CONFLICT


def test_9_without_a_filter_nobody_can_be_told_from_others() -> None:
    base = replace(terms(100), isolation="baseline", baseline=50)
    seen, findings = told(base, steady(150, 900))
    assert (seen.uniques, seen.lost, seen.duplicated, seen.lost_at_most) == (100, None, None, 100)
    assert worst(f.verdict for f in findings) is UNKNOWN
    assert "no filter for this run" in findings[-1].summary
    seen, findings = told(base, steady(400, 900))
    assert (worst(f.verdict for f in findings), seen.unexpected) == (UNKNOWN, None)
    # and no users can be sent later that would tell the late from the lost
    seen, findings = told(base, steady(140, 900))
    assert (seen.lost, seen.lost_at_least, seen.lost_at_most) == (None, 0, 100)
    assert "no control users could be checked" in findings[0].summary
    assert shown_by(replace(base, baseline=None), steady(150)).nothing is Reason.NO_BASELINE


def test_a_filter_that_does_not_work_proves_nothing() -> None:
    assert shown_by(replace(terms(100), baseline=3), steady(103)).nothing is Reason.BROKEN_FILTER
    assert shown_by(terms(100), steady(100), leaking=True).nothing is Reason.LEAKING
    seen, findings = told(terms(100), steady(100), leaking=True)
    assert (seen.uniques, worst(f.verdict for f in findings)) == (None, UNKNOWN)


def test_nothing_acknowledged_is_unknown() -> None:
    assert told(terms(0), steady(0))[1][0].verdict is UNKNOWN
    assert said(shown_by(terms(0, 0, 10), steady(0))) is UNKNOWN


def test_the_band_of_unclear_answers() -> None:
    seen, findings = told(terms(100, 10), steady(104))
    assert (seen.lost_at_least, seen.lost_at_most, seen.recovered_at_most) == (0, 6, 10)
    assert "up to 6 could be missing" in findings[0].summary
    seen, findings = told(terms(100, 10), steady(110))
    assert (seen.lost, seen.lost_at_most, seen.recovered_at_most) == (0, 0, 10)
    groups = Groups(uniques=104, as_of_ns=DEADLINE_S * S, exact=True, lost_at_most=0)
    seen, _ = told(terms(100, 10), steady(104), groups)
    assert (seen.lost, seen.recovered_at_most) == (0, 4)


def test_events_that_nobody_promised_are_not_missing() -> None:
    # three events each; ten copies have no clear answer, and may have arrived with one
    some = terms(90, 10, each=3)
    for events, missing, verdict in ((290, 0, UNKNOWN), (280, 0, UNKNOWN), (279, 1, FAIL)):
        claim = shown_by(some, steady(100, events)).missing_events
        assert (claim.at_least, claim.verdict) == (missing, verdict)
    # nor are those that another answer counted
    answers = [*steady(100, 300), at(11, 100, 297), at(12, 100, 297)]
    assert shown_by(terms(100, each=3), answers).missing_events.reason is Reason.CONFLICT
    # users that nobody sent promised nothing either
    assert shown_by(terms(100, each=3), steady(105, 305)).missing_events.at_least == 0


def test_events_that_never_stood_still_with_the_users_prove_no_duplicate() -> None:
    moving = [at(second, 100, 100 + second) for second in range(12)]
    seen, findings = told(terms(100), moving)
    assert seen.duplicated is None
    (finding,) = [finding for finding in findings if finding.check == "duplicated"]
    assert finding.verdict is UNKNOWN
    assert "no two consecutive responses agreed" in finding.summary


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (12, "12.0 s"),
        (119, "119.0 s"),
        (150, "2.5 minutes"),
        (9000, "2.5 hours"),
        (864e3, "10.0 days"),
    ],
)
def test_how_old_the_count_is_is_said_in_a_fitting_unit(seconds: float, words: str) -> None:
    _, findings = told(terms(100), [*steady(90), at(seconds, 90)])
    assert f"are missing {words} after the last acknowledgement" in findings[0].summary


# against all that could have been


@dataclass(frozen=True)
class World:
    """What a service could have done with every copy."""

    lost: int
    recovered: int
    stored: int
    foreign: int

    @property
    def faulty(self) -> bool:
        return bool(self.lost or self.stored or self.foreign)


def worlds(
    counts: tuple[int, ...], groups: tuple[tuple[int, int, int], ...], foreign: bool
) -> Iterator[World]:
    """Yield every world in which each bucket's count is what the service said it is."""
    for chosen in itertools.product(
        *(itertools.product(range(a + 1), range(i + 1), range(r + 1)) for a, i, r in groups)
    ):
        rest = [
            count - (a - lost) - recovered - stored
            for count, (a, _, _), (lost, recovered, stored) in zip(
                counts, groups, chosen, strict=True
            )
        ]
        if all(left >= 0 for left in rest) and (foreign or not any(rest)):
            lost, recovered, stored = (sum(column) for column in zip(*chosen, strict=True))
            yield World(lost, recovered, stored, sum(rest))


outcomes = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=150, deadline=None)
@given(sent=outcomes, data=st.data(), baseline=st.booleans())
def test_a_sum_proves_what_is_so_in_every_world_that_has_it(
    sent: tuple[int, int, int], data: st.DataObject, *, baseline: bool
) -> None:
    count = data.draw(st.integers(0, sum(sent) + 2))
    # who draws the run's id at random meets nobody else's users, unless there is no filter or
    # more are counted than were ever sent
    possible = list(worlds((count,), (sent,), foreign=baseline or count > sent[0] + sent[1]))
    _compare(replace(terms(*sent), isolation="baseline" if baseline else "filter"), count, possible)


@settings(max_examples=150, deadline=None)
@given(buckets=st.lists(outcomes, min_size=1, max_size=3), data=st.data())
def test_a_count_by_bucket_proves_what_is_so_in_every_world_that_has_it(
    buckets: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    buckets = [(a, i, 0) for a, i, _ in buckets]  # refused copies: by further partitions
    counts = tuple(data.draw(st.integers(0, sum(bucket) + 1)) for bucket in buckets)
    width = 10
    outcome: tuple[list[int], list[int]] = ([], [])
    for place, (acknowledged, unclear, _) in enumerate(buckets):
        first = place * width
        outcome[0].extend(range(first, first + acknowledged))
        outcome[1].extend(range(first + acknowledged, first + acknowledged + unclear))
    copies = SentCopies(
        Buckets(run_id="run", copies=9000),
        acknowledged=BitMap(outcome[0]),
        indeterminate=BitMap(outcome[1]),
        rejected=BitMap(),
    )
    observed = np.zeros(size(SEQUENCE), dtype=np.int64)
    observed[: len(counts)] = counts
    deduction = deduce_lost(copies, [BucketCounts(name=SEQUENCE, counts=observed)])
    base = Groups(uniques=sum(counts), totals=sum(counts), as_of_ns=DEADLINE_S * S)
    found = conclude_groups(copies, deduction, None, base)
    # one that nobody sent cannot hide a missing one but in its own bucket
    surplus = any(count > a + i for count, (a, i, _) in zip(counts, buckets, strict=True))
    possible = list(worlds(counts, tuple(buckets), foreign=surplus))
    sent = (len(outcome[0]), len(outcome[1]), 0)
    _compare(replace(terms(*sent), splits=True), sum(counts), possible, found.groups)
    for number in found.lost:
        place = number // width
        assert counts[place] == 0 or all(
            world.lost for world in worlds((counts[place],), (buckets[place],), foreign=False)
        )


def _compare(
    terms_: Terms, count: int, possible: list[World], groups: Groups | None = None
) -> None:
    """Hold what is said against all worlds that the counts allow."""
    proof = shown_by(terms_, steady(count), groups, counted=True)
    if not possible:
        return
    lost = [world.lost for world in possible]
    assert proof.lost.at_least <= min(lost)
    assert proof.lost.at_most is None or proof.lost.at_most >= max(lost)
    assert proof.recovered_at_most is not None
    assert proof.recovered_at_most >= max(world.recovered for world in possible)
    if proof.lost.verdict is FAIL:
        assert all(lost)
    if proof.lost.verdict is PASS:
        assert not any(lost)
    if proof.unexpected.verdict is FAIL:
        assert proof.unexpected.at_least <= min(w.stored + w.foreign for w in possible)
    if proof.unexpected.verdict is PASS:
        assert not any(world.stored for world in possible)
    if said(proof) is PASS:
        assert not any(world.faulty for world in possible)
    if said(proof) is FAIL:
        assert all(world.faulty for world in possible)


@settings(max_examples=200, deadline=None)
@given(
    true=st.lists(st.integers(0, 20), min_size=1, max_size=11),
    behind=st.lists(st.integers(0, 5), min_size=11, max_size=11),
)
def test_a_replica_that_is_behind_makes_nobody_lost_who_is_counted(
    true: list[int], behind: list[int]
) -> None:
    """Answers tell the state of now or of a while ago; whoever is counted stays counted."""
    grown = np.maximum.accumulate([*true, *[0] * (11 - len(true))]).tolist()
    answers = [at(second, grown[max(0, second - late)]) for second, late in enumerate(behind)]
    proof = shown_by(terms(20), answers, counted=True)
    if proof.lost.verdict is FAIL:
        assert max(seen.uniques or 0 for seen in answers) < 20
    if proof.lost.verdict is PASS:
        assert grown[-1] == 20


def test_unexpected_users_are_not_proven_unless_the_filter_is() -> None:
    found = shown_by(terms(100), steady(103), leaking=None)  # nobody said what an unsent run counts
    assert (found.unexpected.verdict, found.unexpected.reason) == (UNKNOWN, Reason.LEAKING)
    assert shown_by(terms(100), steady(103), leaking=False).unexpected.verdict is FAIL


def test_events_that_an_earlier_answer_counted_are_not_missing() -> None:
    various = terms(100)
    events = EventBounds(acknowledged=150, indeterminate=0, rejected=0)
    various = replace(various, sent=replace(various.sent, events=events))
    found = shown_by(various, steady(100, 148), counted=True).missing_events
    assert (found.verdict, found.at_least) == (FAIL, 2)
    once = [*steady(100, 148)[:3], at(3, 100, 150), *steady(100, 148)[4:]]
    found = shown_by(various, once, counted=True).missing_events
    assert (found.verdict, found.reason) == (UNKNOWN, Reason.CONFLICT)


def test_beside_duplicated_events_more_may_be_missing_than_were_found() -> None:
    """Seven dropped, five doubled, one of each in one bucket: six and four are seen."""
    various = terms(100)
    events = EventBounds(acknowledged=150, indeterminate=0, rejected=0)
    various = replace(various, sent=replace(various.sent, events=events))
    base = steady(100, 148)
    groups = Groups(
        uniques=100,
        totals=148,
        as_of_ns=base[-1].as_of_ns,
        missing_events=6,
        duplicated=4,
        lost_at_most=0,
        exact=True,
        balanced=True,
    )
    found = shown_by(various, base, groups=groups, counted=True)
    assert (found.missing_events.verdict, found.missing_events.at_least) == (FAIL, 6)
    assert found.missing_events.at_most is not None
    assert found.missing_events.at_most >= 7
    alone = shown_by(various, base, groups=replace(groups, duplicated=0), counted=True)
    assert alone.missing_events.at_most == 6


def test_4_control_users_that_nobody_sent_take_the_evidence_from_all_counts() -> None:
    assert shown_by(terms(100), steady(189), inflated=True).nothing is Reason.INFLATED
    approximate = replace(terms(100), approximate=0.5)
    assert shown_by(approximate, steady(100), inflated=True).nothing is Reason.INFLATED


def test_4_without_buckets_only_what_nobody_sent_is_a_duplicate() -> None:
    split = replace(terms(36, 0, 1, each=3), splits=True)
    # 94 events of 30 users: an estimate may leave a user out who sent them
    found = shown_by(split, steady(30, 94), counted=False).duplicated
    assert (found.verdict, found.reason, found.at_least) == (UNKNOWN, Reason.UNSPLIT, 0)
    # 37 copies can have sent 111
    found = shown_by(split, steady(36, 114)).duplicated
    assert (found.verdict, found.at_least) == (FAIL, 3)


def test_3_events_of_an_estimate_can_make_up_for_each_other() -> None:
    about = replace(terms(100, each=3), approximate=0.01)
    found = shown_by(about, steady(100, 300))
    assert (found.duplicated.verdict, found.missing_events.verdict) == (UNKNOWN, UNKNOWN)
    one = replace(terms(100), approximate=0.01)
    assert shown_by(one, steady(100, 100)).duplicated.verdict is PASS


def test_9_other_traffic_may_send_events_twice() -> None:
    base = replace(terms(49), isolation="baseline")
    found = shown_by(base, steady(64, 70)).duplicated
    assert (found.verdict, found.reason) == (UNKNOWN, Reason.FOREIGN)


def test_3_events_that_users_who_were_not_sent_may_lack_are_open() -> None:
    three = terms(133, 0, 13, each=3)
    base = steady(143, 436)
    groups = Groups(
        uniques=143,
        totals=436,
        as_of_ns=base[-1].as_of_ns,
        lost_at_least=3,
        lost_at_most=3,
        exact=True,
        unexpected=13,
        missing_events=1,
        duplicated=8,
        balanced=True,
    )
    found = shown_by(three, base, groups=groups, counted=True).missing_events
    assert found.verdict is UNKNOWN
    assert found.at_most


def test_4_a_single_impossible_count_of_events_leaves_missing_ones_told() -> None:
    answers = [*steady(34, 65)[:-2], at(8.5, 34, 1_000_000), *steady(34, 65)[-2:]]
    groups = Groups(uniques=34, totals=65, as_of_ns=DEADLINE_S * S, lost_at_most=0, balanced=True)
    _, findings = told(terms(34, each=2), answers, groups, counted=True)
    verdicts = {finding.check: finding.verdict for finding in findings}
    assert (verdicts["duplicated"], verdicts["missing_events"]) == (PASS, UNKNOWN)


@pytest.mark.parametrize(
    ("missing", "alone", "verdict"),
    [(1, 3, UNKNOWN), (1, 300, FAIL), (10, 28, UNKNOWN), (10, 29, FAIL), (1, None, FAIL)],
)
def test_6_fresh_users_alone_prove_a_loss_that_chance_would_have_shown_them(
    missing: int, alone: int | None, verdict: Verdict
) -> None:
    found = shown_by(terms(100), steady(100 - missing), counted=True, alone=alone).lost
    assert found.verdict is verdict
    assert (found.reason is Reason.PART) == (verdict is UNKNOWN)
    assert found.at_most == missing
