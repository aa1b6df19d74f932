"""``loadcheck run`` against the real emulator: what it concludes, writes and prints."""

from __future__ import annotations

import base64
import resource
import socket
from pathlib import Path
from typing import Any

import orjson
import pytest
from hdrh.histogram import HdrHistogram
from jsonschema import Draft202012Validator
from pyroaring import BitMap

from loadcheck.result.schema import json_schema
from loadcheck.result.store import read
from tests.cli.conftest import SCENARIOS, Ended, Loadcheck


def sets(**values: object) -> list[str]:
    """Return ``--set`` options; two underscores stand for a dot."""
    return [
        part
        for key, value in values.items()
        for part in ("--set", f"{key.replace('__', '.')}={value}")
    ]


@pytest.fixture
def dead_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def live(port: int) -> list[str]:
    """Return the options that send a scenario to a server on this machine."""
    url = f'"http://127.0.0.1:{port}"'
    return sets(
        target=f'{{kind="live", servers={{httpV2Api={url}, dashboardRestApi={url}}}}}',
        inputs__apiKey="key-of-nobody",
        inputs__basicAuth="bm9ib2R5Om5vYm9keQ==",
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A run of which nothing is changed: several tests look at it, none runs anything."""
    return Loadcheck(tmp_path_factory.mktemp("clean"))("run", SCENARIOS / "smoke.toml")


def test_a_clean_run_passes(clean: Ended) -> None:
    assert clean.code == 0, clean.stderr
    result = clean.result
    assert result["verdict"] == "pass"
    assert result["run"]["phase"] == "complete"
    assert result["copies"] == {
        "planned": 200,
        "started": 200,
        "skipped": 0,
        "acknowledged": 200,
        "rejected": 0,
        "indeterminate": 0,
    }
    seen = result["consistency"]
    assert (seen["uniques"], seen["totals"], seen["lower"], seen["upper"]) == (200, 200, 200, 200)
    assert (seen["lost_at_least"], seen["unexpected"], seen["duplicated"]) == (0, 0, 0)
    assert (seen["settled"], seen["isolation"], seen["baseline"]) == (True, "filter", 0)
    assert {threshold["verdict"] for threshold in result["thresholds"]} == {"pass"}
    assert "PASS" in clean.stdout
    assert "All 200 acknowledged users were counted" in clean.stdout
    assert str(clean.results[0].name) in clean.stdout.replace("\n", "")


def test_the_results_file_keeps_its_schema(clean: Ended) -> None:
    result = clean.result
    Draft202012Validator(json_schema()).validate(result)


def test_the_paths_that_scripts_rely_on(clean: Ended) -> None:
    result = clean.result
    percentiles = {"p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"}
    assert result["schema"] == "loadcheck.result/1"
    step = result["steps"]["uploadEvents"]
    for times in (step["response_time"], step["service_time"]):
        assert percentiles | {"count", "hdr"} <= times.keys()
    assert result["steps"]["segmentEvent"]["service_time"]["count"] >= 2
    assert percentiles - {"p90_ms"} <= result["generator"]["lateness"].keys()
    assert result["thresholds"][0].keys() >= {"expression", "measured", "verdict"}
    lengths = {len(column) for column in result["timeline"].values()}
    assert len(lengths) == 1
    assert sum(result["timeline"]["started"]) == 200
    assert result["scenario"]["name"] == "smoke"
    assert result["environment"]["python"]


def test_the_histograms_are_read_by_other_tools(clean: Ended) -> None:
    times = clean.result["steps"]["uploadEvents"]["response_time"]
    read = HdrHistogram.decode(times["hdr"].encode())
    assert read.get_total_count() == times["count"] == 200
    assert read.get_value_at_percentile(50) / 1000 == pytest.approx(times["p50_ms"], rel=2e-3)


def test_the_ledger_holds_every_copy(clean: Ended) -> None:
    ledger = clean.result["ledger"]
    acknowledged = BitMap.deserialize(base64.b64decode(ledger["acknowledged"]))
    assert acknowledged == BitMap(range(200))


@pytest.mark.parametrize(
    ("lost", "copies"),
    [
        (7, 4_000),
        pytest.param(1, 20_000, marks=pytest.mark.long),
        pytest.param(500, 20_000, marks=pytest.mark.long),
    ],
)
def test_planted_losses_are_reported_exactly(
    loadcheck: Loadcheck, smoke: Path, lost: int, copies: int
) -> None:
    # as fast as the answers come: nothing is skipped on however busy a machine
    ended = loadcheck(
        "run",
        smoke.parent / "closed.toml",
        *sets(load__copies=copies, target__faults__drop=f"{{count={lost}, among={copies}}}"),
    )
    assert ended.code == 1
    result = ended.result
    assert result["verdict"] == "fail"
    assert result["copies"]["acknowledged"] == copies
    assert result["consistency"]["lost_at_least"] == lost
    assert result["consistency"]["uniques"] == copies - lost
    are = "is" if lost == 1 else "are"
    assert f"{lost:,} of {copies:,} acknowledged users {are} missing" in ended.stdout.replace(
        "\n", " "
    ).replace("  ", "")


def test_a_broken_threshold_alone_has_a_code_of_its_own(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, "--set", 'thresholds=["uploadEvents.p50 < 1us"]')
    assert ended.code == 5
    assert ended.result["consistency"]["lost_at_least"] == 0
    assert ended.result["thresholds"][0]["verdict"] == "fail"


def test_a_threshold_without_samples_is_no_pass(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, *sets(verify__enabled="false", thresholds='["lost == 0"]'))
    assert ended.code == 3
    assert ended.result["thresholds"] == [
        {
            "expression": "lost == 0",
            "measured": None,
            "low": None,
            "high": None,
            "unit": "count",
            "verdict": "unknown",
            "own_delay_ms": None,
        }
    ]


def test_a_target_that_refuses_connections(
    loadcheck: Loadcheck, smoke: Path, dead_port: int
) -> None:
    # nothing is sent, nobody is asked, and no deadline is awaited
    ended = loadcheck("run", smoke, *live(dead_port), *sets(verify__deadline=1000))
    assert ended.code == 3
    result = ended.result
    assert (result["verdict"], result["run"]["phase"]) == ("unknown", "complete")
    assert result["copies"]["started"] == result["copies"]["skipped"] == 0
    assert result["consistency"]["observations"] == []
    (finding,) = result["findings"]
    assert finding["check"] == "target"
    said = f"o request reached http://127.0.0.1:{dead_port}: connection refused"
    assert said in finding["summary"]
    assert said in result["run"]["error"]
    assert "nothing was sent" in " ".join(ended.stdout.split())


@pytest.mark.parametrize(
    ("thresholds", "code", "said"),
    [
        ('["error_rate < 1%"]', 0, "The threshold holds; verification: disabled"),
        ('["uploadEvents.p50 < 1us"]', 5, "Threshold broken: uploadEvents.p50 < 1us"),
        ("[]", 0, "No thresholds; verification: disabled"),
    ],
)
def test_a_plain_load_test_is_judged_by_its_thresholds_alone(
    loadcheck: Loadcheck, smoke: Path, thresholds: str, code: int, said: str
) -> None:
    ended = loadcheck("run", smoke, *sets(verify__enabled="false", thresholds=thresholds))
    assert ended.code == code
    seen = ended.result["consistency"]
    assert (seen["checked"], seen["uniques"], seen["observations"]) == (False, None, [])
    assert ended.result["findings"] == []
    assert said in ended.stdout
    assert ended.stdout.count("verification: disabled") == 2
    assert "counted" not in ended.stdout
    shown = loadcheck("export", "--format", "junit", ended.results[0])
    assert '<skipped message="not checked: verify.enabled = false"' in shown.stdout
    assert 'skipped="1"' in shown.stdout


def test_of_a_run_that_was_refused_altogether_nobody_is_awaited(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    ended = loadcheck(
        "run",
        smoke,
        *sets(target__faults__refuse="{status=400}", verify__deadline=1000, verify__quiet=100),
    )
    assert ended.code == 3
    assert ended.result["copies"]["rejected"] == ended.result["copies"]["started"] > 0


@pytest.mark.long
@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_target_that_refuses_for_ever(loadcheck: Loadcheck, smoke: Path, status: int) -> None:
    ended = loadcheck(
        "run",
        smoke,
        *sets(target__faults__refuse=f"{{status={status}}}", retry__backoff="10ms"),
        *sets(retry__attempts=3, verify__deadline=2, verify__quiet=1),
    )
    result = ended.result
    assert result["verdict"] != "pass"
    assert ended.code in (3, 5)
    assert result["copies"]["acknowledged"] == 0
    throttled = result["steps"]["uploadEvents"]["throttled"]["count"]
    assert (throttled > 0) is (status == 429)


def test_a_run_in_which_nothing_was_due_is_unknown(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck(
        "run",
        smoke,
        *sets(load__arrivals="poisson", load__rate=1, load__duration=0.01, seed=1),
        *sets(thresholds="[]", verify__deadline=1),
    )
    assert ended.result["copies"]["started"] == 0
    assert ended.result["verdict"] == "unknown"
    assert ended.code == 3


def test_a_closed_load(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, "--set", 'load={model="closed", concurrency=20, copies=3000}')
    assert ended.code == 0, ended.stdout
    result = ended.result
    assert result["copies"]["acknowledged"] == 3000
    assert result["load"]["asked_rate"] is None
    assert result["load"]["max_in_flight"] == 20


@pytest.mark.long
def test_the_same_load_over_httpx(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, "--set", "target.transport=httpx")
    assert ended.code == 0, ended.stdout
    assert ended.result["copies"]["acknowledged"] == 200


def test_json_is_all_that_is_on_stdout(loadcheck: Loadcheck, smoke: Path) -> None:
    import orjson  # noqa: PLC0415

    ended = loadcheck("run", smoke, "--json")
    assert orjson.loads(ended.stdout) == ended.result
    assert ended.result["verdict"].upper() in ended.stderr


def test_quiet_says_the_verdict_in_one_line(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, "--quiet")
    assert ended.stderr == ""
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stdout.startswith("PASS")


def test_progress_is_plain_lines_where_nobody_watches(loadcheck: Loadcheck, smoke: Path) -> None:
    ended = loadcheck("run", smoke, *sets(load__duration=5))
    assert "acknowledged" in ended.stderr
    assert "\x1b" not in ended.stderr + ended.stdout


@pytest.mark.long
def test_the_output_may_be_named_and_is_not_overwritten(
    loadcheck: Loadcheck, smoke: Path, tmp_path: Path
) -> None:
    named = tmp_path / "named.json"
    assert loadcheck("run", smoke, "--output", named, "-q").code == 0
    before = named.read_bytes()
    refused = loadcheck("run", smoke, "--output", named, "-q")
    assert refused.code == 2
    assert "exists already" in refused.stderr
    assert named.read_bytes() == before
    assert loadcheck("run", smoke, "--output", named, "-q", "--force").code == 0
    assert named.read_bytes() != before
    assert loadcheck.results() == []


@pytest.mark.long
def test_a_seed_is_recorded_and_repeats_the_arrivals(loadcheck: Loadcheck, smoke: Path) -> None:
    poisson = sets(load__arrivals="poisson")
    planned = [
        loadcheck("run", smoke, *poisson, "--seed", seed, "--json", "-q").stdout
        for seed in ("4", "4", "5")
    ]
    import orjson  # noqa: PLC0415

    documents: list[dict[str, Any]] = [orjson.loads(text) for text in planned]
    assert [d["run"]["seed"] for d in documents] == [4, 4, 5]
    counts = [d["copies"]["planned"] for d in documents]
    assert counts[0] == counts[1]
    assert len({d["run"]["id"] for d in documents}) == 3


def test_a_real_service_needs_consent(loadcheck: Loadcheck) -> None:
    ended = loadcheck(
        "run",
        Path(__file__).parents[2] / "scenarios" / "live.toml",
        env={"AMPLITUDE_API_KEY": "k" * 32, "AMPLITUDE_SECRET_KEY": "s" * 32},
    )
    assert ended.code == 2
    assert "40 events of as many new users to https://" in ended.stderr
    assert "--live" in ended.stderr
    assert ended.results == []


@pytest.mark.long
def test_a_disk_that_fills_up_costs_the_file_but_not_the_verdict(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    process = loadcheck.start("run", smoke, preexec_fn=small_files)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 74
    assert "All 200 acknowledged users were counted" in stderr
    assert ".json: cannot be written: file too large" in stderr
    # what could not be saved is handed over
    assert orjson.loads(stdout)["verdict"] == "pass"
    (path,) = loadcheck.results()
    assert read(path)["run"]["phase"] in {"intent", "running"}
