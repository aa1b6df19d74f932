"""A test is repeated where its run proves only that this machine was busy.

A generator that stood still says so in the results file: a finding of its own, and the verdict
``unknown`` where the test expects ``pass``. Such a test is run again from the beginning, in a new
folder with new fixtures, twice at the most; one that fails for any other reason is not:

- a run found something else as well, or lost a worker, or could not send,
- a command crashed (a fixture's `crashed` says so), or the test ended with anything but an
  assertion,
- the test itself stops the generator: it bears the mark ``stops_generator``.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import orjson
import pytest
from _pytest.runner import runtestprotocol

AGAIN = 2
"""How often a test is repeated."""

_PAUSED = pytest.StashKey[list[str]]()
_TITLE = "the load generator stood still"


def paused(folder: Path) -> list[str]:
    """Return what results files below a folder say of a generator that stood still.

    Nothing, if any of them says that anything else is wrong.
    """
    said = []
    for path in sorted(folder.rglob("*.json")):
        for finding in _wrong(path):
            evidence = finding["evidence"]
            if finding["check"] != "generator" or "paused" not in evidence or "unsent" in evidence:
                return []
            said.append(f"{path.relative_to(folder)}: {finding['summary']}")
    return said


def _wrong(path: Path) -> list[dict[str, Any]]:
    """Return the findings of a results file that are not ``pass``; none of any other file."""
    try:
        document = orjson.loads(path.read_bytes())
        return [each for each in document["findings"] if each["verdict"] != "pass"]
    except (OSError, ValueError, LookupError, TypeError):
        return []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember of a test that fails whether its generator stood still."""
    report = yield
    if call.when == "call" and call.excinfo is not None and _PAUSED in item.stash:
        fixtures = item.funcargs  # type: ignore[attr-defined]
        crashed = any(getattr(each, "crashed", False) is True for each in fixtures.values())
        if call.excinfo.errisinstance(AssertionError) and not crashed:
            item.stash[_PAUSED] = paused(fixtures["tmp_path"])
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test, and again where its generator stood still."""
    if "tmp_path" not in getattr(item, "fixturenames", ()):
        return None
    if item.get_closest_marker("stops_generator"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    said: list[str] = []
    left = AGAIN
    while True:
        item.stash[_PAUSED] = []
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        why: list[str] = item.stash[_PAUSED]
        said += why
        beside = any(report.failed for report in reports if report.when != "call")
        if beside or not why or not left:
            break
        left -= 1
    for report in reports:
        if said and report.when == "call":
            report.sections.append((_TITLE, "\n".join(said)))
            report.user_properties.append((_TITLE, said))
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which tests were repeated, and why."""
    lines = [
        f"{report.nodeid}: {each}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == _TITLE
        for each in value
    ]
    if lines:
        terminalreporter.section(f"repeated, because {_TITLE}")
        for line in lines:
            terminalreporter.write_line(line)
