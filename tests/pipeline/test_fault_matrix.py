"""Every way in which the emulator can misbehave, and what must be said of it.

The verdict is held against what the service really holds, and against its record of whom a fault
hit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from loadcheck.emulator.config.faults import KINDS
from loadcheck.errors import many
from loadcheck.verify import Verdict
from tests.pipeline.in_process_run import JudgedRun, Mix, run_mix

COPIES = 120
ALL, ONCE = {"attempts": 12, "backoff": "20ms", "max_backoff": "100ms"}, {"attempts": 1}


@dataclass(frozen=True)
class Case:
    """A fault and what must come of it.

    Attributes:
        name: What it is about.
        faults: What is planted.
        verdict: Of consistency.
        told: What must be true besides.
        retry: The scenario's answer to failed attempts.
        load: Beside the copies and how many at once.
        verify: Beside the arena's own.
        emulator: Beside the faults.
    """

    name: str
    faults: Mapping[str, Any]
    verdict: Verdict
    told: Callable[[JudgedRun], None]
    retry: Mapping[str, Any] = field(default_factory=lambda: ALL)
    load: Mapping[str, Any] = field(default_factory=dict)
    verify: Mapping[str, Any] = field(default_factory=dict)
    emulator: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def hit(run: JudgedRun, kind: str) -> set[int]:
    """Return the copies that a fault hit, as the emulator recorded it."""
    prefix = f"lc-{run.document['run']['id']}-"
    return {int(user.removeprefix(prefix)) for user in run.truth.hits[kind]}


def nothing_is_lost(run: JudgedRun) -> None:
    """Everybody arrived once, and nobody says otherwise."""
    assert run.truth.hits[next(iter(run.mix.emulator["faults"]))], "the fault hit nobody"
    assert (run.missing, run.surplus, run.unexpected) == (set(), 0, set())
    seen = run.seen
    assert (seen["lost_at_least"], seen["duplicated"], seen["unexpected"]) == (0, 0, 0)
    assert seen["uniques"] == len(run.truth.visible)
    assert len(run.ledger.acknowledged) == COPIES


def nobody_is_accused(run: JudgedRun) -> None:
    """Some ended without a clear answer, but nobody who was acknowledged is called lost."""
    assert (run.missing, run.unexpected) == (set(), set())
    assert not run.seen["lost_at_least"]
    assert not run.seen["unexpected"]
    assert run.named("lost") == run.named("unexpected") == set()


def the_dropped_are_named(run: JudgedRun) -> None:
    dropped = hit(run, "drop")
    assert dropped == run.missing == run.named("lost")
    seen = run.seen
    assert seen["lost_at_least"] == seen["lost_at_most"] == len(dropped)
    summary = run.finding("lost")["summary"]
    are = "is" if len(dropped) == 1 else "are"
    assert f"{len(dropped)} of {COPIES} acknowledged users {are} missing" in summary
    for user in seen["localized"]["lost"]:
        assert user["user_id"] in run.truth.hits["drop"]
        assert user["sent_at"]


def the_window_is_told(run: JudgedRun) -> None:
    dropped = hit(run, "drop")
    assert dropped == run.missing
    assert run.seen["lost_at_least"] == run.seen["lost_at_most"] == len(dropped)
    windows, named = run.seen["localized"]["windows"], run.named("lost")
    within = {
        number
        for window in windows
        for number in range(window["first_copy"], window["last_copy"] + 1)
    }
    assert dropped <= named | within
    assert named <= dropped
    assert sum(window["lost"] for window in windows) == len(dropped)


def the_doubled_are_named(run: JudgedRun) -> None:
    doubled = hit(run, "duplicate")
    assert run.seen["duplicated"] == run.surplus == len(doubled) > 0
    assert run.named("duplicated") == doubled
    assert run.missing == set()
    events = many(len(doubled), "events were")
    assert f"{events} counted beyond one per user" in run.finding("duplicated")["summary"]


def nothing_is_proven(run: JudgedRun) -> None:
    """A service that tells nothing, or nothing new, proves neither loss nor arrival."""
    assert not run.named("lost")
    assert not any(finding["verdict"] == "fail" for finding in run.document["findings"])


def refused_and_not_counted(run: JudgedRun) -> None:
    assert len(run.ledger.rejected) == len(hit(run, "refuse")) == 30
    assert run.truth.visible.keys() == set(run.ledger.acknowledged)
    assert run.seen["unexpected"] == 0


def the_late_are_missing(run: JudgedRun) -> None:
    """Whoever is later than the deadline is missing, by name; others sent later are counted."""
    late = hit(run, "late_visibility")
    assert run.missing == late == run.named("lost")
    assert run.seen["lost_at_least"] == len(late)
    assert run.seen["visibility"]["never"] == len(late)
    assert run.seen["overtaken"] is True
    assert len(run.truth.stored) == COPIES


PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
SOME = {"rate": 0.2}
CASES = [
    Case("drop", {"drop": {"count": 7, "among": COPIES}}, FAIL, the_dropped_are_named),
    Case("drop one", {"drop": {"count": 1, "first": 60}}, FAIL, the_dropped_are_named),
    Case("drop a window", {"drop": {"count": 40, "first": 30}}, FAIL, the_window_is_told),
    Case(
        "drop for a time",
        {"drop": {"after": "200ms", "lasting": "300ms"}},
        FAIL,
        the_window_is_told,
        load={"model": "open", "rate": COPIES, "duration": "1s"},
    ),
    Case("duplicate", {"duplicate": {"count": 5, "among": COPIES}}, FAIL, the_doubled_are_named),
    Case("miscount", {"miscount": SOME}, PASS, nobody_is_accused),
    Case(
        "late acknowledgement",
        {"late_ack": {"count": 9, "among": COPIES}},
        PASS,
        nothing_is_lost,
    ),
    Case(
        "late acknowledgement, sent once",
        {"late_ack": {"count": 9, "among": COPIES}},
        PASS,
        nobody_is_accused,
        ONCE,
    ),
    Case(
        "slow visibility",
        {"late_visibility": {"rate": 0.3, "delay": "400ms"}},
        PASS,
        nothing_is_lost,
    ),
    Case(
        "visible after the deadline",
        {"late_visibility": {"count": 6, "among": COPIES, "delay": "1h"}},
        FAIL,
        the_late_are_missing,
        # the others must have been counted before it, also on a busy machine
        verify={"deadline": "5s"},
    ),
    Case(
        "everybody visible after the deadline",
        {"late_visibility": {"rate": 1.0, "delay": "1h"}},
        UNKNOWN,
        nothing_is_proven,
    ),
    Case("error before the commit", {"error_before_commit": SOME}, PASS, nothing_is_lost),
    Case(
        "error before the commit, sent once",
        {"error_before_commit": {"count": 9, "among": COPIES}},
        PASS,
        nobody_is_accused,
        ONCE,
    ),
    Case("error after the commit", {"error_after_commit": SOME}, PASS, nothing_is_lost),
    Case(
        "error after the commit, sent once",
        {"error_after_commit": {"count": 9, "among": COPIES}},
        PASS,
        nobody_is_accused,
        ONCE,
    ),
    Case("reset before the commit", {"reset_before_commit": SOME}, PASS, nothing_is_lost),
    Case("reset in the answer", {"reset_during_answer": SOME}, PASS, nothing_is_lost),
    Case("reset after the commit", {"reset_after_commit": SOME}, PASS, nothing_is_lost),
    Case(
        "reset after the commit, sent once",
        {"reset_after_commit": {"count": 9, "among": COPIES}},
        PASS,
        nobody_is_accused,
        ONCE,
    ),
    Case("throttling", {"throttle": SOME}, PASS, nothing_is_lost),
    Case(
        "throttled queries",
        {"throttle": {"rate": 0.3, "on": "queries"}},
        PASS,
        nobody_is_accused,
        verify={"deadline": "5s"},
    ),
    Case(
        "queries throttled for ever",
        {"throttle": {"on": "queries"}},
        UNKNOWN,
        nothing_is_proven,
    ),
    Case(
        "refusal",
        {"refuse": {"count": 30, "among": COPIES, "on": "uploads"}},
        PASS,
        refused_and_not_counted,
    ),
    Case("queries refused", {"refuse": {"on": "queries"}}, UNKNOWN, nothing_is_proven),
    Case("slow answers", {"slow": {"rate": 0.3, "delay": "100ms"}}, PASS, nothing_is_lost),
    Case(
        "slow with a heavy tail",
        {"slow": {"delay": {"median": "10ms", "p99": "200ms"}}},
        PASS,
        nothing_is_lost,
    ),
    Case(
        "a stall",
        {"stall": {"after": "200ms", "lasting": "400ms", "on": "uploads"}},
        PASS,
        nothing_is_lost,
        load={"model": "open", "rate": COPIES, "duration": "1s"},
    ),
    Case("truncated answers", {"truncated_json": SOME}, PASS, nobody_is_accused),
    Case(
        "truncated answers of queries",
        {"truncated_json": {"rate": 0.5, "on": "queries"}},
        PASS,
        nobody_is_accused,
        verify={"deadline": "5s"},
    ),
    Case("malformed answers", {"malformed_json": SOME}, PASS, nobody_is_accused),
    Case(
        "malformed answers of queries",
        {"malformed_json": {"on": "queries"}},
        UNKNOWN,
        nothing_is_proven,
    ),
    Case(
        "frozen counts",
        {"frozen_counts": {"after": "50ms"}},
        UNKNOWN,
        nothing_is_proven,
        load={"model": "open", "rate": COPIES, "duration": "1s"},
    ),
    Case(
        "counts frozen for a while",
        {"frozen_counts": {"after": "50ms", "lasting": "900ms"}},
        PASS,
        nobody_is_accused,
    ),
    Case(
        "a stale cache",
        {"stale_cache": {"after": "0ms"}},
        UNKNOWN,
        nothing_is_proven,
        verify={"cache": "respect"},
    ),
    Case(
        "a stale cache that is got past", {"stale_cache": {"after": "0ms"}}, PASS, nobody_is_accused
    ),
    Case(
        "a cache that is stale for a while",
        {"stale_cache": {"after": "0ms", "lasting": "900ms"}},
        PASS,
        nobody_is_accused,
    ),
]


NAMING = (the_dropped_are_named, the_doubled_are_named, the_window_is_told, the_late_are_missing)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "case",
    # every third in each run of the tests, all of them in the long one
    [
        case if number % 3 == 0 else pytest.param(case, marks=pytest.mark.long)
        for number, case in enumerate(CASES)
    ],
    ids=str,
)
async def test_what_is_said_of(case: Case) -> None:
    closed = {"model": "closed", "concurrency": 8, "copies": COPIES}
    mix = Mix(
        emulator={"visibility_delay": "50ms", **case.emulator, "faults": case.faults},
        load=case.load or closed,
        # names take several queries, which a busy machine must have the time for
        verify=({"timeout": "10s"} if case.told in NAMING else {}) | dict(case.verify),
        retry=case.retry,
    )
    run = await run_mix(mix)
    assert run.consistent is case.verdict, [f["summary"] for f in run.document["findings"]]
    case.told(run)


def test_no_fault_is_left_out() -> None:
    assert {kind for case in CASES for kind in case.faults} == set(KINDS)
