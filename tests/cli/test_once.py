"""``[setup]`` and ``[teardown]`` against a service that wants a login."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import loadcheck
from loadcheck.errors import InputError
from tests.asgi import serving
from tests.cli.conftest import Loadcheck
from tests.cli.login_service import PASSWORD, Service, application, scenario, write_documents

QUICK = {"load.duration": "800ms", "verify.quiet": "400ms"}


class Running:
    """The service and a folder of its own."""

    def __init__(self, folder: Path, url: str, service: Service) -> None:
        self.folder, self.url, self.service = folder, url, service

    def run(self, more: str = "", **changes: Any) -> dict[str, Any]:
        path = scenario(self.folder, self.url, more=more)
        found = loadcheck.run_sync(path, set={**QUICK, **changes}, results=self.folder / "results")
        return dict(found.document)

    def texts(self) -> str:
        return "".join(path.read_text() for path in (self.folder / "results").iterdir())


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Loadcheck]:
    started = Loadcheck(tmp_path)
    yield started
    started.close()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("SERVICE_PASSWORD", PASSWORD)
    service = Service()
    with serving(application(service)) as url:
        yield Running(tmp_path, url, service)


def test_one_login_serves_copies_queries_and_controls(running: Running) -> None:
    document = running.run()
    service = running.service
    assert document["verdict"] == "pass"
    assert document["consistency"]["uniques"] == 40
    assert (service.asked["login"], service.asked["make"], service.asked["delete"]) == (1, 1, 1)
    assert service.refused == 0
    assert not service.projects
    assert set(document["steps"]) == {"sendEvent", "countUsers"}  # no latency of the login
    assert document["run"]["setup"]["runs"] == 1
    assert document["run"]["teardown"] == {"workflow": "clean", "success": True, "error": None}
    assert not any(token in running.texts() for token in service.tokens)


def test_a_token_is_renewed_before_it_expires_without_a_gap(running: Running) -> None:
    running.service.valid_s = 2.5
    running.service.login_s = 0.2  # the old one is used meanwhile
    running.service.refuse = frozenset({2})  # a refresh that fails is tried again
    document = running.run('every = "500ms"\nrenew = "relogin"', **{"load.duration": "3s"})
    service = running.service
    assert document["verdict"] == "pass"
    assert service.refused == 0
    failed = document["run"]["setup"]["failed"]
    assert failed >= 1  # a busy machine may give up another
    assert document["run"]["setup"]["runs"] == service.asked["login"] - failed >= 3
    assert (service.asked["make"], service.asked["delete"]) == (1, 1)
    used = [token for token in service.tokens if service.used[token]]
    assert len(used) >= 3
    assert any("were not renewed, the old ones are used" in each for each in document["warnings"])
    assert not any(token in running.texts() for token in service.tokens)


def test_a_set_up_that_fails_ends_the_run_before_the_load(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_PASSWORD", "not-the-password")
    document = running.run()
    assert document["verdict"] == "unknown"
    assert document["copies"]["started"] == 0
    error = document["run"]["error"]
    assert error.startswith("the set-up failed: the step login (POST ")
    assert "answered 401" in error
    assert '{"error":"no such user, or not ***"' in error
    assert "not-the-password" not in running.texts()
    assert running.service.asked == {"login": 1}
    assert document["warnings"] == []  # there was nothing to take away


@pytest.mark.long
def test_a_set_up_that_does_not_end_is_taken_back(running: Running) -> None:
    running.service.count_s = 10.0
    document = running.run(**{"setup.workflow": "prepareAndCheck", "setup.timeout": "1500ms"})
    error = "the set-up failed: it was not over within 1.5 s behind the step makeProject"
    assert document["run"]["error"] == error
    assert document["copies"]["started"] == 0
    assert (running.service.asked["make"], running.service.asked["delete"]) == (1, 1)


def test_what_the_copies_could_not_use_is_taken_away(running: Running) -> None:
    document = running.run(**{"inputs.project": "$setup.outputs.token"})
    assert document["copies"]["acknowledged"] == 0  # no such project
    assert not running.service.projects


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        ({"inputs.token": "$setup.outputs.tokn"}, "inputs.token", 'has no output "tokn"'),
        ({"setup.workflow": "prepair"}, "setup.workflow", 'there is no workflow "prepair"'),
        ({"teardown.workflow": "x"}, "teardown.workflow", 'there is no workflow "x"'),
        ({"setup.public": ["projekt"]}, "setup.public", 'has no output "projekt"'),
        ({"setup.inputs.password": "$copy.userId"}, "setup.inputs.password", "run once"),
        ({"setup.inputs.nme": "x"}, "setup.inputs.nme", "no such input"),
        ({"setup.renew": "send"}, "setup.renew", "is never run"),
        ({"setup.every": "1m", "setup.renew": "relogn"}, "setup.renew", "there is no workflow"),
        (
            {
                "verify.uniques": {
                    "value": "$response.body#/users",
                    "overlay": [{"at": "query.x", "value": "$setup.outputs.y"}],
                }
            },
            "verify.uniques.overlay.0.value",
            'has no output "y"',
        ),
    ],
)
def test_bad_input_is_told_with_its_key_and_nothing_is_sent(
    running: Running, change: dict[str, Any], key: str, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        running.run(**change)
    problems = {problem.key: problem for problem in caught.value.problems}
    found = [problem for name, problem in problems.items() if key in name]
    assert found, problems
    assert message in found[0].message
    assert not running.service.asked


def test_an_output_without_a_set_up_names_its_line(running: Running) -> None:
    path = scenario(running.folder, running.url)
    text = path.read_text()
    begin, end = text.index("[setup]"), text.index("[teardown]")
    path.write_text(text[:begin] + text[end:])
    line = next(n for n, each in enumerate(path.read_text().splitlines(), 1) if "token =" in each)
    with pytest.raises(InputError) as caught:
        loadcheck.run_sync(path)
    first = caught.value.problems[0]
    assert (first.file, first.line, first.key) == (str(path), line, "inputs.token")
    assert "the scenario has no [setup]" in first.message


def test_check_marks_what_is_shared(running: Running, command: Loadcheck) -> None:
    scenario(command.folder, running.url, more='every = "50m"\nrenew = "relogin"')
    ended = command("check", "shared.toml", env={"SERVICE_PASSWORD": PASSWORD})
    assert ended.code == 0, ended.stderr
    lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    assert f"steps login POST {running.url}/login (shared: runs once, before the load)" in lines
    assert f"login POST {running.url}/login (shared: renews, every 50:00)" in lines
    assert any("sendEvent" in line and "runs in every copy" in line for line in lines)
    assert any("countUsers" in line and "one query covers all" in line for line in lines)
    assert any("deleteProject" in line and "when all is over" in line for line in lines)
    assert not running.service.asked


def test_a_dependency_that_the_set_up_has_met_is_not_run_again(running: Running) -> None:
    path = scenario(running.folder, running.url)
    documents = write_documents(running.folder)
    described = json.loads(documents.read_text())
    send = described["workflows"][0]
    send["dependsOn"] = ["prepare"]
    send["steps"][0]["parameters"][0] = {
        "name": "Authorization",
        "in": "header",
        "value": "Bearer {$workflows.prepare.outputs.token}",
    }
    documents.write_text(json.dumps(described))
    found = loadcheck.run_sync(path, set=QUICK, results=running.folder / "results")
    assert found.verdict == "pass"
    assert running.service.asked["login"] == 1


@pytest.mark.long
def test_workers_take_new_tokens_and_none_is_on_a_command_line(
    running: Running, command: Loadcheck
) -> None:
    running.service.valid_s = 3.0
    scenario(command.folder, running.url, more='every = "700ms"\nrenew = "relogin"', lasts="5s")
    process = command.start(
        "run", "shared.toml", "--workers", "2", env={"SERVICE_PASSWORD": PASSWORD}
    )
    import psutil  # noqa: PLC0415

    lines: set[str] = set()
    while process.poll() is None:
        try:
            for child in psutil.Process(process.pid).children(recursive=True):
                lines.add(" ".join([*child.cmdline(), *child.environ().values()]))
        except psutil.Error:
            pass
        time.sleep(0.2)
    told = "".join(process.communicate())
    assert process.returncode == 0, told
    assert any("shard" in line for line in lines)
    document = json.loads(command.results()[0].read_text())
    assert document["consistency"]["uniques"] == 250
    assert running.service.refused == 0
    assert (running.service.asked["make"], running.service.asked["delete"]) == (1, 1)
    held = "".join([told, *lines, command.results()[0].read_text()])
    assert not any(token in held for token in running.service.tokens)
    # asked again, it logs in anew; the tear-down has taken the project, and that is said
    again = command("reconcile", command.results()[0], env={"SERVICE_PASSWORD": PASSWORD})
    assert "what that took away cannot be counted any more" in again.stderr
    assert running.service.asked["make"] == 2
    assert not running.service.projects


@pytest.mark.long
@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_tears_down(running: Running, command: Loadcheck, signals: int) -> None:
    scenario(command.folder, running.url, lasts="60s")
    process = command.start("run", "shared.toml", env={"SERVICE_PASSWORD": PASSWORD})
    until = time.monotonic() + 60
    while running.service.asked["event"] < 5:
        assert time.monotonic() < until
        time.sleep(0.05)
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        time.sleep(0.7)
    process.communicate()
    # the second may find it on its way out: a shell says 130 of that, too
    assert process.returncode in {130, -signal.SIGINT}
    assert running.service.asked["delete"] == 1
    assert not running.service.projects
    document = json.loads(command.results()[0].read_text())
    assert document["run"]["teardown"]["success"] is True


@pytest.mark.long
def test_an_abort_tears_down_and_reconcile_counts_where_nothing_was_taken(
    running: Running, command: Loadcheck
) -> None:
    path = scenario(command.folder, running.url, lasts="20s")
    text = path.read_text().replace(
        '["lost == 0", "error_rate < 1%"]',
        '[{ check = "sendEvent.max < 1us", abort = true, grace = "1s" }]',
    )
    path.write_text(text)
    ended = command("run", path, env={"SERVICE_PASSWORD": PASSWORD})
    assert ended.result["run"]["aborted"] is not None
    assert not running.service.projects
    # a set-up that makes nothing: the run's events are still there, and the login is a new one
    before = running.service.asked["login"]
    running.service.projects["kept"] = {}
    kept = text.replace('[teardown]\nworkflow = "clean"\n', "")
    kept = kept[: kept.index("[teardown.inputs]")] + kept[kept.index("[load]") :]
    kept = kept.replace('"prepare"\npublic = ["project"]', '"relogin"')
    kept = kept.replace('"$setup.outputs.project"', '"kept"')
    path.write_text(kept)
    output = command.folder / "kept.json"
    first = command(
        *("run", path, "-o", output, "--set", "load.duration=1s", "--set", "thresholds=[]"),
        env={"SERVICE_PASSWORD": PASSWORD},
    )
    assert first.code == 0, first.stderr
    again = command("reconcile", output, env={"SERVICE_PASSWORD": PASSWORD})
    assert again.code == 0, again.stdout + again.stderr
    assert running.service.asked["login"] == before + 2


@pytest.mark.long
def test_ctrl_c_while_setting_up_takes_back_what_was_made(
    running: Running, command: Loadcheck
) -> None:
    running.service.count_s = 30.0
    path = scenario(command.folder, running.url, more='timeout = "50s"')
    path.write_text(path.read_text().replace('"prepare"', '"prepareAndCheck"'))
    process = command.start("run", path, env={"SERVICE_PASSWORD": PASSWORD})
    until = time.monotonic() + 60
    while not running.service.asked["make"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    told = "".join(process.communicate())
    assert process.returncode == 130, told
    assert time.monotonic() - began < 25
    assert running.service.asked["event"] == 0
    assert not running.service.projects


@pytest.mark.long
def test_every_probe_of_a_capacity_search_sets_up_for_itself(
    running: Running, command: Loadcheck
) -> None:
    scenario(command.folder, running.url)
    ended = command(
        *("capacity", "shared.toml", "--set", "capacity.probes=2", "--set", "capacity.probe=1s"),
        *("--set", "capacity.samples=20", "--set", "capacity.warmup=200ms"),
        *("--set", "load.spikes={every='1s',duration='200ms',rate=60}"),
        env={"SERVICE_PASSWORD": PASSWORD},
    )
    assert ended.code in (0, 3, 5), ended.stdout + ended.stderr
    probes = len(ended.result["probes"])
    asked = running.service.asked
    assert asked["login"] == asked["make"] == asked["delete"] == probes == 2
    assert any("load.spikes is left out" in each for each in ended.result["warnings"])
    assert not any(token in command.results()[0].read_text() for token in running.service.tokens)


FLOWS = """
[[mix]]
name = "buy"
weight = 3
[[mix]]
name = "look"
"""
OTHERS = """
[[mix]]
name = "pay"
setup = { workflow = "prepare", timeout = "20s" }
"""


def run_mix(
    running: Running,
    command: Loadcheck,
    *options: str,
    more: str = "",
    flows: str = FLOWS,
    code: int = 0,
) -> list[dict[str, Any]]:
    path = scenario(running.folder, running.url, more=more)
    text = path.read_text()
    if "stages" in flows:
        text = text.replace('rate = 50\nduration = "2s"\n', "")
    path.write_text(text.replace('"2s"', '"800ms"') + flows)
    ended = command("run", path, "--set", "verify.quiet=400ms", *options)
    assert ended.code == code, ended.stderr
    return [json.loads(each.read_text()) for each in command.results()]


def test_flows_share_what_is_run_once(running: Running, command: Loadcheck) -> None:
    for each in run_mix(running, command):
        assert each["verdict"] == "pass"
        assert each["run"]["setup"]["runs"] == 1
        assert each["run"]["teardown"] == {"workflow": "clean", "success": True, "error": None}
    asked = running.service.asked
    assert (asked["login"], asked["make"], asked["delete"]) == (1, 1, 1)
    assert not any(token in running.texts() for token in running.service.tokens)


@pytest.mark.long
def test_a_set_up_of_one_flow_that_fails_ends_all_before_the_load(
    running: Running, command: Loadcheck
) -> None:
    running.service.refuse = frozenset({2})  # one of two set-ups: that of two flows, or the third's
    made = run_mix(running, command, flows=FLOWS + OTHERS, code=3)
    assert [each["copies"]["started"] for each in made] == [0, 0, 0]
    assert {each["mix"]["together"]["verdict"] for each in made} == {"unknown"}
    errors = {each["mix"]["flow"]: each["run"]["error"] for each in made}
    assert errors["buy"] == errors["look"] != errors["pay"]
    assert sorted("answered 401" in errors[name] for name in ("buy", "pay")) == [False, True]
    assert "another flow of the mix could not begin" in errors.values()
    assert running.service.asked["event"] == 0
    assert not running.service.projects


@pytest.mark.long
def test_flows_share_renewals_also_when_the_first_is_over(
    running: Running, command: Loadcheck
) -> None:
    running.service.valid_s = 2.5
    short, long = (f'stages = [{{ duration = "{each}", rate = 20 }}]' for each in ("500ms", "3s"))
    made = run_mix(
        running,
        command,
        *("--workers", "2"),
        more='every = "500ms"\nrenew = "relogin"',
        flows=FLOWS.replace("weight = 3", short) + long,
    )
    assert {each["verdict"] for each in made} == {"pass"}
    assert running.service.refused == 0
    assert (running.service.asked["make"], running.service.asked["delete"]) == (1, 1)
    assert {each["run"]["setup"]["failed"] for each in made} == {0}


@pytest.mark.long
def test_ctrl_c_tears_down_once_for_all_flows(running: Running, command: Loadcheck) -> None:
    path = scenario(command.folder, running.url, lasts="60s")
    path.write_text(path.read_text() + FLOWS)
    process = command.start("run", path, env={"SERVICE_PASSWORD": PASSWORD})
    until = time.monotonic() + 60
    while running.service.asked["event"] < 5:
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert running.service.asked["delete"] == 1
    assert not running.service.projects


def test_preflight_runs_the_set_up_and_the_tear_down(running: Running, command: Loadcheck) -> None:
    scenario(command.folder, running.url)
    ended = command("preflight", "shared.toml", "--json", env={"SERVICE_PASSWORD": PASSWORD})
    found = json.loads(ended.stdout)
    states = {each["name"]: each["state"] for each in found["checks"]}
    # this service does not deduplicate, and is told so
    assert [name for name, state in states.items() if state == "wrong"] == ["deduplication"]
    assert (states["setup"], states["upload"], states["project"]) == ("ok", "ok", "ok")
    assert found["spent"]["users"] == 1
    service = running.service
    assert (service.asked["login"], service.asked["delete"], service.refused) == (1, 1, 0)
    assert not service.projects
    wrong = command("preflight", "shared.toml", env={"SERVICE_PASSWORD": "of-somebody-else"})
    assert wrong.code == 1
    assert "setup" in wrong.stdout
    assert "login" in wrong.stdout
    assert "of-somebody-else" not in wrong.stdout + wrong.stderr
