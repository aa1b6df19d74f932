"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = ["pytester"]
INSTALLED = any(each.name == "loadcheck" for each in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "loadcheck.pytest_plugin")
SUITE = """
    QUICK = {"load.rate": 50, "load.duration": "1s", "verify.quiet": "1s", "verify.deadline": "2s"}

    def test_all_arrive(loadcheck_run):
        result = loadcheck_run("burst.toml", set=QUICK)
        assert result.passed
        assert result.lost == 0

    def test_some_do_not(loadcheck_run):
        result = loadcheck_run("burst.toml", set=QUICK | {"target.faults.drop.count": 3})
        assert result.lost == 0
"""


def test_it_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"loadcheck": "loadcheck.pytest_plugin"}


@pytest.mark.long
def test_a_test_says_what_must_hold(pytester: pytest.Pytester) -> None:
    (pytester.path / "load").mkdir()
    smoke = (ROOT / "scenarios" / "smoke.toml").read_text()
    (pytester.path / "load" / "burst.toml").write_text(smoke)
    pytester.makepyfile(**{"load/test_load": SUITE})
    ended = pytester.runpytest_subprocess(*PLUGIN, "-q", "--loadcheck-report=reports/load")
    ended.assert_outcomes(passed=1, failed=1)
    ended.stdout.fnmatch_lines(["*assert 3 == 0*", "*3 of 50 acknowledged users are missing*"])
    reports = pytester.path / "reports" / "load"
    pages = sorted(path.name for path in reports.glob("*.html"))
    assert len(pages) == 2
    assert pages[0].startswith("load-test_load.py-test_all_arrive-")
    assert len(list(reports.glob("*.json"))) == 2
    ended.stdout.fnmatch_lines([f"*report: *{pages[1]}"])


def test_who_does_not_use_it_pays_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others load what they like
    pytester.makepyfile(
        """
        import sys

        def test_nothing_of_it_is_loaded():
            ours = {name for name in sys.modules if name.startswith("loadcheck")}
            assert ours <= {"loadcheck", "loadcheck.pytest_plugin"}
            assert not {"httpx", "numpy", "anyio._backends"} & set(sys.modules)
        """
    )
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    ended = pytester.runpytest_subprocess("-q", "-p", "loadcheck.pytest_plugin")
    ended.assert_outcomes(passed=1)
    assert not list(pytester.path.glob("results"))
