"""A mix through the real program: its flows are judged each and together."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from loadcheck.cli.app import app
from loadcheck.result.store import ResultFile, of_flow, read
from tests.cli.conftest import KEYS, Loadcheck, Service

MIX = """
thresholds = ["lost == 0"]
[target]
kind = "emulator"
[inputs]
eventType = "probe"
[load]
model = "open"
rate = 100
duration = "1s"
[verify]
every = "250ms"
quiet = "500ms"
deadline = "10s"
[together]
thresholds = ["p99 < 60s", "error_rate == 0", "lost == 0", "started <= 200"]
[[mix]]
name = "buy"
workflow = "amplitude"
weight = 3
[[mix]]
name = "look"
workflow = "amplitude"
inputs = { eventType = "view" }
sessions = { uploads = 2, gap = "100ms", returning = 0.3 }
"""


def scenario(folder: Path, text: str = MIX) -> Path:
    file = folder / "shop.toml"
    file.write_text(text)
    return file


def call(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "120"})


def flows(loadcheck: Loadcheck) -> dict[str, dict[str, Any]]:
    return {(made := read(path))["mix"]["flow"]: made for path in loadcheck.results()}


def test_flows_are_counted_each_and_judged_together(loadcheck: Loadcheck, tmp_path: Path) -> None:
    ended = loadcheck("run", scenario(tmp_path), "--markdown", tmp_path / "told.md")
    assert ended.code == 0, ended.stdout + ended.stderr
    made = flows(loadcheck)
    buy, look = made["buy"], made["look"]
    assert (buy["copies"]["acknowledged"], look["copies"]["acknowledged"]) == (75, 25)
    assert buy["consistency"]["uniques"] == 75
    assert look["consistency"]["totals"] == 50
    assert look["consistency"]["uniques"] < 25
    assert buy["run"]["id"] != look["run"]["id"]
    assert buy["mix"]["id"] == look["mix"]["id"]
    for each in (buy, look):
        told = each["mix"]["together"]
        assert told["verdict"] == "pass"
        assert told["copies"]["acknowledged"] == 100
        assert told["consistency"]["totals"] == 125
        times = [one["steps"]["uploadEvents"]["response_time"] for one in (buy, look)]
        whole = told["response_time"]
        assert whole["count"] == sum(one["count"] for one in times) == 125
        assert whole["max_ms"] == max(one["max_ms"] for one in times)
        assert [limit["verdict"] for limit in told["thresholds"]] == ["pass"] * 4
        assert told["thresholds"][0]["measured"] == pytest.approx(whole["p99_ms"], rel=0.01)
        assert told["load"]["reached_rate"] * told["load"]["duration_s"] == pytest.approx(100)
    assert "PASS  shop together  2 flows   100 of 100 copies acknowledged" in ended.stdout
    assert "   response time p50 " in ended.stdout
    # once, of all; and in what each flow leaves behind
    assert ended.stdout.count("✓ together: started <= 200") == 1
    assert "together: started " in (tmp_path / "told-look.md").read_text()
    whole = buy["mix"]["together"]["response_time"]
    is_named_as_one(tmp_path / "results", loadcheck.results(), whole)
    # each is a result like any other
    compared = loadcheck("compare", *loadcheck.results())
    assert compared.code in (0, 2, 3, 4), compared.stderr
    assert "bug in loadcheck" not in compared.stderr
    assert loadcheck("show", loadcheck.results()[0]).code == 0
    assert "shop-look" in loadcheck("list", tmp_path / "results").stdout


def is_named_as_one(folder: Path, paths: list[Path], whole: dict[str, Any]) -> None:
    """See that a mix, named as it was to --output, by its id or its folder, is all of its flows."""
    one, other = folder / "one.json", folder / "other.json"
    for path in paths:
        document = read(path)
        for name, id_ in ((one, "one00one00on"), (other, "other0other0")):
            document["mix"]["id"] = id_
            document["run"]["id"] = f"{id_[:6]}{document['mix']['place']:06}"
            with ResultFile(of_flow(name, document["mix"]["flow"])) as file:
                file.save(document)
    listed = call("list", folder, "--mix", "one00one00on").stdout.splitlines()
    rows = [line.split()[2] for line in listed if line.startswith("20")]
    assert rows[0] == "shop"
    assert sorted(rows[1:]) == ["shop-buy", "shop-look"]
    assert "(mix)" in listed[1]
    assert "one00one00on" in "".join(listed)
    page = call("report", folder / "one00one00on")
    assert page.exit_code == 0, page.output
    assert "shop-look" in (folder / "one00one00on.html").read_text()
    shown = call("show", one).stdout
    assert shown.count("✓ together: started") == 1
    told = call("compare", one, other, "--json")
    compared = json.loads(told.stdout)
    assert [*compared["flows"]] == ["buy", "look"]
    counted = {each["key"]: each for each in compared["together"]["figures"]}
    assert counted["all flows.response_time.p50"]["base"] == pytest.approx(whole["p50_ms"])
    assert counted["lost"]["base"] == 0
    assert call("compare", one, other, "-o", folder.parent / "c.json").exit_code in (0, 3)
    assert call("show", folder.parent / "c-together.json").exit_code == 0
    assert call("export", one, "-f", "junit", "-o", folder / "x.xml").exit_code == 0
    assert "together: started" in (folder / "x-look.xml").read_text()
    refused = call("compare", one, of_flow(other, "buy"))
    assert refused.exit_code != 0
    assert "a mix can only be compared with a mix" in "\n".join(
        map(str, refused.exception.problems)
    )
    several = call("show", folder)
    assert "a folder with the results of several runs" in str(several.exception)
    alone = folder.parent / "alone"
    alone.mkdir()
    for flow in ("buy", "look"):
        shutil.copy(of_flow(one, flow), alone)
    assert call("show", alone).stdout.count("✓ together: started") == 1
    again = json.loads(call("compare", alone, other, "--json").stdout)
    assert again["together"]["figures"] == compared["together"]["figures"]
    of_flow(one, "look").unlink()
    of_flow(alone / one.name, "look").unlink()
    for torn in (call("show", one), call("show", alone)):
        assert "without the results of its flow look" in str(torn.exception)
    of_flow(alone / one.name, "buy").unlink()
    assert "is a directory" in str(call("show", alone).exception)
    for path in (of_flow(one, "buy"), of_flow(other, "buy"), of_flow(other, "look")):
        path.unlink()


@pytest.mark.long
def test_a_fault_in_one_flow_is_told_of_it(loadcheck: Loadcheck, tmp_path: Path) -> None:
    drop = "[target.faults]\ndrop = { count = 4, among = 60 }\n[inputs]"
    faulty = MIX.replace("[inputs]", drop, 1)
    ended = loadcheck("run", scenario(tmp_path, faulty))
    assert ended.code == 1, ended.stdout + ended.stderr
    made = flows(loadcheck).values()
    seen = [each["consistency"] for each in made]
    assert sum(s["lost_at_least"] + (s["missing_events"] or 0) for s in seen) == 4
    assert {each["mix"]["together"]["verdict"] for each in made} == {"fail"}


@pytest.mark.long
def test_users_of_several_flows_are_not_added_up(loadcheck: Loadcheck, tmp_path: Path) -> None:
    text = MIX.replace("[load]", '[users]\nid = "user-{number}"\n[load]', 1)
    ended = loadcheck("run", scenario(tmp_path, text))
    for each in flows(loadcheck).values():
        assert each["mix"]["together"]["consistency"]["uniques"] is None
    assert "unique users" not in ended.stdout.splitlines()[-1]


def test_a_load_can_be_made_a_mix_by_an_option(smoke: Path) -> None:
    flows = '[{name="buy", workflow="amplitude", weight=3}, {name="look", workflow="amplitude"}]'
    shown = call("check", smoke, "--set", f"mix={flows}")
    assert shown.exit_code == 0, shown.output
    assert "buy" in shown.stdout
    assert "look" in shown.stdout
    refused = call("check", smoke, "--set", "mix.0.weight=3")
    assert "expected an array of tables, one for each flow" in str(refused.exception)


@pytest.mark.long
def test_a_threshold_of_one_flow_fails_the_whole(loadcheck: Loadcheck, tmp_path: Path) -> None:
    text = MIX + 'thresholds = ["uploadEvents.p99 < 1us"]\n'
    ended = loadcheck("run", scenario(tmp_path, text), "-o", tmp_path / "results" / "x.json")
    assert ended.code == 5, ended.stdout + ended.stderr
    assert "not passed: look" in ended.stdout
    names = sorted(path.name for path in loadcheck.results())
    assert names == ["x-buy.json", "x-look.json"]


@pytest.mark.long
def test_a_threshold_of_all_flows_fails_the_whole(loadcheck: Loadcheck, tmp_path: Path) -> None:
    text = MIX.replace('"started <= 200"', '"p99 < 1us"')
    junit, page = tmp_path / "told.xml", tmp_path / "told.html"
    ended = loadcheck("run", scenario(tmp_path, text), "--junit", junit, "--report", page)
    assert ended.code == 5, ended.stdout + ended.stderr
    assert "threshold broken: p99 < 1us (measured " in ended.stdout
    for flow, document in flows(loadcheck).items():
        assert document["verdict"] == "pass"
        assert document["mix"]["together"]["verdict"] == "fail"
        told = (tmp_path / f"told-{flow}.xml").read_text()
        assert 'failures="1"' in told
        assert "together: p99 &lt; 1us" in told
        assert "together: p99 &lt; 1us" in (tmp_path / f"told-{flow}.html").read_text()
    whole = loadcheck("report", *loadcheck.results(), "-o", tmp_path / "whole.html")
    assert whole.code == 0, whole.stderr
    assert "threshold broken: p99 &lt; 1us" in (tmp_path / "whole.html").read_text()


@pytest.mark.long
def test_how_thresholds_of_all_flows_stand_is_told_until_the_last_has_ended(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    text = MIX.replace("<= 200", "<= 10").replace('duration = "1s"', 'duration = "3s"')
    longer = 'inputs = { eventType = "view" }\nload = { duration = "9s" }'
    text = text.replace('inputs = { eventType = "view" }', longer)
    ended = loadcheck("run", scenario(tmp_path, text))
    assert ended.code == 5, ended.stdout + ended.stderr
    told = [line for line in ended.stderr.splitlines() if "of 4 thresholds broken so far" in line]
    assert all("1 of 4 thresholds broken so far  started <= 10 (" in line for line in told)
    alone = ended.stderr.rpartition("shop-buy ")[2].splitlines()[1:]
    # also when the first flow has ended
    assert sum(line in told for line in alone) > 1
    assert len(told) <= ended.stderr.count(" acknowledged ")


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_threshold_of_all_flows_ends_their_loads(
    loadcheck: Loadcheck, tmp_path: Path, workers: str
) -> None:
    limit = '{ check = "error_rate < 20%", abort = true, grace = "1s" }'
    text = MIX.replace('"started <= 200"', limit).replace('"1s"\n[verify]', '"60s"\n[verify]')
    refuse = "[target.faults]\nrefuse = { rate = 0.5 }\n[inputs]"
    text = text.replace("[inputs]", refuse, 1)
    ended = loadcheck("run", scenario(tmp_path, text), "--workers", workers)
    assert ended.code in (1, 3, 5), ended.stdout + ended.stderr
    for document in flows(loadcheck).values():
        assert document["run"]["aborted"]["threshold"] == "together: error_rate < 20%"
        assert document["load"]["duration_s"] < 50
        limits = document["mix"]["together"]["thresholds"]
        assert {one["expression"]: one["verdict"] for one in limits}["error_rate < 20%"] == "fail"


@pytest.mark.long
@pytest.mark.parametrize("more", [["--workers", "2"], ["--set", "load.arrivals=poisson"]])
def test_it_works_with_workers_and_random_arrivals(
    loadcheck: Loadcheck, tmp_path: Path, more: list[str]
) -> None:
    ended = loadcheck("run", scenario(tmp_path), *more)
    assert ended.code == 0, ended.stdout + ended.stderr


@pytest.mark.long
def test_a_flow_whose_worker_does_not_start_leaves_no_file_of_another(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    text = f'{MIX}load = {{ prefixes = ["false"] }}\n'
    ended = loadcheck("run", scenario(tmp_path, text))
    assert ended.code == 2, ended.stderr
    assert "worker 1 on false did not come up" in ended.stderr
    assert not loadcheck.results()


def test_ctrl_c_ends_all_flows_and_each_is_saved(loadcheck: Loadcheck, tmp_path: Path) -> None:
    text = MIX.replace('duration = "1s"', 'duration = "60s"')
    process = loadcheck.start("run", scenario(tmp_path, text))
    until = time.monotonic() + 60
    while time.monotonic() < until and not (
        len(loadcheck.results()) == 2
        and all(read(path).get("copies", {}).get("started", 0) > 5 for path in loadcheck.results())
    ):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    for each in flows(loadcheck).values():
        assert each["run"]["interrupted"]
        assert each["consistency"]["lost_at_least"] == 0


@pytest.mark.long
def test_each_flow_can_be_asked_about_again(
    loadcheck: Loadcheck, tmp_path: Path, service: Service
) -> None:
    ended = loadcheck("run", scenario(tmp_path), *service.options(), env=KEYS)
    assert ended.code == 0, ended.stdout + ended.stderr
    service.later("3h")
    for path in loadcheck.results():
        asked = loadcheck("reconcile", path, "--export", env=KEYS)
        assert asked.code == 0, asked.stdout + asked.stderr


def test_other_commands_say_that_they_take_one_workflow(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    ended = loadcheck("capacity", scenario(tmp_path))
    assert ended.code == 2
    assert "mix: is several workflows" in ended.stderr


@pytest.mark.long
def test_a_mix_is_asked_about_again_and_deleted_as_one(
    loadcheck: Loadcheck, tmp_path: Path, service: Service
) -> None:
    name = tmp_path / "results" / "x.json"
    ended = loadcheck("run", scenario(tmp_path), "-o", name, *service.options(), env=KEYS)
    assert ended.code == 0, ended.stdout + ended.stderr
    for path in loadcheck.results():
        document = read(path)
        document["mix"]["together"] |= {"verdict": "unknown"}
        for limit in document["mix"]["together"]["thresholds"]:
            limit["verdict"] = "unknown" if limit["expression"] == "lost == 0" else limit["verdict"]
        with ResultFile(path, replace=True) as file:
            file.save(document)
    asked = loadcheck("reconcile", name, "--markdown", tmp_path / "told.md", env=KEYS)
    assert asked.code == 0, asked.stdout + asked.stderr
    assert "PASS  shop together" in asked.stdout
    for flow, document in flows(loadcheck).items():
        assert len(document["reconciliations"]) == 1
        told = document["mix"]["together"]
        assert told["verdict"] == "pass"
        assert [limit["verdict"] for limit in told["thresholds"]] == ["pass"] * 4
        assert told["response_time"]["count"] == 125
        assert (tmp_path / f"told-{flow}.md").exists()
    gone = loadcheck("delete", name, "--yes", "--json", env=KEYS)
    assert len(json.loads(gone.stdout)) == 2, gone.stderr
    assert all("deletion" in document for document in flows(loadcheck).values())


@pytest.mark.long
def test_mixes_are_merged_flow_by_flow(loadcheck: Loadcheck, tmp_path: Path) -> None:
    file = scenario(tmp_path, MIX.replace('duration = "1s"', 'duration = "8s"'))
    names = [tmp_path / "results" / f"{name}.json" for name in ("one", "two", "all")]
    running = [loadcheck.start("run", file, "-o", name) for name in names[:2]]
    for each in running:
        _, said = each.communicate(timeout=120)
        assert each.returncode in (0, 3, 5), said
    merged = loadcheck("merge", *names[:2], "-o", names[2])
    assert merged.code in (0, 3, 5), merged.stdout + merged.stderr
    buy, look = (read(of_flow(names[2], flow)) for flow in ("buy", "look"))
    parts = [read(of_flow(name, flow)) for name in names[:2] for flow in ("buy", "look")]
    assert buy["mix"]["id"] == look["mix"]["id"] not in {p["mix"]["id"] for p in parts}
    told = buy["mix"]["together"]
    assert told["response_time"]["count"] == sum(
        step["response_time"]["count"]
        for part in parts
        for name, step in part["steps"].items()
        if name == "uploadEvents"
    )
    assert told["copies"]["started"] == sum(part["copies"]["started"] for part in parts)
    limits = {one["expression"]: one for one in told["thresholds"]}
    assert limits["started <= 200"]["verdict"] == "fail"
    assert limits["p99 < 60s"]["measured"] == pytest.approx(told["response_time"]["p99_ms"])
    refused = loadcheck("merge", names[0], of_flow(names[1], "buy"), "-o", tmp_path / "no.json")
    assert refused.code == 2
    assert 'have the flow "look"' in refused.stderr


def test_of_a_mix_that_cannot_be_saved_all_flows_are_handed_over(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    # the intents fit, the verdicts do not
    limit = (12_000, resource.RLIM_INFINITY)
    process = loadcheck.start(
        "run",
        scenario(tmp_path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 74, stderr
    assert stderr.count("cannot be written: file too large") == len(flows(loadcheck)) == 2
    assert "shop together" in stderr
    document = json.loads(stdout)
    assert document["together"]["copies"]["acknowledged"] == 100
    for name in ("buy", "look"):
        assert document["flows"][name]["run"]["phase"] == "complete"
        assert document["flows"][name]["copies"]["acknowledged"] > 0
