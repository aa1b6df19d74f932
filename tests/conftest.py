from __future__ import annotations

import gc
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import repeats

# how long an example takes says how busy the machine is, not whether it is right
settings.register_profile(
    "same",
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
# new examples each time: pytest --hypothesis-profile=new
settings.register_profile(
    "new", settings.get_profile("same"), max_examples=400, derandomize=False, database=None
)
settings.load_profile("same")

# what a shell starts in the background ignores Ctrl-C, and so would all that tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# and what is started under nohup a hangup; a handler of ours, unlike that, is not inherited
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# hundreds of commands are started; without bytecode each would compile the whole package, and each
# process of tests would rewrite the assertions of all of them
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(repeats)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import a share of the tests first, as one of several processes that all import all of them.

    The assertions of a module are rewritten where nobody has done so yet: so each is, once.
    """
    given: dict[str, Any] = getattr(session.config, "workerinput", {})
    root, places = session.config.rootpath, [Path(each) for each in session.config.args]
    if given and all((root / place).is_dir() for place in places):
        found = sorted(path for place in places for path in (root / place).rglob("test_*.py"))
        first = int(given["workerid"].removeprefix("gw"))
        for path in found[first :: given["workercount"]]:
            # what cannot be imported is told when it is collected
            with suppress(Exception, pytest.skip.Exception):
                import_module(".".join(path.relative_to(root).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give long tests ten minutes where they name no time of their own: a machine may be slow."""
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))


def pytest_collection_finish() -> None:
    """Let no pass of the garbage collector look through what all the tests share."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Tests run on the event loop that the product runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process hides what it has met for as long as it lives; a test is a process of its own."""
    monkeypatch.setattr("loadcheck.secrets._process", set())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a confusion table of verdicts: what was true, and what was said of it."""
    from tests.property.verdict_fuzz.emulated import confusion  # noqa: PLC0415  # seldom needed

    cells: Counter[tuple[str, str]] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "verdicts" and report.when == "call":
                    for true, said, number in value:
                        cells[true, said] += number
    if cells:
        terminalreporter.section("truth, and verdict")
        terminalreporter.write_line(confusion(cells))
