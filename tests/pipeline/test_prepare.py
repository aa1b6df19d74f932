"""What can be refused before the first byte is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadcheck import scenario as scenarios
from loadcheck.errors import ScenarioError
from loadcheck.pipeline.prepare import repeatable_steps
from loadcheck.scenario.model import Scenario
from tests.compiled import compiled

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def load(name: str, *overrides: str) -> Scenario:
    return scenarios.load(SCENARIOS / f"{name}.toml", overrides=overrides, env={})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["verify.ingest=nobody"], 'verify.ingest: there is no step "nobody" that sends a request'),
        (["overlay=[{step='uploadEvent', at='query.a', value=1}]"], 'did you mean "uploadEvents"?'),
        (["verify.step=uploadEvents"], 'there is no observer step "uploadEvents"'),
        (["limits.nobody.rate=1"], "is not a step that copies run"),
        (["target.visibility_dealy=1s"], 'did you mean "visibility_delay"?'),
        (['thresholds=["uploadEvent.p99 < 1s"]'], 'did you mean "uploadEvents.p99"?'),
        (
            ["verify.split.tag=[{at='$inputs.lables', value='{$partition}'}]"],
            "verify.split.tag.0.at: the workflow has no such input",
        ),
        (["verify.split.limit=200"], "200 rows cannot tell a full answer of up to 200 buckets"),
    ],
)
def test_what_does_not_fit_the_workflow_is_told(overrides: list[str], message: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        compiled(load("smoke", *overrides))
    assert message in str(raised.value)


def test_only_what_carries_a_key_is_sent_again() -> None:
    shipped = load("smoke")
    plan = compiled(shipped).plan
    assert [plan.steps[index].step_id for index in repeatable_steps(shipped, plan)] == [
        "uploadEvents"
    ]
    assert repeatable_steps(load("smoke", "retry.stale=false"), plan) == []


def test_leave_to_send_again_is_refused_where_nothing_could_use_it(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        'workflow = "influxdb"\n[target]\nkind = "live"\nservers = { influxdb1Api = '
        '"http://127.0.0.1:9" }\n[inputs]\npointId = "always-the-same"\ndatabase = "d"\n'
        'measurement = "m"\nauthorization = "a"\n[retry]\nstale = true\n[load]\n'
        'model = "closed"\nconcurrency = 1\ncopies = 1\n[verify]\nenabled = false\n'
    )
    with pytest.raises(ScenarioError) as raised:
        compiled(scenarios.load(tmp_path / "s.toml", env={}))
    assert "retry.stale: no request carries a key" in str(raised.value)
    assert "put $copy.insertId into the request" in str(raised.value)


def test_steps_are_found_by_what_they_do() -> None:
    found = compiled(load("smoke"))
    assert found.observer is not None
    assert (found.ingest.step_id, found.observer.step_id) == ("uploadEvents", "segmentEvent")
    assert found.isolation == "filter"
    assert compiled(load("influxdb")).isolation in ("filter", "baseline")


@pytest.mark.parametrize("name", ["smoke", "live"])
def test_events_carry_buckets_wherever_the_profile_knows_how(name: str) -> None:
    env = {"AMPLITUDE_API_KEY": "a-key", "AMPLITUDE_SECRET_KEY": "secret"}
    found = scenarios.load(SCENARIOS / f"{name}.toml", env=env)
    assert found.verify.localizes
    plain = scenarios.load(SCENARIOS / f"{name}.toml", overrides=["verify.localize=false"], env=env)
    assert not plain.verify.localizes
    about = scenarios.load(SCENARIOS / f"{name}.toml", overrides=["verify.approximate=1%"], env=env)
    assert (about.verify.localizes, about.verify.approximate) == (False, 0.01)


def test_without_verification_nobody_is_asked() -> None:
    found = compiled(load("smoke", "verify.enabled=false", "thresholds=[]"))
    assert (found.observer, found.verification) == (None, None)


_CALLS = """\
arazzo: 1.0.1
info: {title: t, version: "1"}
sourceDescriptions: [{name: api, url: api.yaml, type: openapi}]
workflows:
  - workflowId: before
    inputs: {type: object, properties: {q: {type: string}}}
    steps:
      - stepId: s
        operationId: list
        parameters: [{name: tags, in: query, value: "of {$inputs.q}"}]
  - workflowId: first
    dependsOn: [before]
    steps: [{stepId: y, operationId: list}]
  - workflowId: calls
    steps: [{stepId: x, workflowId: before}, {stepId: y, operationId: list}]
  - workflowId: gives
    steps:
      - {stepId: x, workflowId: before, parameters: [{name: q, value: a}]}
      - {stepId: y, operationId: list}
"""
_LISTS = """\
openapi: 3.0.4
info: {title: t, version: "1"}
servers: [{url: "http://127.0.0.1:9"}]
paths:
  /items:
    get:
      operationId: list
      parameters: [{name: tags, in: query, schema: {type: string}}]
      responses: {"200": {description: ok}}
"""


@pytest.mark.parametrize("workflow", ["first", "calls", "gives"])
def test_a_request_that_nobody_can_make_is_refused_before_anything_is_sent(
    tmp_path: Path, workflow: str
) -> None:
    (tmp_path / "w.yaml").write_text(_CALLS)
    (tmp_path / "api.yaml").write_text(_LISTS)
    (tmp_path / "s.toml").write_text(
        f'workflow = {{ document = "w.yaml", id = "{workflow}" }}\n[target]\nkind = "live"\n'
        'servers = { "*" = "http://127.0.0.1:9" }\n[load]\nmodel = "closed"\nconcurrency = 1\n'
        'copies = 1\n[verify]\nenabled = false\ningest = "y"\n'
    )
    scenario = scenarios.load(tmp_path / "s.toml", env={})
    if workflow == "gives":
        assert compiled(scenario).plan.unsendable == {}
        return
    with pytest.raises(ScenarioError) as raised:
        compiled(scenario)
    assert "the first request cannot be made: s: $inputs.q has no value" in str(raised.value)
