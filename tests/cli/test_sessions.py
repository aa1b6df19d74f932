"""Users who come again, through the real program: counted once, however often they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck import scenario as scenarios
from loadcheck.errors import ScenarioError
from loadcheck.result.store import read
from tests.cli.conftest import KEYS, Loadcheck, Service
from tests.cli.test_reconcile import document

AGAIN = '{ uploads = { uniform = [1, 3] }, gap = "100ms", returning = 0.3 }'


def sets(**values: object) -> list[str]:
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


@pytest.mark.parametrize(
    ("sessions", "said"),
    [
        ("{}", "sessions: changes nothing"),
        ("{ uploads = 1 }", "sessions: changes nothing"),
        ("{ uploads = 5 }", 'sessions: "gap" is missing'),
        ('{ uploads = 0, gap = "1s" }', "sessions.uploads: found 0; expected a whole number"),
        ('{ uploads = 1.5, gap = "1s" }', "sessions.uploads: found 1.5; expected a whole number"),
        ("{ uploads = { uniform = [3, 1] } }", "sessions.uploads.uniform: the least is not"),
        ("{ returning = 0 }", "sessions.returning: found 0; expected a share above 0"),
        ("{ returning = 1 }", "sessions.returning: found 1; expected a share above 0"),
        ('{ returning = 0.5, gap = "1s" }', "sessions.gap: has no effect with one upload"),
        ("{ retruning = 0.5 }", 'sessions.retruning: unknown key; did you mean "returning"?'),
    ],
)
def test_what_makes_no_sense_is_refused(smoke: Path, sessions: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenarios.load(smoke, overrides=[f"sessions={sessions}"])
    assert said in str(caught.value)


def test_users_whose_ids_are_drawn_cannot_come_again(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck(
        "check",
        smoke,
        *sets(sessions="{ returning = 0.5 }", **{"inputs.userId": '"$copy.insertId"'}),
    )
    assert ended.code == 2
    assert "users cannot come again: " in ended.stderr


def test_nobody_thinks_between_uploads_that_are_not_made(loadcheck: Loadcheck, smoke: Path) -> None:
    thought = {"load.think_time": '"100ms"'}
    ended = loadcheck("check", smoke, *sets(sessions="{ returning = 0.5 }", **thought))
    assert ended.code == 2
    assert "load.think_time: has no effect: copies have one step, uploadEvents" in ended.stderr
    ended = loadcheck("check", smoke, *sets(sessions="{ uploads = 2 }", **thought))
    assert ended.code == 0, ended.stderr


@pytest.mark.parametrize("workers", [[], pytest.param(["--workers", "2"], marks=pytest.mark.long)])
def test_a_fine_service_passes(loadcheck: Loadcheck, smoke: Path, workers: list[str]) -> None:
    ended = loadcheck("run", smoke, *sets(sessions=AGAIN, seed=7), *workers)
    assert ended.code == 0, ended.stdout + ended.stderr
    result = ended.result
    seen = result["consistency"]
    assert seen["uniques"] == seen["lower"] == seen["upper"] < result["copies"]["acknowledged"]
    assert seen["totals"] == result["steps"]["uploadEvents"]["succeeded"]
    assert seen["totals"] > result["copies"]["acknowledged"]
    assert f"All {seen['uniques']:,} acknowledged users" in ended.stdout


@pytest.mark.long
def test_who_comes_is_the_same_with_workers_and_without(loadcheck: Loadcheck, smoke: Path) -> None:
    for workers in ([], ["--workers", "2"]):
        assert loadcheck("run", smoke, *sets(sessions=AGAIN, seed=11), *workers).code == 0
    alone, shared = (read(path)["consistency"] for path in loadcheck.results())
    assert (alone["uniques"], alone["totals"]) == (shared["uniques"], shared["totals"])


@pytest.mark.long
@pytest.mark.parametrize(
    "service", [{"faults": {"drop": {"count": 5, "among": 300}}}], indirect=True
)
def test_lost_events_are_found_and_the_export_names_them(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    ended = loadcheck("run", smoke, *service.options(sessions=AGAIN, seed=5), env=KEYS)
    assert ended.code == 1, ended.stdout + ended.stderr
    seen = ended.result["consistency"]
    assert (seen["missing_events"] or 0) + (seen["lost_at_least"] or 0) >= 1
    assert seen["duplicated"] == 0
    service.later("3h")
    asked = loadcheck("reconcile", ended.results[0], "--export", env=KEYS)
    assert asked.code == 1, asked.stdout + asked.stderr
    told = document(loadcheck)["reconciliations"][-1]["export"]
    assert (told["lost"], told["duplicated"], told["unexpected"], told["altered"]) == (5, 0, 0, 0)


@pytest.mark.long
def test_a_fine_service_passes_again_later(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    ended = loadcheck("run", smoke, *service.options(sessions=AGAIN, seed=5), env=KEYS)
    assert ended.code == 0, ended.stdout + ended.stderr
    service.later("3h")
    asked = loadcheck("reconcile", ended.results[0], "--export", env=KEYS)
    assert asked.code == 0, asked.stdout + asked.stderr
