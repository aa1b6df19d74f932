from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck.errors import ScenarioError
from loadcheck.scenario import load

TEXT = """\
workflow = "amplitude"
[load]
model = "open"
rate = 1
duration = "1s"
[verify]
query = "each"
[limits.segmentEvent]
concurrency = 4
rate = 2.5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "scenario.toml"
    path.write_text(text)
    return path


def test_what_a_step_may_ask(tmp_path: Path) -> None:
    scenario = load(write(tmp_path, TEXT))
    limit = scenario.limits["segmentEvent"]
    assert (limit.concurrency, limit.rate, scenario.verify.query) == (4, 2.5, "each")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("concurrency = 4", "concurrency = 0", ":9: limits.segmentEvent.concurrency"),
        ("rate = 2.5", "rte = 2.5", r':10: limits.segmentEvent.rte.*did you mean "rate"\?'),
        ("rate = 2.5", "rate = 0", ":10: limits.segmentEvent.rate"),
        ("concurrency = 4\nrate = 2.5\n", "", "limits nothing"),
        ("[limits.segmentEvent]", "[limits]\nsegmentEvent = 4\n[limits.x]", "is not a table"),
        ('"each"', '"every"', r'verify.query.*"after"'),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        load(write(tmp_path, TEXT.replace(old, new)))
