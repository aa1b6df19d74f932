"""Workflows that are not Amplitude's, and documents that are not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, SCENARIOS, Loadcheck
from tests.pipeline.services import Event, Store, influxdb, serving

REFERENCE = ROOT / "tests" / "workflow" / "ingest-and-segment.yml"
AMPLITUDE = ROOT / "loadcheck" / "library" / "amplitude"


@pytest.mark.long
@pytest.mark.parametrize(("drop", "code"), [(0, 0), (3, 1)])
def test_line_protocol_in_and_a_nested_count_out(
    loadcheck: Loadcheck, drop: int, code: int
) -> None:
    with serving(influxdb, Store(lose=drop, delay_s=0.2)) as url:
        ended = loadcheck(
            "run",
            SCENARIOS / "influxdb.toml",
            *("--server", f"influxdb={url}", "--set", "load.rate=100", "--set", "load.duration=2"),
            *("--set", 'thresholds=["lost == 0"]'),
        )
    assert ended.code == code, ended.stdout + ended.stderr
    seen = ended.result["consistency"]
    assert (seen["lost_at_least"], seen["uniques"], seen["totals"]) == (
        drop,
        200 - drop,
        200 - drop,
    )
    assert seen["isolation"] == "filter"


@pytest.mark.long
def test_points_are_deleted_at_the_end_of_the_run(loadcheck: Loadcheck) -> None:
    store = Store(lose=3, events=[Event("another", "somebody", {})])
    with serving(influxdb, store) as url:
        ended = loadcheck(
            "run",
            SCENARIOS / "influxdb.toml",
            *("--server", f"influxdb={url}", "--set", "load.rate=100", "--set", "load.duration=2"),
            *("--set", 'thresholds=["lost == 3"]', "--set", "teardown.delete=true"),
        )
        assert (ended.code, len(store.events)) == (1, 1), ended.stdout + ended.stderr
    deletion = ended.result["deletion"]
    assert (deletion["before"], deletion["after"]) == (197, 0)
    assert deletion["batches"] == 4  # the run, its fresh control users, and its two paired runs
    assert "deletion    200 users are deleted" in ended.stdout


@pytest.mark.long
def test_a_document_with_quirks_runs_unchanged_and_strict_refuses_it(
    loadcheck: Loadcheck, smoke: Path, tmp_path: Path
) -> None:
    scenario = tmp_path / "reference.toml"
    scenario.write_text(
        smoke.read_text().replace(
            'workflow = "amplitude"',
            f'workflow.document = "{REFERENCE}"\nworkflow.profile = "amplitude"\n#',
        )
    )
    sources = [
        *("--source", f"httpV2Api={AMPLITUDE / 'http-v2-api.yml'}"),
        *("--source", f"dashboardRestApi={AMPLITUDE / 'dashboard-rest-api.yml'}"),
    ]
    ended = loadcheck("run", scenario, *sources)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert ended.result["consistency"]["uniques"] == 200
    places = [edit["at"] for edit in ended.result["scenario"]["overlay"]]
    assert places[:2] == ["body#/events/0/insert_id", "body#/events/0/time"]
    warnings = " ".join(ended.result["warnings"])
    assert 'write "Basic {$inputs.basicAuth}"' in warnings
    refused = loadcheck("run", scenario, *sources, "--strict")
    assert refused.code == 2
    assert len(refused.results) == 1


def test_check_shows_what_the_overlay_adds(loadcheck: Loadcheck, smoke: Path) -> None:
    shown = loadcheck("check", smoke).stdout
    assert "overlay     uploadEvents body#/events/0/insert_id = $copy.insertId\n" in shown
    assert "segmentEvent query.i = -3600000\n" in shown


def test_check_lints_a_document(loadcheck: Loadcheck, tmp_path: Path) -> None:
    assert loadcheck("check", AMPLITUDE / "workflow.yml", "--strict").code == 0
    broken = tmp_path / "broken.yml"
    text = (AMPLITUDE / "workflow.yml").read_text()
    broken.write_text(text.replace("$inputs.userId", "$inputs.userID"))
    sources = [
        *("--source", f"httpV2Api={AMPLITUDE / 'http-v2-api.yml'}"),
        *("--source", f"dashboardRestApi={AMPLITUDE / 'dashboard-rest-api.yml'}"),
    ]
    ended = loadcheck("check", "broken.yml", *sources)
    assert ended.code == 2
    assert "broken.yml:" in ended.stdout
    assert "userID" in ended.stdout
    assert "broken.yml: 1 error, 0 warnings" in ended.stdout


@pytest.mark.parametrize("option", [["--source", "nameonly"], ["--server", "=x"]])
def test_an_option_without_its_value_is_refused(
    loadcheck: Loadcheck, smoke: Path, option: list[str]
) -> None:
    ended = loadcheck("check", smoke, *option)
    assert ended.code == 2
    assert "expected " in ended.stderr
    assert "NAME=" in ended.stderr


def test_the_query_in_every_copy_as_the_document_literally_says(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    ended = loadcheck(
        "run",
        smoke,
        *("--set", "verify.query=each", "--set", "load.rate=20", "--set", "load.duration=2"),
        *("--set", "limits.segmentEvent={concurrency=2, rate=15}"),
    )
    assert ended.code == 0, ended.stdout + ended.stderr
    result = ended.result
    assert result["copies"]["acknowledged"] == 40
    steps = result["steps"]
    assert steps["segmentEvent"]["role"] == "per-copy"
    assert steps["segmentEvent"]["succeeded"] == 40
    assert steps["segmentEvent"]["response_time"] is None
    assert steps["segmentEvent@observer"]["succeeded"] >= 2
    # 40 queries at 15 a second cannot be over with the two seconds of load
    assert result["load"]["max_in_flight"] > 5


def test_a_limit_of_something_that_no_copy_runs_is_refused(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    ended = loadcheck("check", smoke, "--set", "limits.segmentEvent={rate=1}")
    assert ended.code == 2
    assert "limits.segmentEvent" in ended.stderr
    assert "is not a step that copies run" in ended.stderr
