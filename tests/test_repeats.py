"""A test is run again where its generator stood still, and for no other reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repeats import AGAIN

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = ["pytester"]

GENERATOR = {"check": "generator", "verdict": "unknown", "summary": "It paused."}
PAUSED = GENERATOR | {"evidence": {"paused": 5}}
UNSENT = GENERATOR | {"evidence": {"unsent": 5}}
LOST = {"check": "lost", "verdict": "fail", "summary": "3 are missing.", "evidence": {}}
TEST = """
    import json
    from pathlib import Path

    import pytest

    TIMES = Path({times!r})

    class Loadcheck:
        crashed = {crashed}

    @pytest.fixture
    def loadcheck():
        yield Loadcheck()
        {after}

    @pytest.mark.{mark}
    def test_one(tmp_path, loadcheck):
        assert not list(tmp_path.iterdir())
        findings = {findings!r}
        many = len(TIMES.read_text()) if TIMES.exists() else 0
        TIMES.write_text("x" * (many + 1))
        if many < {bad}:
            (tmp_path / "a.json").write_text(json.dumps({{"findings": findings}}))
            (tmp_path / "list.json").write_text("[]")
            {fails}
"""


def tried(pytester: pytest.Pytester, bad: int, *findings: object, **changes: object) -> int:
    """Return how often a test is run whose first runs are bad; it is left failed if all were."""
    times = pytester.path / "times"
    told = {"fails": "assert False", "mark": "other", "crashed": False, "after": ""} | changes
    pytester.makepyfile(TEST.format(times=str(times), bad=bad, findings=[*findings], **told))
    pytester.makeini("[pytest]\nmarkers =\n  stops_generator\n  other\n")
    ended = pytester.runpytest_inprocess("-p", "tests.repeats", "-p", "no:cacheprovider")
    many = len(times.read_text())
    errors = int("after" in changes)
    ended.assert_outcomes(passed=int(many > bad), failed=int(many <= bad), errors=errors)
    if many > 1:
        ended.stdout.fnmatch_lines(["*repeated, because*", "*test_one: a.json: It paused."])
    if 1 < many <= bad:
        ended.stdout.fnmatch_lines(["*- the load generator stood still -*"])
    return many


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_run_that_paused_is_repeated(pytester: pytest.Pytester, bad: int) -> None:
    assert tried(pytester, bad, PAUSED) == bad + 1


def test_not_for_ever(pytester: pytest.Pytester) -> None:
    assert tried(pytester, 9, PAUSED) == 1 + AGAIN


@pytest.mark.parametrize("findings", [[], [LOST], [PAUSED, LOST], [UNSENT]])
def test_nothing_else_is_a_reason(pytester: pytest.Pytester, findings: list[object]) -> None:
    assert tried(pytester, 9, *findings) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"fails": "[][0]"},
        {"mark": "stops_generator"},
        {"crashed": True},
        {"after": "assert False"},
    ],
)
def test_nor_is_a_pause_that_excuses_nothing(
    pytester: pytest.Pytester, change: dict[str, object]
) -> None:
    assert tried(pytester, 9, PAUSED, **change) == 1
