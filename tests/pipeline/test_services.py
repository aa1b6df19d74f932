"""The profiles of services, against small servers that answer as the services document it."""

from __future__ import annotations

import gzip
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from loadcheck.scenario.layers import shipped
from loadcheck.scenario.schema import SAMPLES
from tests.cli.conftest import Ended, Loadcheck
from tests.pipeline import services
from tests.pipeline.services import Answer, Call, Event, Service, Store, serving

SCENARIO = """
workflow = "{name}"
[target]
kind = "live"
servers = {{ "*" = "{url}" }}
[inputs]
{inputs}
[load]
model = "closed"
concurrency = 40
copies = 300
copies_per_request = {together}
[verify]
every = "200ms"
quiet = "500ms"
deadline = "3s"
budget = {{ cost = 1000, window = "1s" }}
{more}
"""
SERVICES: dict[str, tuple[Service, str]] = {
    "clickhouse": (services.clickhouse, ""),
    "influxdb": (services.influxdb, ""),
    "influxdb2": (services.influxdb, 'org = "o"\nbucket = "b"\nauthorization = "Token t"'),
    "postgrest": (services.postgrest, ""),
    "segment": (services.segment, 'writeKey = "key-of-source"'),
    "elasticsearch": (services.elasticsearch, ""),
    "posthog": (
        services.posthog,
        'projectToken = "phc_token"\nprojectId = "1"\npersonalKey = "phx_key"',
    ),
    "mixpanel": (services.mixpanel, 'projectId = "1"\nbasicAuth = "YTpi"'),
}


def run(
    folder: Path,
    name: str,
    store: Store,
    *,
    together: int = 1,
    more: str = "",
    service: Service | None = None,
) -> Ended:
    """Run 300 copies against a service."""
    answers, inputs = SERVICES[name]
    with serving(service or answers, store) as url:
        text = SCENARIO.format(name=name, url=url, inputs=inputs, together=together, more=more)
        (folder / "s.toml").write_text(text)
        return Loadcheck(folder)("run", "s.toml")


def exported(
    folder: Path, name: str, store: Store, *, service: Service | None = None, more: str = ""
) -> tuple[Ended, Ended]:
    """Run 300 copies against a service, then compare with what it exports."""
    answers, inputs = SERVICES[name]
    with serving(service or answers, store) as url:
        further = more.replace("URL", url)
        text = SCENARIO.format(name=name, url=url, inputs=inputs, together=1, more=further)
        (folder / "s.toml").write_text(text)
        loadcheck = Loadcheck(folder)
        ran = loadcheck("run", "s.toml")
        return ran, loadcheck("reconcile", *ran.results, "--export")


def check_export(asked: Ended, **planted: int) -> None:
    """Hold what was exported to what was planted, and to who is missing by the counts."""
    assert asked.result.get("reconciliations"), asked.stdout + asked.stderr
    told = asked.result["reconciliations"][-1]["export"]
    want = {"lost": 0, "duplicated": 0, "altered": 0, "unexpected": 0} | planted
    assert {name: told[name] for name in want} == want, asked.stdout + asked.stderr
    assert asked.code == (1 if planted else 0), asked.stdout + asked.stderr
    named = asked.result["consistency"]["localized"] or {"lost": [], "duplicated": []}
    for name in ("lost", "duplicated"):
        users = {one["user_id"] for one in told[f"{name}_copies"]}
        assert users == {one["user_id"] for one in named[name]}
        assert len(users) == want[name]
        said = next(one["summary"] for one in asked.result["findings"] if one["check"] == name)
        if users:
            first = told[f"{name}_copies"][0]["user_id"]
            assert f"{len(users)} are named in the results file, the first {first}" in said


def check(ended: Ended, **planted: int) -> None:
    """Hold a run to what was planted: lost and duplicated users are named, one by one."""
    told = ended.result["consistency"]
    want = {"lost": 0, "duplicated": 0} | planted
    assert {name: told[name] or 0 for name in want} == want, ended.stdout + ended.stderr
    named = told["localized"] or {"lost": [], "duplicated": []}
    assert {name: len(named[name]) for name in want} == want, ended.stdout
    assert ended.code == (1 if any(want.values()) else 0), ended.stdout + ended.stderr


def test_every_profile_but_amplitude_is_tested_here() -> None:
    """The emulator, and half of the other tests, are Amplitude's; its batch API's in tests/cli."""
    assert {"amplitude", "amplitude-batch", *SERVICES} == set(shipped())


@pytest.mark.parametrize(
    ("name", "together"),
    [("elasticsearch", 10), pytest.param("clickhouse", 1, marks=pytest.mark.long)],
)
def test_users_who_are_lost_are_named(tmp_path: Path, name: str, together: int) -> None:
    check(run(tmp_path, name, Store(lose=19), together=together), lost=19)


@pytest.mark.long
@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    ("planted", "together"),
    [({"lost": 19}, 7), ({"duplicated": 15}, 1), ({}, 10)],
)
def test_what_is_planted_is_named(
    tmp_path: Path, name: str, planted: dict[str, int], together: int
) -> None:
    faults = Store(lose=planted.get("lost", 0), twice=planted.get("duplicated", 0))
    check(run(tmp_path, name, faults, together=together), **planted)


@pytest.mark.long
def test_counts_in_quotes_are_counts(tmp_path: Path) -> None:
    check(run(tmp_path, "clickhouse", Store(lose=19, quoted=True)), lost=19)


@pytest.mark.parametrize(
    "name", ["elasticsearch", pytest.param("mixpanel", marks=pytest.mark.long)]
)
def test_events_refused_by_name_are_no_loss(tmp_path: Path, name: str) -> None:
    """Of a request of ten, some are refused and the others taken."""
    ended = run(tmp_path, name, Store(refuse=23), together=10)
    copies: dict[str, Any] = ended.result["copies"]
    assert (copies["rejected"], copies["acknowledged"]) == (23, 277), ended.stdout
    check(ended)


CARDINALITY = """
approximate = "10%"
[verify.uniques]
value = "$response.body#/aggregations/groups/value"
[[verify.uniques.overlay]]
at = "body#/aggs"
value.groups.cardinality.field = "user_id"
[[verify.totals.overlay]]
at = "body#/aggs"
value.groups.cardinality.field = "user_id"
value.totals.value_count.field = "user_id"
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("lose", "verdict"),
    [(0, "pass"), (19, "pass"), (90, "fail")],
    ids=["the error alone", "within the error", "beyond the error"],
)
def test_an_approximate_count_says_how_far_it_is_to_be_believed(
    tmp_path: Path, lose: int, verdict: str
) -> None:
    more = CARDINALITY
    ended = run(tmp_path, "elasticsearch", Store(lose=lose), more=more)
    lost = next(each for each in ended.result["findings"] if each["check"] == "lost")
    assert (lost["verdict"], "10 %" in lost["summary"]) == (verdict, True), lost["summary"]
    assert ended.result["consistency"]["localized"] is None


DELETES = {
    "clickhouse": r"POST /\?database=default&mutations_sync=1 "
    r"ALTER TABLE events DELETE WHERE run = '(?P<run>\w+)'",
    "influxdb": r'POST /query\?db=loadcheck&q=DELETE FROM "\w+" WHERE "run" = \'(?P<run>\w+)\' ',
    "influxdb2": r"POST /api/v2/delete\?org=o&bucket=b "
    r'\{"start":"1970-01-01T00:00:00Z","stop":"2100-01-01T00:00:00Z",'
    r'"predicate":"run=\\"(?P<run>\w+)\\""\}',
    "postgrest": r"DELETE /events\?run=eq\.(?P<run>\w+) ",
    "elasticsearch": r"POST /\w+/_delete_by_query\?conflicts=proceed&refresh=true "
    r'\{"query":\{"term":\{"run":"(?P<run>\w+)"\}\}\}',
}
"""What a request to delete the events of a run looks like."""


def deleting(name: str) -> Service:
    """Return a service that deletes as well."""
    answers, _ = SERVICES[name]

    def service(store: Store, call: Call) -> Answer:
        asked = re.fullmatch(
            DELETES[name], f"{call.method} {unquote(call.url)} {call.body.decode()}"
        )
        if asked is None:
            return answers(store, call)
        store.forget(lambda event: event.run == asked["run"])
        return 200, {}

    return service


@pytest.mark.long
@pytest.mark.parametrize("name", DELETES)
def test_what_the_run_sent_is_deleted_at_its_end(tmp_path: Path, name: str) -> None:
    """Users went missing, so that control users were sent: they go with the others."""
    other = Event("another", "somebody", {})
    store = Store(lose=9, events=[other])
    more = "[teardown]\ndelete = true"
    ended = run(tmp_path, name, store, more=more, service=deleting(name))
    deletion = ended.result["deletion"]
    assert (deletion["before"], deletion["after"], store.events) == (291, 0, [other]), ended.stdout


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - DELETES.keys()))
def test_a_service_that_cannot_delete_says_why(name: str) -> None:
    profile = tomllib.loads((shipped()[name] / "profile.toml").read_text())
    assert len(profile["delete"]["impossible"]) > 40


@pytest.mark.long
def test_the_base_path_stands_before_every_path(tmp_path: Path) -> None:
    """Steps, the export and the deletion go to the same server, behind a gateway."""
    paths = set()

    def service(store: Store, call: Call) -> Answer:
        prefix, rest = call.url[:8], call.url[8:]
        assert prefix == "/gateway"
        paths.add(call._replace(url=rest).path)
        return deleting("elasticsearch")(store, call._replace(url=rest))

    with serving(service, store := Store(lose=19)) as url:
        text = SCENARIO.format(
            name="elasticsearch", url=f"{url}/gateway", inputs="", together=1, more=""
        )
        (tmp_path / "s.toml").write_text(text)
        loadcheck = Loadcheck(tmp_path)
        ran = loadcheck("run", "s.toml")
        check_export(loadcheck("reconcile", *ran.results, "--export"), lost=19)
        deleted = loadcheck("delete", *ran.results, "--yes")
    assert deleted.code == 0, deleted.stdout + deleted.stderr
    assert not store.events
    index = "/loadcheck"
    assert paths == {
        *(f"{index}/{name}" for name in ("_bulk", "_search", "_delete_by_query")),
        "/_search/scroll",
    }


EXPORTS = (
    "clickhouse",
    "elasticsearch",
    "influxdb",
    "influxdb2",
    "mixpanel",
    "postgrest",
    "posthog",
    "segment",
)


def test_every_profile_that_exports_is_tested_here() -> None:
    texts = {name: (folder / "profile.toml").read_text() for name, folder in shipped().items()}
    exporting = {
        name for name, text in texts.items() if "export" in tomllib.loads(text).get("verify", {})
    }
    assert {name for name in exporting if not name.startswith("amplitude")} == set(EXPORTS)


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("postgrest", {"lost": 19}),
        *(
            pytest.param(name, planted, marks=pytest.mark.long)
            for name in EXPORTS
            for planted in ({"lost": 19}, {"duplicated": 15}, {})
            if (name, planted) != ("postgrest", {"lost": 19})
        ),
    ],
)
def test_the_export_names_what_is_planted(
    tmp_path: Path, name: str, planted: dict[str, int]
) -> None:
    faults = Store(lose=planted.get("lost", 0), twice=planted.get("duplicated", 0))
    _, asked = exported(tmp_path, name, faults)
    check_export(asked, **planted)


def cut(content: bytes) -> bytes:
    return content[:-30]


def packed(content: bytes) -> bytes:
    return gzip.compress(content)


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a cut line": (cut, "not a JSON object"),
    "a cut gzip": (lambda content: cut(packed(content)), "cannot be read"),
    "a page for people": (lambda _: b"<html><body>Bad gateway</body></html>", "begins with '<html"),
    "an error in its midst": (lambda content: content + b"Code: 241. Memory limit\n", "Code: 241"),
    "an error as a row": (lambda content: content + b'{"exception": "Code: 241"}\n', "Code: 241"),
}


@pytest.mark.long
@pytest.mark.parametrize("spoilt", SPOILT)
def test_an_export_that_is_not_whole_is_told_and_proves_nothing(
    tmp_path: Path, spoilt: str
) -> None:
    spoil, says = SPOILT[spoilt]

    def service(store: Store, call: Call) -> Answer:
        status, told = services.clickhouse(store, call)
        export = "JSONEachRow" in call.url and call.method == "GET"
        return status, spoil(told) if export else told

    ran, asked = exported(tmp_path, "clickhouse", Store(), service=service)
    assert (ran.code, asked.code) == (0, 2), asked.stdout
    assert says in asked.stderr
    assert "It proves nothing" in asked.stderr
    assert not asked.result.get("reconciliations")
    assert asked.result["verdict"] == "pass"


@pytest.mark.long
def test_an_export_that_ends_between_two_lines_is_no_loss(tmp_path: Path) -> None:
    """Nothing tells that it is not whole but the count."""

    def service(store: Store, call: Call) -> Answer:
        status, told = services.clickhouse(store, call)
        export = "JSONEachRow" in call.url and call.method == "GET"
        return status, packed(b"".join(told.splitlines(keepends=True)[:200])) if export else told

    _, asked = exported(tmp_path, "clickhouse", Store(), service=service)
    assert asked.code == 3, asked.stdout + asked.stderr
    assert "the export is not complete" in " ".join(asked.stdout.split())
    verdicts = {one["check"]: one["verdict"] for one in asked.result["findings"]}
    assert {verdicts[name] for name in ("lost", "duplicated", "altered")} == {"unknown"}


@pytest.mark.long
def test_an_export_from_another_machine_needs_consent(tmp_path: Path) -> None:
    more = '[verify.export.servers]\n"URL" = "http://192.0.2.1"'
    ran, asked = exported(tmp_path, "mixpanel", Store(), more=more)
    assert (ran.code, asked.code) == (0, 2)
    assert "http://192.0.2.1 (the export)" in asked.stderr
    assert "--live" in asked.stderr


@pytest.mark.long
def test_pages_that_do_not_go_on_end(tmp_path: Path) -> None:
    def service(store: Store, call: Call) -> Answer:
        if call.method == "GET" and "insert_id=gt." in call.url:
            call = call._replace(url=re.sub("insert_id=gt[^&]*", "", call.url))
        return services.postgrest(store, call)

    _, asked = exported(tmp_path, "postgrest", Store(), service=service)
    assert asked.code == 2
    assert "two pages of the export end with" in asked.stderr


OWN = """
workflow = { document = "own.yml" }
[target]
kind = "live"
servers = { "*" = "URL" }
[inputs]
userId = "$copy.userId"
insertId = "$copy.insertId"
runId = "$run.id"
[load]
model = "closed"
concurrency = 40
copies = 300
copies_per_request = TOGETHER
events_per_copy = EACH
[verify]
ingest = "send"
step = "count"
user = "body#/events/0/user"
every = "200ms"
quiet = "500ms"
deadline = "3s"
"""
DOCUMENT = """
arazzo: 1.0.1
info: { title: Own, version: '1' }
sourceDescriptions:
- { name: own, url: ./own-api.yml, type: openapi }
workflows:
- workflowId: send-and-count
  inputs:
    type: object
    properties: { userId: { type: string }, insertId: { type: string }, runId: { type: string } }
  steps:
  - stepId: send
    operationId: sendEvents
    requestBody:
      contentType: application/json
      payload:
        events:
        - { user: $inputs.userId, id: $inputs.insertId, run: $inputs.runId, labels: {} }
    successCriteria: [{ condition: $statusCode == 200 }]
  - stepId: count
    operationId: countUsers
    parameters:
    - { name: run, in: query, value: $inputs.runId }
    successCriteria: [{ condition: $statusCode == 200 }]
"""
API = """
openapi: 3.0.3
info: { title: Own, version: '1' }
servers: [{ url: 'http://127.0.0.1:1' }]
paths:
  /v1/events:
    post:
      operationId: sendEvents
      requestBody: { content: { application/json: { schema: { type: object } } } }
      responses: { '200': { description: Taken. } }
  /v1/count:
    get:
      operationId: countUsers
      parameters:
      - { name: run, in: query, required: true, schema: { type: string } }
      - { name: by, in: query, schema: { type: string } }
      responses: { '200': { description: Counts. } }
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("planted", "together", "each"),
    [({"lost": 19}, 1, 1), ({"duplicated": 15}, 7, 1), ({"duplicated": 15}, 1, 3), ({}, 10, 2)],
)
def test_the_samples_for_a_service_of_ones_own_work_as_they_stand(
    tmp_path: Path, planted: dict[str, int], together: int, each: int
) -> None:
    (tmp_path / "own.yml").write_text(DOCUMENT)
    (tmp_path / "own-api.yml").write_text(API)
    faults = Store(lose=planted.get("lost", 0), twice=planted.get("duplicated", 0))
    with serving(services.own, faults) as url:
        text = OWN.replace("URL", url).replace("TOGETHER", str(together))
        samples = "\n".join(sample.toml for sample in SAMPLES.values())
        (tmp_path / "s.toml").write_text(text.replace("EACH", str(each)) + samples)
        loadcheck = Loadcheck(tmp_path)
        ended = loadcheck("run", "s.toml")
        asked = loadcheck("reconcile", *ended.results, "--export")
    told = ended.result["consistency"]
    want = {"lost": 0, "duplicated": 0} | planted
    assert {name: told[name] or 0 for name in want} == want, ended.stdout + ended.stderr
    assert ended.code == (1 if planted else 0)
    events = [each["events"] for each in (told["localized"] or {"duplicated": []})["duplicated"]]
    assert sum(events) == want["duplicated"]  # up to three of one user are one name
    assert len((told["localized"] or {"lost": []})["lost"]) == want["lost"]
    told = asked.result["reconciliations"][-1]["export"]
    assert {name: told[name] for name in ("unexpected", "altered", *want)} == {
        "unexpected": 0,
        "altered": 0,
        **want,
    }, asked.stdout + asked.stderr
    assert asked.code == ended.code
