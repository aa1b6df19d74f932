"""What a plan says: its figures, its limits, and what its digest is of."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

import loadcheck
from loadcheck import scenario as scenarios
from loadcheck.errors import InputError
from loadcheck.load.transport import encode_plain
from loadcheck.pipeline import Options, run
from loadcheck.pipeline.labels import new_run
from loadcheck.pipeline.plan import plan, refused
from loadcheck.pipeline.prepare import compile_scenario
from loadcheck.pipeline.target import addressed
from loadcheck.report import plan as report
from loadcheck.scenario.model import Scenario
from loadcheck.verify.progress import Progress
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.runtime import no_retry
from tests.pipeline import services

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
KEYS = {"AMPLITUDE_API_KEY": "key-of-a-test", "AMPLITUDE_SECRET_KEY": "secret-of-a-test"}
TOGETHER = "load.copies_per_request="
MANY = ["load.max_in_flight=4000"]


def load(name: str, *overrides: str, env: dict[str, str] | None = None) -> Scenario:
    return scenarios.load(SCENARIOS / f"{name}.toml", overrides=overrides, env=env or KEYS)


# the digest


def digest_of(scenario: Scenario, **options: Any) -> str:
    found: str = plan(scenario, **options)["digest"]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = SCENARIOS.parent / "loadcheck" / "library" / "amplitude"
    for name in ("workflow.yml", "http-v2-api.yml", "dashboard-rest-api.yml"):
        shutil.copy(home / name, tmp_path)
    (tmp_path / "people.csv").write_text("plan\nfree\npaid\n")
    (tmp_path / "s.toml").write_text(
        'workflow = { document = "workflow.yml", profile = "amplitude" }\n'
        'target = { kind = "emulator" }\n'
        'data = { people = { file = "people.csv" } }\n'
        'inputs = { eventType = "x", eventProperties = { plan = "$data.people.plan" } }\n'
        "load = { model = 'open', rate = 10, duration = '1s' }\n"
    )
    return tmp_path


def edited(path: Path, old: str, new: str) -> None:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("s.toml", "rate = 10", "rate = 11"),
        ("people.csv", "paid", "gold"),
        ("workflow.yml", "== 200", "<= 200"),
        ("http-v2-api.yml", "2/httpapi", "batch"),
    ],
)
def test_whatever_is_sent_decides_the_digest(folder: Path, file: str, old: str, new: str) -> None:
    before = digest_of(scenarios.load(folder / "s.toml"))
    assert before == digest_of(scenarios.load(folder / "s.toml"))
    edited(folder / file, old, new)
    assert digest_of(scenarios.load(folder / "s.toml")) != before


def test_options_and_destinations_decide_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of(load("live"))
    others = {
        digest_of(load("live", "load.rate=3")),
        digest_of(load("live", 'target.servers={"*"="https://api.eu.amplitude.com"}')),
        digest_of(load("live"), seed=7),
        before,
    }
    assert len(others) == 4
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert digest_of(load("live", 'target.transport="httpx"')) not in others


def test_secrets_and_labels_do_not() -> None:
    before = digest_of(load("live"))
    keys = dict.fromkeys(KEYS, "another-secret")
    assert digest_of(load("live", env=keys)) == before
    assert digest_of(load("live", 'labels.env="staging"', 'description="x"')) == before


async def _unwatched(progress: Progress) -> None:
    del progress


def test_what_was_not_approved_is_not_run(folder: Path, tmp_path: Path) -> None:
    approved = digest_of(scenarios.load(folder / "s.toml"))
    edited(folder / "people.csv", "paid", "gold")
    options = Options(results=tmp_path / "results", approved=approved, signals=False)
    with pytest.raises(InputError, match="not the one that was approved"):
        anyio.run(run, scenarios.load(folder / "s.toml"), options, _unwatched)
    assert not (tmp_path / "results").exists()


def test_python_insists_on_a_digest_too(tmp_path: Path) -> None:
    smoke = SCENARIOS / "smoke.toml"
    with pytest.raises(InputError, match="not the one that was approved"):
        loadcheck.run_sync(smoke, plan="0" * 32, results=tmp_path / "results")
    away = {"load.rate": 300, "target.servers": {"*": "http://192.0.2.1:9"}}
    keys = {f"inputs.{name}": "of-a-test" for name in ("apiKey", "basicAuth")}
    (tmp_path / "file").write_text("")
    for forced, told in ((False, "break a limit of Amplitude: 100"), (True, "cannot|directory")):
        with pytest.raises(InputError, match=told):
            loadcheck.run_sync(
                SCENARIOS / "live.toml",
                set=away | keys,
                live=True,
                force_limits=forced,
                results=tmp_path / "file" / "results",
            )
    assert not (tmp_path / "results").exists()


def test_a_digest_that_is_none_is_told() -> None:
    options = Options(approved="approved", signals=False)
    with pytest.raises(InputError, match="32 hexadecimal digits"):
        anyio.run(run, load("smoke"), options, _unwatched)


# limits


@pytest.mark.parametrize(
    ("overrides", "limit", "fit"),
    [
        (["load.rate=300"], "requests_per_s", "load.rate=100"),
        (["load.rate=300"], "requests_per_s", "load.copies_per_request=3"),
        ([*MANY, "load.rate=2000", "load.copies_per_request=50"], "events_per_s", "load.rate=1000"),
        (["load.events_per_copy=31"], "user_events_per_s", "load.events_per_copy=30"),
        ([*MANY, TOGETHER + "3000"], "events_per_request", TOGETHER + "1999"),
        (["load.duration=16m", "verify.budget.cost=2", "load.rate=1"], "verify.budget", ""),
        (
            [f"inputs.eventProperties.text={'x' * 600_000}", "load.rate=4",
             "load.copies_per_request=2"],
            "request_bytes",
            "load.copies_per_request=1",
        ),
        (["verify.query='each'", "load.duration=10m", "load.rate=80"], "query_cost_per_hour",
         'verify.query="after"'),
    ],
)  # fmt: skip
def test_a_broken_limit_is_refused_with_what_fits(
    overrides: list[str], limit: str, fit: str
) -> None:
    scenario = load("live", *overrides)
    planned = plan(scenario)
    broken = {each["limit"]: each for each in planned["limits"] if each["holds"] is False}
    assert limit in broken, planned["limits"]
    assert broken[limit]["remedy"]
    assert any(broken[limit]["remedy"] in str(each) for each in refused(scenario, planned))
    if fit:
        assert fit.replace("=", " = ") in broken[limit]["remedy"]
        mended = plan(load("live", *overrides, fit))
        assert {each["limit"]: each["holds"] for each in mended["limits"]}[limit]


AWAY = 'target.servers={"*"="https://service.example"}'
BIG = f"overlay=[{{step='STEP', at='PLACE', value='{'x' * 40_000}'}}]"


@pytest.mark.parametrize(
    ("name", "overrides", "limit", "fit"),
    [
        ("mixpanel", [*MANY, TOGETHER + "2001"], "events_per_request", TOGETHER + "2000"),
        ("segment", [BIG.replace("STEP", "track").replace("PLACE", "body#/batch/0/x")],
         "event_bytes", ""),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in [
                ("mixpanel", [*MANY, "load.rate=40000"], "events_per_s", "load.rate=30000"),
                ("mixpanel", ["verify.budget.cost=90", "verify.every='10s'"],
                 "query_cost_per_hour", ""),
                ("segment", [*MANY, "load.rate=200", TOGETHER + "2000"], "request_bytes",
                 TOGETHER + "1000"),
                ("posthog", ["verify.budget.cost=9000", "verify.every='100ms'",
                             "verify.deadline='1h'"], "query_cost_per_hour", ""),
            ]
        ),
    ],
)  # fmt: skip
def test_every_service_has_limits_of_its_own(
    name: str, overrides: list[str], limit: str, fit: str
) -> None:
    def of(*sets: str) -> tuple[Scenario, dict[str, Any]]:
        scenario = load(name, AWAY, *sets, env=services.KEYS)
        return scenario, plan(scenario, consent=True)

    scenario, planned = of(*overrides)
    broken = {each["limit"]: each for each in planned["limits"] if each["holds"] is False}
    assert limit in broken, planned["limits"]
    problems = [str(each) for each in refused(scenario, planned)]
    assert any(broken[limit]["remedy"] in each and limit in each for each in problems), problems
    if fit:
        assert fit.partition("=")[0] in broken[limit]["remedy"]
        assert {each["limit"]: each["holds"] for each in of(*overrides, fit)[1]["limits"]}[limit]


@pytest.mark.parametrize(
    ("name", "advised", "fit"),
    [
        ("clickhouse", "200 requests a second are more than the 1 that ", TOGETHER + "200"),
        pytest.param(
            "segment",
            "60 requests a second are more than the 50 that",
            "load.rate=50",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_is_only_advised_is_not_refused(name: str, advised: str, fit: str) -> None:
    sets = ["load.rate=60"] if name == "segment" else MANY
    scenario = load(name, AWAY, *sets, env=services.KEYS)
    planned = plan(scenario, consent=True)
    assert refused(scenario, planned) == []
    told = [each for each in planned["warnings"] if advised in each]
    assert told, planned["warnings"]
    assert fit.replace("=", " = ") in told[0]
    assert "advised; " in report.text(planned, width=200)
    assert plan(load(name, AWAY, *sets, fit, env=services.KEYS), consent=True)["warnings"] == []
    # this machine is no such service
    here = plan(load(name, *sets, AWAY.replace("service.example", "127.0.0.1"), env=services.KEYS))
    assert here["warnings"] == []


def test_limits_are_not_those_of_this_machine() -> None:
    scenario = load("burst")
    planned = plan(scenario)
    assert any(each["holds"] is False for each in planned["limits"])
    assert refused(scenario, planned) == []
    here = load("live", "load.rate=300", 'target.servers={"*"="http://127.0.0.1:9"}')
    assert refused(here, plan(here)) == []


def test_a_scenario_has_limits_of_its_own() -> None:
    overrides = ["load.rate=300", "service.limits.requests_per_s=300"]
    scenario = load("live", *overrides)
    assert refused(scenario, plan(scenario)) == []


@pytest.mark.parametrize("forced", [False, True])
def test_a_run_is_held_to_the_limits(tmp_path: Path, *, forced: bool) -> None:
    # nobody listens there: RFC 5737 keeps it for documentation
    scenario = load("live", "load.rate=300", 'target.servers={"*"="http://192.0.2.1:9"}')
    options = Options(
        results=tmp_path / "file" / "results", consent=True, force_limits=forced, signals=False
    )
    (tmp_path / "file").write_text("")
    told = "cannot|directory" if forced else "break a limit of Amplitude: 100"
    with pytest.raises(InputError, match=told):
        anyio.run(run, scenario, options, _unwatched)


# figures


def test_regions_are_told() -> None:
    assert {each["region"] for each in plan(load("live"))["destinations"]} == {"US"}
    eu = 'target.servers={"*"="https://api.eu.amplitude.com"}'
    assert {each["region"] for each in plan(load("live", eu))["destinations"]} == {"EU"}


def test_a_seed_that_is_drawn_is_that_of_the_run() -> None:
    poisson = ['load.arrivals="poisson"', "load.rate=500"]
    planned = plan(load("smoke", *poisson))
    again = plan(load("smoke", *poisson))
    assert planned["seed"] == again["seed"]
    assert planned["users"] == again["users"]


@pytest.mark.parametrize("name", [path.stem for path in sorted(SCENARIOS.glob("*.toml"))])
def test_every_scenario_has_a_plan(name: str) -> None:
    class Anything(dict[str, str]):
        def __missing__(self, name: str) -> str:
            return f"{name.lower()}-of-a-test"

        def get(self, name: str, default: Any = None) -> Any:
            return default if name.startswith("LOADCHECK") else self[name]

        def __contains__(self, name: object) -> bool:
            return True

    planned = plan(scenarios.load(SCENARIOS / f"{name}.toml", env=Anything()))
    queries = planned["queries"]
    least, usual, most = (queries["asked"][key] for key in ("least", "usual", "most"))
    assert usual is None or least <= usual <= most
    for width in (60, 80, 120):
        lines = report.text(planned, width=width).splitlines()
        assert max(map(len, lines)) <= max(width, 80)
    assert "of-a-test" not in report.text(planned)
    paged = name in ("elasticsearch", "postgrest", "posthog", "segment")
    export = "--export one a page" if paged else "--export sends one request"
    assert export in " ".join(report.text(planned).split())


@pytest.fixture
def counted() -> Iterator[tuple[int, Callable[[], int]]]:
    """A server that counts the bytes it gets, and says yes to each upload of one event."""
    total, body = [0], b'{"code":200,"events_ingested":1}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    answer += b"content-length: %d\r\n\r\n%b" % (len(body), body)

    def serve(connection: socket.socket) -> None:
        with connection:
            kept = b""
            while piece := connection.recv(65536):
                total[0] += len(piece)
                kept += piece
                while b"\r\n\r\n" in kept:
                    head, _, rest = kept.partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
                    if len(rest) < length:
                        break
                    kept = rest[length:]
                    connection.sendall(answer)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1], lambda: total[0]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


HEAD = """
thresholds = []
[target]
kind = "live"
servers = {{ "*" = "http://127.0.0.1:{port}" }}
{target}
[load]
model = "closed"
concurrency = 7
copies = {copies}
"""
VARYING = """
[inputs]
eventType = "x"
eventProperties = { plan = "$data.people.plan", note = "$values.note" }
apiKey = "key-of-a-test"
basicAuth = "YTpi"
[data.people]
file = "people.csv"
[values]
note = { text = { median = 60, p99 = 4000 } }
"""
STEPS = """
arazzo: 1.0.1
info: { title: Orders, version: "1" }
sourceDescriptions: [{ name: shop, url: ./shop.yml, type: openapi }]
workflows:
- workflowId: order
  inputs: { type: object, properties: { userId: { type: string } } }
  steps:
  - stepId: open
    operationId: open
    requestBody: { contentType: application/json, payload: { user: $inputs.userId } }
    outputs: { basket: $response.body#/id }
  - stepId: put
    operationId: put
    parameters: [{ name: basket, in: query, value: SECOND }]
    requestBody: { contentType: application/json, payload: { item: pear, user: $inputs.userId } }
  - stepId: pay
    operationId: pay
    requestBody: { contentType: application/json, payload: { user: $inputs.userId } }
"""
SHOP = """
openapi: 3.1.0
info: { title: Shop, version: "1" }
servers: [{ url: http://127.0.0.1:9 }]
paths:
  /open: { post: { operationId: open, responses: { "200": { description: ok } } } }
  /put: { put: { operationId: put, responses: { "200": { description: ok } } } }
  /pay: { post: { operationId: pay, responses: { "200": { description: ok } } } }
"""
ORDER = """workflow = { document = "order.yml" }
inputs = { userId = "$copy.userId" }
verify = { enabled = false, ingest = "open" }
"""
AMPLITUDE = 'workflow = "amplitude"\nverify.enabled = false\n'


def of_variant(folder: Path, text: str, second: str = "$inputs.userId") -> Scenario:
    rows = "".join(f"{'x' * (number % 10) ** 3}\n" for number in range(10))
    (folder / "people.csv").write_text(f"plan\n{rows or 'free'}".replace("\n\n", "\nfree\n"))
    (folder / "order.yml").write_text(STEPS.replace("SECOND", second))
    (folder / "shop.yml").write_text(SHOP)
    (folder / "s.toml").write_text(text)
    return scenarios.load(folder / "s.toml")


@pytest.mark.parametrize(
    ("target", "begin", "rest"),
    [
        pytest.param("", AMPLITUDE, VARYING, id="wire", marks=pytest.mark.long),
        pytest.param("compress = 'gzip'", AMPLITUDE, VARYING, id="gzip", marks=pytest.mark.long),
        pytest.param("transport = 'httpx'", AMPLITUDE, VARYING, id="httpx", marks=pytest.mark.long),
        pytest.param("transport = 'httpx'\ncompress = 'gzip'", AMPLITUDE, VARYING, id="both"),
        pytest.param(
            "",
            AMPLITUDE,
            "copies_per_request = 7" + VARYING,
            id="requests that are shared",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "",
            AMPLITUDE,
            VARYING + "[sessions]\nuploads = { uniform = [1, 5] }\ngap = '1ms'\n",
            id="sessions",
            marks=pytest.mark.long,
        ),
        pytest.param("", ORDER, "", id="several steps"),
    ],
)
def test_bytes_are_those_that_arrive(
    counted: tuple[int, Callable[[], int]], tmp_path: Path, target: str, begin: str, rest: str
) -> None:
    port, total = counted
    scenario = of_variant(
        tmp_path, begin + HEAD.format(port=port, target=target, copies=300) + rest
    )
    planned = plan(scenario)
    options = Options(results=tmp_path / "results", approved=planned["digest"], signals=False)
    done = anyio.run(run, scenario, options, _unwatched)
    spent = done.document["spent"]
    for name in ("users", "events"):
        assert planned[name] == {"least": spent[name], "most": spent[name]}
    # what belongs to the whole workflow has attempts, and no answers
    steps = done.document["steps"].values()
    attempts = sum(sum(step["answers"].values()) for step in steps)
    assert planned["requests"] == {"least": attempts, "most": attempts}
    expected = planned["bytes"]
    assert expected["least"] == expected["usual"] == expected["most"]
    assert total() == pytest.approx(expected["most"], rel=0.01)


def test_what_answers_decide_is_told_as_that(tmp_path: Path) -> None:
    text = ORDER + HEAD.format(port=9, target="", copies=300)
    given = plan(of_variant(tmp_path, text, "$steps.open.outputs.basket"))
    assert given["requests"] == {"least": 900, "most": 900}
    told = given["bytes"]
    # the id of a basket may be a UUID, or a number
    assert told["usual"] - told["least"] == 300 * 35
    assert told["most"] is None
    assert "or more, about" in report.text(given)


def test_heads_are_shorter_over_http_2_by_as_much_as_nobody_knows() -> None:
    plain = plan(load("live"))["bytes"]["usual"]
    told = plan(load("live", "target.http2=true", 'target.transport="httpx"'))
    assert told["bytes"]["least"] == 0
    assert told["bytes"]["most"] == pytest.approx(plain, rel=0.01)
    assert "as time allows" not in report.text(told)


@pytest.mark.long
def test_a_sample_tells_the_mean(tmp_path: Path) -> None:
    """Rows of a file come again every ten copies, and few texts are much longer than most."""
    text = AMPLITUDE + HEAD.format(port=9, target="", copies=20_000) + VARYING
    planned = plan(of_variant(tmp_path, text))
    scenario = of_variant(tmp_path, text)
    with addressed(scenario) as address:
        seed = planned["seed"]
        identity = new_run(scenario, datetime.now(UTC), address.supplied, seed=seed)
        compiled = compile_scenario(scenario, identity, address, seed=seed, consent=False)
        flows = (
            compiled.plan.copy(number, 1_700_000_000_000, no_retry) for number in range(20_000)
        )
        requests = (next(flow) for flow in flows)
        exact = sum(len(encode_plain(each)) for each in requests if isinstance(each, Request))
    assert planned["bytes"]["usual"] == pytest.approx(exact, rel=0.01)


def test_a_mix_is_planned_flow_by_flow(tmp_path: Path) -> None:
    document = (
        'workflow = "amplitude"\ninputs = { eventType = "x", apiKey = "some-key-of-a-test", '
        'basicAuth = "c29tZTpiYXNpYw==" }\ntarget = { kind = "live" }\n'
        "load = { model = 'open', duration = '1s' }\n"
        '[[mix]]\nname = "one"\nrate = 80\n[[mix]]\nname = "two"\nrate = 80\n'
    )
    (tmp_path / "m.toml").write_text(document)
    scenario = scenarios.load(tmp_path / "m.toml")
    planned = plan(scenario)
    assert [flow["users"]["most"] for flow in planned["flows"]] == [80, 80]
    # 80 requests a second are fewer than 100, and twice as many are not
    assert "160 requests a second break a limit" in str(refused(scenario, planned)[0])
    assert planned["digest"] in report.text(planned)
