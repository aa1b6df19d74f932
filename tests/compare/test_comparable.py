from __future__ import annotations

from typing import Any

import pytest

from loadcheck.compare.figures import differences, unfinished


def run(**changes: Any) -> dict[str, Any]:
    """Return what describes a run, with dotted keys changed; ``__`` stands for the dot."""
    document: dict[str, Any] = {
        "run": {"phase": "complete", "interrupted": False, "error": None},
        "workflow": {"id": "w", "sha256": "abc"},
        "scenario": {
            "name": "burst",
            "target": {"kind": "live", "servers": {"api": "http://a"}, "visibility_delay": "1s"},
            "load": {"model": "open", "stages": [{"rate": 10, "duration": "5s"}]},
        },
        "environment": {"python": "3.11.7", "packages": {"httpx": "1"}},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place: Any = document
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ("workflow__sha256", "other", "workflow.sha256"),
        ("workflow__id", "other", "workflow.id"),
        ("scenario__target__kind", "emulator", "target.kind"),
        ("scenario__target__transport", "httpx", "target.transport"),
        ("scenario__target__servers__api", "http://b", "target.servers.api"),
        ("scenario__load__model", "closed", "load.model"),
        ("scenario__load__stages__0__rate", 11, "load.stages.0.rate"),
        ("scenario__load__max_in_flight", 5, "load.max_in_flight"),
        ("scenario__limits", {"up": {"rate": 5}}, "limits.up.rate"),
    ],
)
def test_another_workflow_load_or_target_matters(path: str, value: Any, key: str) -> None:
    (found,) = differences(run(), run(**{path: value}), "b.json")
    assert (found.key, found.matters, found.file) == (key, True, "b.json")
    (back,) = differences(run(**{path: value}), run(), "b.json")
    assert (back.base, back.candidate) == (found.candidate, found.base)


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ("scenario__name", "other", "scenario"),
        ("scenario__target__visibility_delay", "2s", "target.visibility_delay"),
        ("scenario__inputs", {"eventType": "x"}, "inputs.eventType"),
        ("scenario__retry", {"attempts": 2}, "retry.attempts"),
        ("environment__python", "3.13.0", "environment.python"),
        ("scenario__load__workers", 4, "load.workers"),
        ("scenario__load__prefixes", ["ssh a", "ssh b"], "load.prefixes"),
    ],
)
def test_what_may_be_the_reason_for_a_difference_is_noted(path: str, value: Any, key: str) -> None:
    (found,) = differences(run(), run(**{path: value}), "b.json")
    assert (found.key, found.matters) == (key, False)


def test_equal_runs_differ_in_nothing() -> None:
    assert differences(run(), run(environment__packages={"httpx": "2"}), "b.json") == []


def test_what_matters_comes_first() -> None:
    other = run(environment__python="4", scenario__load__model="closed")
    assert [one.matters for one in differences(run(), other, "b.json")] == [True, False]


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("run__phase", "running", "was killed: it got as far as running"),
        ("run__interrupted", True, "was interrupted"),
        ("run__error", "the emulator ended", "ended early: the emulator ended"),
        ("run__aborted", {"threshold": "up.p99 < 1s"}, "was stopped early by the threshold up"),
    ],
)
def test_what_did_not_run_to_its_end_is_unfinished(path: str, value: Any, why: str) -> None:
    assert unfinished(run()) == ""
    assert unfinished(run(**{path: value})).startswith(why)
