"""The oracle contradicts what is not so: each lie is told once, on top of a run that is fine."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from loadcheck.verify import Verdict
from tests.property.verdict_fuzz.oracle import contradictions, decides, truth_of
from tests.property.verdict_fuzz.play import Mix, Trial, play
from tests.property.verdict_fuzz.service import Behaviour, Pick
from tests.property.verdict_fuzz.virtual_time import StuckError, VirtualClock, run_virtual

LOAD = {"model": "open", "rate": 100, "duration": "500ms"}


def played(wrong: Behaviour | None = None) -> Trial:
    trial = play(Mix(behaviour=wrong or Behaviour(), load=LOAD))
    assert not trial.crash, trial.crash
    trial.document = copy.deepcopy(dict(trial.document))
    return trial


def seen(trial: Trial) -> dict[str, Any]:
    found: dict[str, Any] = trial.document["consistency"]
    return found


def kinds(trial: Trial) -> set[str]:
    return {text.partition(":")[0] for text in contradictions(trial)}


@pytest.mark.parametrize(
    "fault",
    [
        Behaviour(lose=Pick(first=2)),
        Behaviour(duplicate=Pick(first=2)),
        Behaviour(phantoms=2),
        Behaviour(refuse_stored=Pick(first=2)),
        Behaviour(late_shard=1),
    ],
)
def test_a_pass_that_is_none(fault: Behaviour) -> None:
    trial = played(fault)
    assert truth_of(trial).faults
    trial.consistent = Verdict.PASS
    assert "false pass" in kinds(trial)


@pytest.mark.parametrize("check", ["lost", "duplicated", "unexpected", "missing_events", "other"])
def test_a_fail_that_is_none(check: str) -> None:
    trial = played()
    trial.consistent = Verdict.FAIL
    trial.document["findings"].append({"check": check, "verdict": "fail", "summary": ""})
    assert "false fail" in kinds(trial)


@pytest.mark.parametrize("kind", ["lost", "unexpected", "duplicated"])
def test_an_innocent(kind: str) -> None:
    trial = played()
    name = next(iter(trial.service.sent))
    seen(trial)["localized"] = {kind: [{"copy": 3, "user_id": name}]}
    assert kinds(trial) == {"innocent"}
    seen(trial)["localized"] = {kind: [{"copy": 3, "user_id": "nobody"}]}
    assert kinds(trial) == {"innocent", "wrong name"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lost_at_least", lambda true: true + 1),
        ("lost_at_most", lambda true: true - 1),
        ("unexpected", lambda true: true + 1),
        ("duplicated", lambda true: true + 1),
        ("missing_events", lambda true: true + 1),
        ("waited_s", lambda true: true + 9.0),
    ],
)
def test_a_bound_that_does_not_hold(name: str, change: Callable[[Any], Any]) -> None:
    trial = played(Behaviour(lose=Pick(first=2)))
    honest = list(contradictions(trial))
    seen(trial)[name] = change(seen(trial)[name])
    assert len(list(contradictions(trial))) == len(honest) + 1


def test_a_lag_outside_of_its_bounds() -> None:
    trial = played(Behaviour(lag="fixed", lag_s=3.0))
    seen(trial)["visibility"]["p95_s"] = 2.0
    assert "lag" in kinds(trial)


def test_time_exit_codes_and_crashes() -> None:
    trial = played()
    trial.over_s += 80.0
    assert "overrun" in kinds(trial)
    trial = played()
    trial.consistent, trial.code = Verdict.UNKNOWN, 5
    assert "exit" in kinds(trial)
    trial.crash = "Traceback\n  ValueError: no"
    assert list(contradictions(trial)) == ["crash: ValueError: no"]


def test_what_evidence_decides() -> None:
    assert decides(played())
    assert decides(played(Behaviour(lose=Pick(first=2))))
    assert not decides(played(Behaviour(lose=Pick(rate=0.5))))
    assert not decides(played(Behaviour(late_shard=1)))


def test_virtual_time_jumps_and_notices_that_nothing_can_come() -> None:
    clock = VirtualClock()
    began_s = clock.now_s

    async def waits() -> float:
        await anyio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(waits, clock) == pytest.approx(began_s + 3600)
    with pytest.raises(StuckError):
        run_virtual(anyio.sleep_forever, clock)
