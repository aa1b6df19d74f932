"""``loadcheck reconcile``: from the results file alone, later, exact with the export."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest

from loadcheck.result.store import read
from tests.cli.conftest import KEYS, Loadcheck, Service


def document(loadcheck: Loadcheck) -> dict[str, Any]:
    (path,) = loadcheck.results()
    return read(path)


@pytest.mark.long
@pytest.mark.parametrize("service", [{"visibility_delay": "1h"}], indirect=True)
def test_what_was_not_visible_in_time_is_found_later(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    ran = loadcheck("run", smoke, *service.options(), "--label", "env=staging", env=KEYS)
    assert ran.code == 3, ran.stdout + ran.stderr
    first = ran.result
    assert first["verdict"] == "unknown"
    assert first["labels"]["env"] == "staging"
    assert first["consistency"]["overtaken"] is False
    service.later("2h")
    asked = loadcheck("reconcile", ran.results[0], env=KEYS)
    assert asked.code == 0, asked.stdout + asked.stderr
    now = document(loadcheck)
    assert now["verdict"] == "pass"
    assert now["labels"] == first["labels"]
    assert now["consistency"]["uniques"] == 200
    assert now["thresholds"][0]["verdict"] == "pass"
    # nobody waits for ever any more: everybody came after the last answer of the run, before this
    lag, longest = now["consistency"]["visibility"], now["consistency"]["observations"][-1]
    assert first["consistency"]["visibility"]["max_s"] is None
    assert lag["never"] == 0
    assert 0 < lag["lower"]["max_s"] <= lag["max_s"] <= longest["answered_s"] + 1
    shown = loadcheck("show", ran.results[0])
    assert "never" not in shown.stdout
    assert len(now["reconciliations"]) == 1
    assert now["reconciliations"][0]["uniques"] == 200
    more = now["consistency"]["observations"]
    assert len(more) > len(first["consistency"]["observations"])
    assert more[-1]["asked_s"] > first["consistency"]["observations"][-1]["asked_s"]
    for secret in KEYS.values():
        assert secret not in ran.results[0].read_text()


def test_a_killed_run_is_judged_from_what_it_had_saved(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    process = loadcheck.start(
        "run",
        smoke,
        *service.options(**{"load.rate": 300, "load.duration": "20s", "thresholds": "[]"}),
        env=KEYS,
    )
    until = time.monotonic() + 30
    while time.monotonic() < until and not (
        loadcheck.results() and document(loadcheck)["copies"]["started"] > 600
    ):
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert document(loadcheck)["run"]["phase"] == "running"
    asked = loadcheck("reconcile", loadcheck.results()[0], env=KEYS)
    now = document(loadcheck)
    (entry,) = now["reconciliations"]
    # all that was acknowledged is there; what came after the last save is indeterminate
    assert now["consistency"]["lost_at_least"] == 0
    assert entry["unsaved"] > 0
    assert now["consistency"]["uniques"] >= now["copies"]["acknowledged"] > 0
    assert now["consistency"]["uniques"] <= now["consistency"]["upper"]
    assert now["verdict"] in ("pass", "unknown"), asked.stdout
    assert asked.code in (0, 3)


@pytest.mark.long
def test_the_export_decides_event_by_event(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    service.call("PUT", "faults", drop={"count": 3, "first": 10}, duplicate={"count": 2})
    ran = loadcheck("run", smoke, *service.options(), env=KEYS)
    assert ran.code == 1, ran.stdout + ran.stderr
    truth = {fault["kind"]: fault for fault in service.call("GET", "truth")}
    early = loadcheck("reconcile", ran.results[0], "--export", env=KEYS)
    assert early.code == 2
    assert "two hours" in early.stderr
    service.later("4h")
    asked = loadcheck("reconcile", ran.results[0], "--export", env=KEYS)
    assert asked.code == 1, asked.stdout + asked.stderr
    found = document(loadcheck)["reconciliations"][-1]["export"]
    assert (found["lost"], found["duplicated"], found["altered"], found["unexpected"]) == (
        3,
        2,
        0,
        0,
    )
    assert found["events"] == 199
    lost = {copy["user_id"] for copy in found["lost_copies"]}
    assert lost == set(truth["drop"]["user_ids"])
    assert lost == {copy["user_id"] for copy in ran.result["consistency"]["localized"]["lost"]}
    twice = {copy["user_id"] for copy in found["duplicated_copies"]}
    assert twice == set(truth["duplicate"]["user_ids"])


@pytest.mark.long
def test_several_events_a_copy_are_told_apart(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    ran = loadcheck("run", smoke, *service.options(**{"load.events_per_copy": 3}), env=KEYS)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert ran.result["consistency"]["totals"] == 600
    service.later("4h")
    asked = loadcheck("reconcile", ran.results[0], "--export", env=KEYS)
    assert asked.code == 0, asked.stdout + asked.stderr
    assert document(loadcheck)["reconciliations"][-1]["export"]["events"] == 600


@pytest.mark.long
def test_a_run_on_the_embedded_emulator_cannot_be_asked_again(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    ran = loadcheck("run", smoke)
    before = ran.results[0].read_bytes()
    asked = loadcheck("reconcile", ran.results[0])
    assert asked.code == 2
    assert "ended with it" in asked.stderr
    assert "--server" in asked.stderr
    assert ran.results[0].read_bytes() == before


@pytest.mark.long
def test_another_server_may_be_named_and_credentials_are_needed_for_it(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    ran = loadcheck("run", smoke)
    missing = loadcheck("reconcile", ran.results[0], "--server", service.url)
    assert missing.code == 2
    assert "needs credentials" in missing.stderr
    # it answers, and it has never heard of the run
    asked = loadcheck("reconcile", ran.results[0], "--server", service.url, env=KEYS)
    assert asked.code == 1, asked.stdout + asked.stderr
    assert document(loadcheck)["consistency"]["uniques"] == 0


@pytest.mark.long
def test_users_are_called_by_the_ids_that_were_sent(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    service.call("PUT", "faults", drop={"count": 3, "first": 10})
    own = {"inputs.userId": '"acct-{$copy.number}@example.com"'}
    ran = loadcheck("run", smoke, *service.options(**own), env=KEYS)
    assert ran.code == 1, ran.stdout + ran.stderr
    (truth,) = service.call("GET", "truth")
    numbers = [copy["copy"] for copy in ran.result["consistency"]["localized"]["lost"]]
    named = [copy["user_id"] for copy in ran.result["consistency"]["localized"]["lost"]]
    assert named == [f"acct-{number}@example.com" for number in numbers]
    assert len(named) == 3
    assert named[0] in ran.stdout
    assert "lc-" not in ran.stdout
    controls = ran.result["consistency"]["controls"]
    assert (controls["paired"], controls["paired_visible"]) == (3, 3)
    assert controls["paired_copies"] == numbers
    assert (controls["checked"], controls["checked_visible"]) == (20, 20)
    service.later("3h")
    asked = loadcheck("reconcile", ran.results[0], "--export", env=KEYS)
    assert asked.code == 1, asked.stdout + asked.stderr
    told = document(loadcheck)["reconciliations"][-1]["export"]
    assert (told["lost"], told["unexpected"], told["altered"]) == (3, 0, 0)
    assert [copy["user_id"] for copy in told["lost_copies"]] == named
    assert truth["kind"] == "drop"


@pytest.mark.long
def test_a_service_that_is_gone_leaves_the_verdict_unknown(
    loadcheck: Loadcheck, smoke: Path
) -> None:
    ran = loadcheck("run", smoke)
    asked = loadcheck(
        "reconcile", ran.results[0], "--server", "http://127.0.0.1:1", "--quiet", env=KEYS
    )
    assert asked.code == 3, asked.stderr
    assert document(loadcheck)["verdict"] == "unknown"
    assert "127.0.0.1" in json.dumps(document(loadcheck)["findings"])


@pytest.mark.long
@pytest.mark.parametrize("service", [{"visibility_delay": "1h"}], indirect=True)
def test_a_killed_run_of_which_nobody_is_shown_yet_has_lost_nobody(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    process = loadcheck.start(
        "run", smoke, *service.options(**{"load.rate": 100, "load.duration": "20s"}), env=KEYS
    )
    until = time.monotonic() + 30
    while time.monotonic() < until and not (
        loadcheck.results() and document(loadcheck)["copies"]["acknowledged"] > 100
    ):
        time.sleep(0.1)
    process.kill()
    process.communicate()
    asked = loadcheck("reconcile", loadcheck.results()[0], env=KEYS)
    assert asked.code == 3, asked.stdout + asked.stderr
    assert "lost or late" in " ".join(asked.stdout.split())
    service.later("2h")
    asked = loadcheck("reconcile", loadcheck.results()[0], env=KEYS)
    now = document(loadcheck)
    assert now["consistency"]["lost_at_least"] == 0
    assert now["consistency"]["uniques"] >= now["copies"]["acknowledged"]
    assert now["reconciliations"][0]["verdict"] == "unknown"
    assert asked.code in (0, 3), asked.stdout


@pytest.mark.long
def test_the_export_tells_what_was_altered_and_what_was_never_sent(
    loadcheck: Loadcheck, smoke: Path, service: Service
) -> None:
    ran = loadcheck("run", smoke, *service.options(), env=KEYS)
    assert ran.code == 0, ran.stdout + ran.stderr
    (path,) = ran.results
    stored = orjson.loads(path.read_bytes())
    run_id = stored["run"]["id"]
    stranger = {
        "user_id": f"lc-{run_id}-0009999",
        "event_type": stored["scenario"]["inputs"]["eventType"],
        "event_properties": {"loadcheck_run": run_id},
    }
    body = orjson.dumps({"api_key": KEYS["AMPLITUDE_API_KEY"], "events": [stranger]})
    request = urllib.request.Request(
        f"{service.url}/2/httpapi", data=body, headers={"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()
    # as if something else had been sent than what arrived
    stored["scenario"]["inputs"]["eventProperties"] = {"scenario": "another"}
    path.write_bytes(orjson.dumps(stored))
    service.later("4h")
    asked = loadcheck("reconcile", path, "--export", env=KEYS)
    assert asked.code == 1, asked.stdout + asked.stderr
    found = document(loadcheck)["reconciliations"][-1]["export"]
    assert (found["lost"], found["duplicated"]) == (0, 0)
    assert (found["altered"], found["unexpected"]) == (200, 1)
    assert found["unexpected_users"] == [stranger["user_id"]]
    field = found["altered_fields"][0]
    assert (field["sent"], field["found"]) == ("another", "smoke")
    assert field["field"].endswith("/scenario")
    said = " ".join(asked.stdout.split())
    assert "200 fields differ from what was sent" in said
    assert "1 event is in the export that were refused or never sent" in said
