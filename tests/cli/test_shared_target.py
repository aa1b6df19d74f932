"""Several runs against one service, with one event type, on one day."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import Loadcheck


@pytest.fixture
def service() -> Iterator[list[str]]:
    """Run an emulator and return the options that send a scenario to it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "loadcheck.emulator", "--embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"visibility_delay": "100ms"}\n')
    process.stdin.flush()
    ready = orjson.loads(process.stdout.readline())
    url = f'"{ready["url"]}"'
    pair = f"{ready['api_key']}:{ready['secret_key']}"
    values = {
        "target": f'{{kind="live", servers={{httpV2Api={url}, dashboardRestApi={url}}}}}',
        "inputs.apiKey": ready["api_key"],
        "inputs.basicAuth": f'"{base64.b64encode(pair.encode()).decode()}"',
    }
    yield [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    process.stdout.close()


@pytest.mark.long
def test_two_runs_in_a_row_both_pass(loadcheck: Loadcheck, smoke: Path, service: list[str]) -> None:
    for _ in range(2):
        ended = loadcheck("run", smoke, *service)
        assert ended.code == 0, ended.stdout + ended.stderr
    for path in loadcheck.results():
        seen = orjson.loads(path.read_bytes())["consistency"]
        assert (seen["uniques"], seen["baseline"], seen["isolation"]) == (200, 0, "filter")


@pytest.mark.long
def test_two_runs_at_once_both_pass(loadcheck: Loadcheck, smoke: Path, service: list[str]) -> None:
    runs = [loadcheck.start("run", smoke, *service) for _ in range(2)]
    for process in runs:
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stdout + stderr
    assert len(loadcheck.results()) == 2


@pytest.mark.long
def test_without_a_filter_the_count_before_is_taken_away_and_that_is_said(
    loadcheck: Loadcheck, smoke: Path, service: list[str], tmp_path: Path
) -> None:
    assert loadcheck("run", smoke, *service).code == 0
    # the same scenario on a profile that marks nothing with the run
    shipped = Path(__file__).parents[2] / "loadcheck" / "library" / "amplitude"
    profile = tmp_path / "profile.toml"
    profile.write_text(
        """\
[inputs]
userId = "$copy.userId"
start = "$run.startDay"
end = "$run.endDay"
[[overlay]]
step = "uploadEvents"
at = "body#/events/0/insert_id"
value = "$copy.insertId"
[verify]
ingest = "uploadEvents"
step = "segmentEvent"
uniques = "$response.body#/data/seriesCollapsed/0/0/value"
"""
    )
    scenario = tmp_path / "unfiltered.toml"
    scenario.write_text(
        smoke.read_text().replace(
            'workflow = "amplitude"',
            f'workflow.document = "{shipped}/workflow.yml"\nworkflow.profile = "profile.toml"\n#',
        )
    )
    ended = loadcheck("run", scenario, *service, "--set", 'thresholds=["lost == 0"]')
    # as many as were sent; but whoever else sent the event would be counted as well
    assert ended.code == 3, ended.stdout + ended.stderr
    seen = orjson.loads(loadcheck.results()[-1].read_bytes())["consistency"]
    assert (seen["uniques"], seen["baseline"], seen["isolation"]) == (200, 200, "baseline")
    assert (seen["lost"], seen["lost_at_most"]) == (None, 200)
    assert "has no filter for this run" in " ".join(ended.stdout.split())
