"""The pytest plugin: load in a test.

::

    def test_nobody_is_lost(loadcheck_run):
        result = loadcheck_run("scenarios/burst.toml", set={"load.rate": 500})
        assert result.lost == 0

Pytest imports it wherever loadcheck is installed, so it imports nothing else before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import loadcheck

_OTHERS = re.compile(r"[^\w.-]+")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--loadcheck-report``."""
    parser.getgroup("loadcheck").addoption(
        "--loadcheck-report",
        metavar="DIR",
        help="Keep the results file of every loadcheck_run, and its page, in this directory.",
    )


@pytest.fixture
def loadcheck_run(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[..., loadcheck.Result]:
    """Return a function that runs a scenario and returns its :class:`loadcheck.Result`.

    It takes what :func:`loadcheck.run` takes. A scenario is looked for in the working directory,
    the test's own and the root of the project. A failed test shows the headline of each of its
    runs.
    """
    wanted = request.config.getoption("--loadcheck-report")

    def run(scenario: str | Path, **options: Any) -> loadcheck.Result:
        found = _found(Path(scenario), request)
        if wanted is not None and "output" not in options:
            options.setdefault("results", Path(wanted))
        options.setdefault("results", tmp_path / "results")
        result = loadcheck.run_sync(found, **options)
        lines = [result.headline]
        if wanted is not None and result.path is not None:
            name = _OTHERS.sub("-", request.node.nodeid).strip("-")
            place = Path(wanted) / f"{name[-150:]}-{result.id}.html"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(result.html())
            lines.append(f"report: {place}")
        request.node.add_report_section("call", "loadcheck", "\n".join(lines))
        return result

    return run


def _found(scenario: Path, request: pytest.FixtureRequest) -> Path:
    places = (Path(), request.path.parent, request.config.rootpath)
    return next((each / scenario for each in places if (each / scenario).is_file()), scenario)
