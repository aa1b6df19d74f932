"""The time of copies as a whole, from the command line to every report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Loadcheck

EACH = ("--set", "verify.query=each", "--set", "load.duration=1")


@pytest.mark.long
def test_copies_of_several_steps_have_a_time_of_their_own(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    checks = [
        *("workflow.p99 < 60s", "workflow.max < 1us", "steady: workflow.p50 < 60s"),
        *("segmentEvent.p99 < 60s", "segmentEvent.service_time.p99 < 60s"),
    ]
    ended = loadcheck("run", smoke, *EACH, "--set", f"thresholds={checks!r}")
    assert ended.code == 5, ended.stderr
    document = ended.result
    whole = document["steps"]["workflow"]
    assert whole["role"] == "workflow"
    assert whole["attempts"] == whole["succeeded"] == whole["response_time"]["count"] == 100
    first = document["steps"]["uploadEvents"]["response_time"]
    assert whole["response_time"]["p50_ms"] > first["p50_ms"]
    assert sum(document["intervals"]["steps"]["workflow"]["succeeded"]) == 100
    verdicts = {each["expression"]: each["verdict"] for each in document["thresholds"]}
    assert verdicts == dict.fromkeys(checks, "pass") | {"workflow.max < 1us": "fail"}
    told = [each for each in document["warnings"] if "is about service time" in each]
    assert len(told) == 1
    assert 'the threshold "segmentEvent.p99 < 60s"' in told[0]
    assert "segmentEvent.service_time.p99, or workflow.p99" in told[0]
    assert any(
        line.split()[:3] == ["workflow", "response", "time"] for line in ended.stdout.splitlines()
    )
    path = loadcheck.results()[0]
    for form in ("html", "md"):
        page = loadcheck.folder / f"page.{form}"
        assert loadcheck("report", path, "-o", page).code == 0
        assert "workflow response time" in page.read_text().replace("<td>", " ")


def test_one_step_is_the_whole(loadcheck: Loadcheck, smoke: Path) -> None:
    checks = ["workflow.p99 < 60s", "uploadEvents.p99 < 60s"]
    changes = ("--set", "load.duration=1", "--set", f"thresholds={checks!r}")
    ended = loadcheck("run", smoke, *changes)
    assert ended.code == 0, ended.stderr
    assert "workflow" not in ended.result["steps"]
    one, other = ended.result["thresholds"]
    assert one["measured"] == other["measured"]
    assert ended.result["warnings"] == [] or "service time" not in str(ended.result["warnings"])
