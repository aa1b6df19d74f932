"""Mixes that once were judged wrongly, one by one. In each the truth is on record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from loadcheck.verify import Verdict
from tests.property.verdict_fuzz.mixes import ABSURD
from tests.property.verdict_fuzz.oracle import contradictions, truth_of
from tests.property.verdict_fuzz.play import Mix, Trial, play
from tests.property.verdict_fuzz.service import Answers, Behaviour, Pick

OPEN = {"model": "open", "rate": 100, "duration": "1s"}
SHORT = {"every": "200ms", "quiet": "1500ms", "deadline": "6s", "timeout": "1s"}


def judged(wrong: Behaviour, **mix: Any) -> Trial:
    """Play a mix, and see that nothing is said that is not so."""
    trial = play(Mix(name="named", behaviour=wrong, **mix))
    assert not trial.crash, trial.crash
    problems = list(contradictions(trial))
    assert not problems, "\n".join([*problems, trial.findings()])
    return trial


def said(trial: Trial) -> str:
    return trial.consistent.value


def named(trial: Trial, kind: str) -> list[int]:
    return [user["copy"] for user in (trial.seen["localized"] or {}).get(kind, ())]


def seeds(*, first: int = 0, number: int) -> list[Any]:
    """Return seeds of the same mix: one is played always, the others by the long tests."""
    long = (pytest.param(seed, marks=pytest.mark.long) for seed in range(first + 1, first + number))
    return [first, *long]


# 1, 2: sums that fit


@pytest.mark.parametrize("status", [400, 429, 503])
@pytest.mark.parametrize("localize", [True, False])
def test_refused_but_stored_hides_as_many_that_are_lost(status: int, *, localize: bool) -> None:
    wrong = Behaviour(refuse_stored=Pick(first=3), refuse_status=status, lose=Pick(first=6))
    trial = judged(wrong, verify={"localize": localize})
    assert len(truth_of(trial).lost) == len(truth_of(trial).unexpected) == 3
    assert said(trial) == ("fail" if localize else "unknown"), trial.findings()
    if localize:
        assert set(named(trial, "lost")) <= {3, 4, 5}


@pytest.mark.parametrize("seed", seeds(number=3))
def test_as_many_strangers_as_lost(seed: int) -> None:
    trial = judged(Behaviour(lose=Pick(first=3), phantoms=3), seed=seed)
    assert trial.service.events
    assert said(trial) == "fail", trial.findings()


@pytest.mark.parametrize("seed", seeds(number=3))
def test_as_many_events_twice_as_lost(seed: int) -> None:
    wrong = Behaviour(lose_event=Pick(first=3), duplicate=Pick(window=(0.04, 0.06)))
    trial = judged(wrong, load={**OPEN, "events_per_copy": 3}, seed=seed)
    truth = truth_of(trial)
    assert truth.duplicated
    assert truth.short
    assert said(trial) == "fail", trial.findings()


# 3, 4, 5: answers that are old, that dip, that disagree


def test_the_age_of_a_count_is_not_the_clock() -> None:
    wrong = Behaviour(lag="fixed", lag_s=1.2, fail=Answers(window=(0.3, 1e9)))
    trial = judged(wrong, load={"model": "open", "rate": 250, "duration": "2s"})
    assert said(trial) == "unknown", trial.findings()
    assert not trial.seen["lost_at_least"]


def test_a_dip_at_the_beginning() -> None:
    wrong = Behaviour(dips=((0.1, 2.6, 0.02),))
    trial = judged(wrong, verify={**SHORT, "deadline": "3s"}, load={**OPEN, "rate": 300})
    assert said(trial) in ("pass", "unknown"), trial.findings()


@pytest.mark.parametrize("routing", ["alternate", "random"])
@pytest.mark.parametrize("seed", seeds(number=2))
def test_replicas_that_disagree_accuse_nobody(routing: str, seed: int) -> None:
    wrong = Behaviour(replicas=2, replica_hides=0.06, routing=routing)
    trial = judged(wrong, load={"model": "open", "rate": 300, "duration": "2s"}, seed=seed)
    assert said(trial) != "fail", trial.findings()
    assert not named(trial, "lost")


def test_groups_from_a_replica_that_shows_nobody() -> None:
    wrong = Behaviour(replicas=2, replica_hides=1.0, split_replica=True)
    trial = judged(wrong, load=OPEN)
    assert said(trial) != "fail", trial.findings()
    assert not named(trial, "lost")


# 6: late, not lost


@pytest.mark.parametrize("seed", seeds(number=6))
def test_a_late_partition_is_not_lost(seed: int) -> None:
    trial = judged(Behaviour(late_shard=seed), load=OPEN, seed=seed)
    assert truth_of(trial).late
    assert said(trial) == "unknown", trial.findings()
    assert not named(trial, "lost")


@pytest.mark.parametrize("seed", seeds(number=3))
def test_the_lost_are_proven_by_others_of_their_own(seed: int) -> None:
    trial = judged(Behaviour(lose=Pick(first=4)), load=OPEN, seed=seed)
    assert said(trial) == "fail", trial.findings()
    assert named(trial, "lost") == [0, 1, 2, 3]


# 7: approximate and contradictory


@pytest.mark.parametrize("bias", [-0.01, 0.01])
def test_approximate_counts_that_nobody_declared(bias: float) -> None:
    wrong = Behaviour(bias=bias)
    trial = judged(wrong, load={"model": "open", "rate": 500, "duration": "2s"})
    assert said(trial) == "unknown", trial.findings()
    assert "approximate" in trial.findings()


@pytest.mark.parametrize("bias", [-0.008, 0.008])
def test_an_error_that_is_declared(bias: float) -> None:
    trial = judged(
        Behaviour(bias=bias, approximate_rows=True),
        load={"model": "open", "rate": 500, "duration": "2s"},
        verify={"approximate": "1%"},
    )
    assert said(trial) in ("pass", "unknown"), trial.findings()


@pytest.mark.parametrize("copies", [31, 400])
@pytest.mark.parametrize("seed", seeds(first=1, number=3))
def test_a_late_partition_of_unnamed_users_is_not_lost(seed: int, copies: int) -> None:
    load = {"model": "closed", "concurrency": 13, "copies": copies}
    trial = judged(Behaviour(late_shard=seed), load=load, verify={"approximate": "1%"}, seed=seed)
    assert truth_of(trial).late
    assert said(trial) == "unknown", trial.findings()


def test_an_estimate_leaves_lost_and_duplicated_events_open() -> None:
    trial = judged(
        Behaviour(lose_event=Pick(first=4), duplicate=Pick(rate=0.1)),
        load={"model": "open", "rate": 500, "duration": "1s", "events_per_copy": 3},
        verify={"approximate": "1%"},
    )
    assert said(trial) != "pass", trial.findings()


def test_control_users_beyond_a_declared_error_are_no_evidence() -> None:
    # the first answer about them only, so that nothing else is in doubt
    absurd = Answers(kinds=("control",), first=1)
    trial = judged(
        Behaviour(lose=Pick(rate=0.3), absurd=absurd, absurd_value=1_000_000),
        load={"model": "closed", "concurrency": 13, "copies": 31},
        verify={"approximate": "1%"},
    )
    assert said(trial) == "unknown", trial.findings()
    assert "verify.approximate =" not in trial.findings()


def test_more_is_lost_than_the_error_that_is_declared() -> None:
    trial = judged(
        Behaviour(bias=0.005, lose=Pick(rate=0.15)),
        load={"model": "open", "rate": 500, "duration": "2s"},
        verify={"approximate": "1%"},
    )
    assert said(trial) == "fail", trial.findings()


def test_rows_that_do_not_add_up_to_the_count() -> None:
    trial = judged(
        Behaviour(bias=-0.012),
        load={"model": "open", "rate": 500, "duration": "1s"},
        thresholds=("visible.p95 < 1s", "visible.max < 60m"),
    )
    assert said(trial) == "unknown", trial.findings()
    # nor are they evidence of when users became visible
    assert trial.seen["visibility"] is None
    assert {each["verdict"] for each in trial.document["thresholds"]} == {"unknown"}


# 8: a failed question is no answer


def test_controls_that_nobody_tells_of_are_not_none() -> None:
    wrong = Behaviour(lose=Pick(first=3), fail=Answers(kinds=("control",)))
    trial = judged(wrong, load=OPEN)
    assert said(trial) == "unknown", trial.findings()
    assert "none of them is counted" not in trial.findings()


@pytest.mark.parametrize("seed", seeds(number=4))
def test_a_control_question_that_fails_takes_no_proof_away(seed: int) -> None:
    wrong = Behaviour(lose=Pick(first=3), fail=Answers(rate=0.4, kinds=("control",)))
    trial = judged(wrong, load=OPEN, seed=seed)
    assert said(trial) == "fail", trial.findings()


# 9: exit codes


def test_unknown_comes_before_a_broken_threshold() -> None:
    wrong = Behaviour(fail=Answers(window=(-9.0, 1e9)))
    trial = judged(wrong, load=OPEN, thresholds=("uploadEvents.p99 < 1us",))
    assert (said(trial), trial.code) == ("unknown", 3)
    assert {entry["verdict"] for entry in trial.document["thresholds"]} == {"fail"}


def test_a_broken_threshold_of_a_consistent_run() -> None:
    trial = judged(Behaviour(), load=OPEN, thresholds=("uploadEvents.p99 < 1us",))
    assert (said(trial), trial.code) == ("pass", 5)


# 10: absurd values, and time


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: repr(value)[:24])
@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_an_absurd_value_is_no_evidence(value: object, rate: float) -> None:
    wrong = Behaviour(absurd=Answers(rate=rate), absurd_value=value)
    trial = judged(wrong, load=OPEN, verify=SHORT)
    assert said(trial) == "unknown" if rate == 1.0 else said(trial) in ("pass", "unknown")


@pytest.mark.parametrize("how", ["timeout", "500", "429", "lost"])
@pytest.mark.parametrize("kind", ["uniques", "totals", "split", "control"])
def test_dead_queries_hold_up_nobody(how: str, kind: str) -> None:
    wrong = Behaviour(
        lose=Pick(first=3), fail=Answers(kinds=(kind,), window=(0.2, 1e9)), fail_how=how
    )
    judged(wrong, load={**OPEN, "events_per_copy": 2}, verify=SHORT)


def test_slow_queries_hold_up_nobody() -> None:
    wrong = Behaviour(lose=Pick(first=3), slow=Answers(), slow_s=0.9)
    judged(wrong, load=OPEN, verify=SHORT)


def test_where_nobody_was_acknowledged_asking_ends_at_once() -> None:
    trial = judged(Behaviour(refuse=Pick(rate=1.0, controls=True)), load=OPEN)
    assert said(trial) == "unknown"
    assert trial.over_s - trial.load_over_s < 3.0


# 11: figures


def test_those_without_an_answer_that_arrived() -> None:
    wrong = Behaviour(unclear=Pick(first=10), unclear_landed=1.0, lose=Pick(first=13))
    trial = judged(wrong, load=OPEN)
    assert trial.seen["recovered_at_most"] == 10
    assert said(trial) == "fail", trial.findings()


@pytest.mark.parametrize("seed", seeds(number=5))
def test_percentiles_of_a_heavy_tail_are_inside_their_bounds(seed: int) -> None:
    judged(heavy_tail(), load={"model": "open", "rate": 150, "duration": "2s"}, seed=seed)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_heavy_tails() -> None:
    load = {"model": "open", "rate": 150, "duration": "2s"}
    wrong = []
    for seed in range(100, 200):
        trial = play(Mix(name="heavy tail", behaviour=heavy_tail(), load=load, seed=seed))
        wrong += [f"seed {seed}: {text}" for text in contradictions(trial)]
    assert len({text.partition(":")[0] for text in wrong}) <= 1, "\n".join(wrong)


def heavy_tail() -> Behaviour:
    return Behaviour(lag="lognormal", lag_s=1.0, lag_p99_s=20.0)


def test_a_cache_that_denies_it_leaves_no_lag_that_contradicts_itself() -> None:
    judged(
        Behaviour(lose=Pick(rate=0.03), lag="fixed", lag_s=1.49, cache_s=30.0, cache_tells=False),
        load={"model": "open", "rate": 138, "duration": "1400ms", "events_per_copy": 3},
        verify={"every": "250ms", "quiet": "2s", "deadline": "10s", "cache": "respect"},
        seed=80293,
    )


# 12: intervals, and empty answers


def test_a_limit_inside_of_what_is_known_is_unknown() -> None:
    trial = judged(
        Behaviour(lag="fixed", lag_s=8.0),
        load=OPEN,
        verify={"every": "14s", "quiet": "15s"},
        thresholds=("visible.p95 < 10s",),
    )
    (limit,) = trial.document["thresholds"]
    assert limit["verdict"] != "fail"
    assert said(trial) == "pass", trial.findings()


@pytest.mark.parametrize("how", ["series", "400"])
def test_an_empty_answer_makes_nobody_wait_longer(how: str) -> None:
    wrong = Behaviour(empty=Answers(window=(-9.0, 15.0)), empty_how=how)
    trial = judged(wrong, load=OPEN)
    assert said(trial) == "pass", trial.findings()
    assert trial.over_s - trial.load_over_s < 22.0


# 14, 15: without a filter; names


@pytest.mark.parametrize("rate", [0.0, 20.0])
def test_foreign_traffic_beside_a_run_without_a_filter(rate: float) -> None:
    trial = judged(Behaviour(earlier=40, foreign_rate=rate), load=OPEN, filtered=False)
    assert said(trial) != "fail", trial.findings()
    if rate:
        assert said(trial) == "unknown", trial.findings()
        assert "All 100 acknowledged users were counted" not in trial.findings()


def test_names_are_the_ids_that_were_sent() -> None:
    trial = judged(
        Behaviour(lose=Pick(first=2)),
        load=OPEN,
        inputs={"userId": "acct-{$copy.number}@example.test"},
    )
    assert said(trial) == "fail", trial.findings()
    lost = [user["user_id"] for user in trial.seen["localized"]["lost"]]
    assert lost == ["acct-0@example.test", "acct-1@example.test"]


@pytest.mark.parametrize("absent", [{}, {"absent": 0}])
def test_a_service_that_has_no_zeros(absent: dict[str, int]) -> None:
    trial = judged(Behaviour(no_zeros=True, lag="fixed", lag_s=3.0), load=OPEN, verify=absent)
    assert said(trial) == "pass", trial.findings()
    trial = judged(Behaviour(no_zeros=True, lose=Pick(rate=1.0)), load=OPEN, verify=absent)
    assert said(trial) == ("fail" if absent else "unknown"), trial.findings()


def test_what_is_no_json_is_no_zero_either() -> None:
    wrong = Behaviour(fail=Answers(rate=0.3), fail_how="text", no_zeros=True)
    trial = judged(wrong, verify={"absent": 0}, seed=3)
    assert said(trial) == "pass", trial.findings()
    errors = [seen["error"] for seen in trial.seen["observations"]]
    assert any("is not JSON" in error for error in errors)


def test_decimal_strings_are_counts() -> None:
    trial = judged(Behaviour(texts=True), load=OPEN)
    assert said(trial) == "pass", trial.findings()


def test_verdicts_have_three_values() -> None:
    assert {verdict.value for verdict in Verdict} == {"pass", "fail", "unknown"}


# services that lie by design: they estimate, cap, round, leave out


@pytest.mark.parametrize("lost", [0, 3])
@pytest.mark.parametrize(
    "wrong",
    [
        Behaviour(sampled=0.1),
        Behaviour(sampled=0.5),
        Behaviour(capped=80),
        Behaviour(rounded=100),
        Behaviour(bots=True),
        Behaviour(swaps=4),
        Behaviour(swaps=3),
        Behaviour(other_row=3),
        Behaviour(replicas=2, replica_lag_s=3.0, routing="alternate"),
    ],
    ids=["sample", "half", "cap", "round", "bots", "swaps", "swaps-more", "other-row", "stale"],
)
@pytest.mark.parametrize("seed", seeds(number=2))
def test_a_service_that_lies_by_design_neither_passes_losses_nor_accuses(
    wrong: Behaviour, lost: int, seed: int
) -> None:
    lossy = replace(wrong, lose=Pick(first=lost) if lost else None)
    load = {"model": "open", "rate": 100, "duration": "2s"}
    mix = Mix(name="named", behaviour=lossy, load=load, verify=SHORT, seed=seed)
    trial = play(mix)
    assert not trial.crash, trial.crash
    problems = [text for text in contradictions(trial) if not text.startswith("lag:")]
    assert not problems, "\n".join([*problems, trial.findings()])
    assert said(trial) == "unknown" or said(trial) == ("fail" if lost else "pass")
