"""Variants of the shipped service: the batch API, and what a project may be set to."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import SCENARIOS, Loadcheck

KEYS = {"AMPLITUDE_API_KEY": "k" * 32, "AMPLITUDE_SECRET_KEY": "s" * 32}
SCENARIO = """
workflow = "{workflow}"
[target]
kind = "emulator"
limits = "documented"
{target}
[inputs]
eventType = "probe"
[load]
model = "open"
rate = 400
duration = "1s"
{load}
[verify]
every = "200ms"
quiet = "600ms"
deadline = "4s"
{more}
"""


def written(
    folder: Path,
    target: str = "",
    load: str = "copies_per_request = 20",
    more: str = "",
    workflow: str = "amplitude-batch",
) -> Path:
    path = folder / "variant.toml"
    path.write_text(SCENARIO.format(workflow=workflow, target=target, load=load, more=more))
    return path


@pytest.mark.parametrize("lost", [pytest.param(0, marks=pytest.mark.long), 9])
def test_the_batch_api(loadcheck: Loadcheck, tmp_path: Path, lost: int) -> None:
    """Users who share uploads; the lost are named."""
    faults = f"faults.drop = {{ count = {lost}, among = 400 }}" if lost else ""
    ended = loadcheck("run", written(tmp_path, faults))
    assert ended.code == (1 if lost else 0), ended.stdout + ended.stderr
    result = ended.result
    assert result["copies"]["acknowledged"] == 400
    assert result["consistency"]["lost_at_least"] == lost
    named = result["consistency"]["localized"]
    assert len(named["lost"] if named else ()) == lost


@pytest.mark.long
def test_the_http_v2_api_takes_less_of_a_user(loadcheck: Loadcheck, tmp_path: Path) -> None:
    """1,000 events of one user at once, under documented limits."""
    load = "events_per_copy = 1000\n[retry]\nattempts = 1"
    for workflow, outcome in (("amplitude", "rejected"), ("amplitude-batch", "acknowledged")):
        scenario = written(tmp_path, load=load, workflow=workflow)
        ended = loadcheck("run", scenario, "--set", "load.rate=4", "-o", f"{workflow}.json")
        copies = orjson.loads((tmp_path / f"{workflow}.json").read_bytes())["copies"]
        assert copies[outcome] == 4, ended.stdout + ended.stderr


@pytest.mark.long
def test_workers_take_it_too(loadcheck: Loadcheck, tmp_path: Path) -> None:
    """They find it by its name, as the shipped ones."""
    ended = loadcheck("run", written(tmp_path), "--workers", "2")
    assert ended.code == 0, ended.stdout + ended.stderr
    assert ended.result["workflow"]["name"] == "amplitude-batch"


def test_plan_knows_the_limits_of_the_batch_api(loadcheck: Loadcheck) -> None:
    batch = SCENARIOS / "amplitude-batch.toml"
    planned = loadcheck("plan", batch, "--json", "--set", 'target.region="eu"', env=KEYS)
    assert planned.code == 0, planned.stderr
    document = orjson.loads(planned.stdout)
    limits = {each["limit"]: each["allowed"] for each in document["limits"]}
    wanted = {
        "events_per_s": 100_000,
        "user_events_per_s": 1000,
        "user_events_per_day": 500_000,
        "events_per_request": 2000,
        "request_bytes": 20_000_000,
    }
    assert wanted.items() <= limits.items()
    assert "api.eu.amplitude.com" in planned.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "fit"),
    [
        (
            ["load.events_per_copy=3", "service.limits.user_events_per_day=2"],
            "load.events_per_copy = 2",
        ),
        (
            [
                'sessions={uploads=4, gap="1s"}',
                "service.limits.user_events_per_day=3",
                "load.max_in_flight=2000",
            ],
            "fewer sessions.uploads or sessions.returning",
        ),
    ],
)
def test_what_breaks_them_is_refused(loadcheck: Loadcheck, settings: list[str], fit: str) -> None:
    batch = SCENARIOS / "amplitude-batch.toml"
    changes = [f"--set={each}" for each in (*settings, "load.copies_per_request=1")]
    refused = loadcheck("plan", batch, *changes, env=KEYS)
    assert refused.code == 2, refused.stdout
    assert fit in refused.stderr


OWN = """
arazzo: 1.0.1
info: { title: Identify first, version: '1' }
sourceDescriptions:
- { name: httpV2Api, url: ./http-v2-api.yml, type: openapi }
- { name: dashboardRestApi, url: ./dashboard-rest-api.yml, type: openapi }
workflows:
- workflowId: identify-and-count
  inputs:
    type: object
    properties:
      apiKey: { type: string }
      basicAuth: { type: string }
      userId: { type: string }
      eventType: { type: string }
      start: { type: string }
      end: { type: string }
  steps:
  - stepId: identify
    operationId: $sourceDescriptions.httpV2Api.identifyUsers
    requestBody:
      contentType: application/x-www-form-urlencoded
      payload:
        api_key: $inputs.apiKey
        identification:
        - user_id: $inputs.userId
          user_properties: { $set: { plan: PLAN } }
    successCriteria:
    - condition: $statusCode == 200
  - stepId: uploadEvents
    operationId: $sourceDescriptions.httpV2Api.uploadEvents
    requestBody:
      contentType: application/json
      payload:
        api_key: $inputs.apiKey
        events:
        - user_id: $inputs.userId
          event_type: $inputs.eventType
          event_properties: {}
    successCriteria:
    - condition: $statusCode == 200
  - stepId: segmentEvent
    operationId: $sourceDescriptions.dashboardRestApi.getEventSegmentation
    parameters:
    - { name: Authorization, in: header, value: "Basic {$inputs.basicAuth}" }
    - name: e
      in: query
      value: '{"event_type":"{$inputs.eventType}","filters":[{"subprop_type":"user",
        "subprop_key":"gp:plan","subprop_op":"is","subprop_value":["gold"]}]}'
    - { name: start, in: query, value: $inputs.start }
    - { name: end, in: query, value: $inputs.end }
    - { name: m, in: query, value: uniques }
    - { name: i, in: query, value: 1 }
    successCriteria:
    - condition: $statusCode == 200
"""
IDENTIFY = """
[target]
kind = "emulator"
[inputs]
eventType = "probe"
[load]
model = "open"
rate = 100
duration = "1s"
[verify]
every = "200ms"
quiet = "600ms"
deadline = "3s"
[workflow]
document = "own.yml"
profile = "amplitude"
[workflow.sources]
httpV2Api = "shipped:amplitude/http-v2-api.yml"
dashboardRestApi = "shipped:amplitude/dashboard-rest-api.yml"
"""


@pytest.mark.parametrize("plan", ["gold", pytest.param("silver", marks=pytest.mark.long)])
def test_users_are_identified_before_they_upload(
    loadcheck: Loadcheck, tmp_path: Path, plan: str
) -> None:
    """The count asks for users by the property, which only the identification has set."""
    (tmp_path / "own.yml").write_text(OWN.replace("PLAN", plan))
    (tmp_path / "own.toml").write_text(IDENTIFY)
    ended = loadcheck("run", "own.toml")
    result = ended.result
    assert result["copies"]["acknowledged"] == 100, ended.stdout + ended.stderr
    assert result["steps"]["identify"]["attempts"] == 100
    counted = 100 if plan == "gold" else 0  # of the silver ones the control users neither
    assert ended.code == (0 if counted else 3), ended.stdout + ended.stderr
    assert result["consistency"]["uniques"] == counted


def test_a_shipped_description_that_is_none(loadcheck: Loadcheck, tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text(OWN)
    (tmp_path / "own.toml").write_text(IDENTIFY.replace("http-v2", "http-v1"))
    ended = loadcheck("check", "own.toml")
    assert ended.code == 2
    assert "loadcheck comes with no shipped:amplitude/http-v1-api.yml" in ended.stderr
    assert 'did you mean "shipped:amplitude/http-v2-api.yml"' in ended.stderr


@pytest.mark.long
def test_a_scenario_in_another_folder_keeps_its_description(
    loadcheck: Loadcheck, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "own.yml").write_text(OWN)
    (tmp_path / "base" / "own.toml").write_text(IDENTIFY)
    (tmp_path / "mine.toml").write_text('extends = "base/own.toml"\n')
    ended = loadcheck("check", "mine.toml")
    assert ended.code == 0, ended.stderr


def edited(step: str, at: str, value: str) -> str:
    return f'[[overlay]]\nstep = "{step}"\nat = "{at}"\nvalue = {value}\n'


@pytest.mark.long
@pytest.mark.parametrize(
    ("more", "accepted"),
    [
        (edited("uploadEvents", "body#/events/0/partner_id", '"a partner"'), True),
        (edited("uploadEvents", "body#/events/0/partner_id", "5"), False),
        (
            edited("uploadEvents", "body#/options/min_id_length", "2")
            + '[users]\nid = "u{number}"\n',
            True,
        ),
        ('[users]\nid = "u{number}"\n', False),
    ],
)
def test_what_an_upload_may_say_besides(
    loadcheck: Loadcheck, tmp_path: Path, more: str, *, accepted: bool
) -> None:
    """The emulator takes partner_id as text, and ids as short as the upload says."""
    scenario = written(tmp_path, load="[retry]\nattempts = 1", more=more, workflow="amplitude")
    ended = loadcheck("run", scenario, "--set", "load.rate=50")
    copies = ended.result["copies"]
    assert copies["acknowledged" if accepted else "rejected"] == 50, ended.stdout + ended.stderr
    assert (ended.code == 0) is accepted
    assert (ended.result["consistency"]["uniques"] or 0) == (50 if accepted else 0)


@pytest.mark.long
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_days_of_the_project_far_from_those_of_this_machine(
    loadcheck: Loadcheck, tmp_path: Path, zone: str
) -> None:
    """UTC+14 and UTC-11: one of them has another day now, and the window has room for it."""
    daily = edited("segmentEvent", "query.i", '"1"')
    scenario = written(tmp_path, f'time_zone = "{zone}"', more=daily, load="")
    ended = loadcheck("run", scenario, "--set", "load.rate=50")
    assert ended.code == 0, ended.stdout + ended.stderr
    assert ended.result["consistency"]["uniques"] == 50
