"""``loadcheck delete``: all users of the run, nobody else, whatever comes between."""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from loadcheck.errors import InputError
from loadcheck.pipeline import deletion
from loadcheck.pipeline.deletion import Deleted, DeletionError, DeletionOutline, all_done
from loadcheck.pipeline.reconcile import ReconcileOptions, reconcile_run
from loadcheck.result.store import read
from loadcheck.verify import Verdict
from tests.cli.conftest import KEYS, Ended, Loadcheck, Service

OTHER = {"api_key": "key-of-another", "secret_key": "secret-of-another"}
PROJECTS = {"projects": [OTHER, {"api_key": "key-eu", "secret_key": "secret-eu", "region": "eu"}]}
BYSTANDERS = [f"bystander-{number}" for number in range(20)]
"""Users of others; one of them looks as if it were the run's."""


def send(service: Service, users: list[str]) -> None:
    events = [{"user_id": user, "event_type": "loadcheck probe"} for user in users]
    body = orjson.dumps({"api_key": KEYS["AMPLITUDE_API_KEY"], "events": events})
    request = urllib.request.Request(
        f"{service.url}/2/httpapi", data=body, headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def users(service: Service) -> int:
    """Return how many users are counted, whoever they are."""
    days = [service.call("GET", "clock")["now_ms"] / 1000 + day * 86_400 for day in (-60, 1)]
    start, end = (time.strftime("%Y%m%d", time.gmtime(day)) for day in days)
    event = json.dumps({"event_type": "loadcheck probe"})
    query = urllib.parse.urlencode({"e": event, "start": start, "end": end, "m": "uniques"})
    pair = base64.b64encode(":".join(KEYS.values()).encode()).decode()
    request = urllib.request.Request(
        f"{service.url}/api/2/events/segmentation?{query}",
        headers={"authorization": f"Basic {pair}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        counted: int = orjson.loads(answer.read())["data"]["seriesCollapsed"][0][0]["value"]
    return counted


def a_run(loadcheck: Loadcheck, service: Service, **values: object) -> tuple[Path, Ended]:
    """Run so many users; return the results file."""
    given = {
        "load": '{model="closed", concurrency=20, copies=250}',
        "inputs.eventType": '"loadcheck probe"',
        "inputs.eventProperties": "{}",
        "verify.localize": "false",
        "verify.quiet": "200ms",
        "verify.every": "100ms",
        "delete.every": "0s",
        "thresholds": "[]",
        **values,
    }
    scenario = Path(__file__).resolve().parents[2] / "scenarios" / "smoke.toml"
    ended = loadcheck("run", scenario, *service.options(**given), env=KEYS)
    assert ended.code in (0, 1, 3), ended.stderr
    return loadcheck.results()[-1], ended


def delete(
    path: Path, env: dict[str, str] | None = None, *, yes: bool = True, **options: Any
) -> tuple[Deleted, DeletionOutline | None]:
    """Delete in this process; return what came of it, and what was asked."""
    asked: list[DeletionOutline] = []

    def ask(outline: DeletionOutline) -> bool:
        asked.append(outline)
        return yes

    def tell(*_: int) -> None:
        """Say nothing."""

    told = ReconcileOptions(env=env or KEYS, **options)
    done = anyio.run(partial(deletion.delete, path, told, ask, tell))
    return done, asked[0] if asked else None


def test_nobody_is_deleted_unasked_and_nobody_else(loadcheck: Loadcheck, service: Service) -> None:
    send(service, BYSTANDERS)
    path, _ = a_run(loadcheck, service)
    before = path.read_bytes()
    refused = loadcheck("delete", path, env=KEYS)
    assert refused.code == 2
    assert "add --yes" in refused.stderr
    assert "250 acknowledged, 0 indeterminate" in refused.stderr
    done, outline = delete(path, yes=False)
    assert (done.verdict, done.section) == (Verdict.UNKNOWN, None)
    assert outline is not None
    assert (outline.users, outline.batches, outline.counted) == (250, 3, 250)
    assert KEYS["AMPLITUDE_SECRET_KEY"] not in repr(outline)
    assert path.read_bytes() == before
    done, _ = delete(path)
    assert (done.verdict, read(path)["deletion"]["phase"]) == (Verdict.UNKNOWN, "requested")
    assert "by 2" in done.says
    service.later("31d")
    done, outline = delete(path)
    assert (done.verdict, outline) == (Verdict.PASS, None)
    section = read(path)["deletion"]
    assert (section["before"], section["after"], section["done"]) == (250, 0, 3)
    assert users(service) == len(BYSTANDERS)
    with pytest.raises(InputError, match="have been deleted since"):
        anyio.run(reconcile_run, path, ReconcileOptions(env=KEYS))


@pytest.mark.long
@pytest.mark.parametrize(
    "service",
    [
        {
            "limits": {
                "base": "documented",
                "httpapi": {"project_events_per_s": "off", "project_requests_per_s": "off"},
            }
        }
    ],
    indirect=True,
)
def test_fifty_thousand_killed_three_times(loadcheck: Loadcheck, service: Service) -> None:
    """One request a second as documented; the emulator's second takes 20 ms."""
    send(service, BYSTANDERS)
    path, ended = a_run(
        loadcheck,
        service,
        load='{model="closed", concurrency=400, copies=50000, copies_per_request=100}',
        **{"delete.every": "20ms", "verify.cache": "bypass", "verify.every": "1s"},
    )
    assert ended.result["copies"]["acknowledged"] == 50_000, ended.stdout
    # a neighbour by the same template: the run's id and a number that it did not reach
    near = f"lc-{read(path)['run']['id']}-0050000"
    send(service, [near])
    service.call("POST", "clock", speed=50)
    done = [0]
    for wanted in (60, 200, 350):
        process = loadcheck.start("delete", path, "--yes", env=KEYS)
        until = time.monotonic() + 120
        while read(path).get("deletion", {"done": 0})["done"] < wanted:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
        process.wait()
        done.append(read(path)["deletion"]["done"])
    assert done == sorted(set(done))
    assert done[-1] < 500
    last = loadcheck("delete", path, "--yes", env=KEYS, timeout_s=120)
    assert last.code == 3, last.stderr
    told = [int(number) for number in re.findall(r"(\d+) of 500 requests", last.stderr)]
    assert told == sorted(told)
    assert min(told) >= done[-1]  # from there on
    service.later("31d")
    last = loadcheck("delete", path, env=KEYS)
    assert (last.code, last.stdout) == (
        0,
        "50,000 users are deleted: the service counts none of them any more.\n",
    )
    assert users(service) == len(BYSTANDERS) + 1


@pytest.mark.long
@pytest.mark.parametrize("service", [PROJECTS], indirect=True)
def test_keys_of_another_project_or_region(loadcheck: Loadcheck, service: Service) -> None:
    path, _ = a_run(loadcheck, service)
    before = path.read_bytes()
    keys = {"AMPLITUDE_API_KEY": OTHER["api_key"], "AMPLITUDE_SECRET_KEY": OTHER["secret_key"]}
    with pytest.raises(InputError, match="none of the run's users is in the project .* 250 were"):
        delete(path, keys)
    eu = {"AMPLITUDE_API_KEY": "key-eu", "AMPLITUDE_SECRET_KEY": "secret-eu"}
    with pytest.raises(InputError, match="401.*the server that of its region"):
        delete(path, eu)
    with pytest.raises(InputError, match="401"):
        delete(path, server=f"{service.url}/eu")
    assert path.read_bytes() == before
    assert users(service) == 250


@pytest.mark.long
@pytest.mark.parametrize(
    ("template", "why"),
    [("user-{number:07}", "gives every run the same"), ("{digits}", "9 million")],
)
def test_ids_that_others_may_share(
    loadcheck: Loadcheck, service: Service, template: str, why: str
) -> None:
    path, _ = a_run(loadcheck, service, **{"users.id": f'"{template}"'})
    with pytest.raises(InputError, match=why):
        delete(path)
    assert users(service) == 250


@pytest.mark.long
def test_users_from_a_file_are_not_the_runs_alone(loadcheck: Loadcheck, service: Service) -> None:
    (loadcheck.folder / "users.csv").write_text(
        "id\n" + "\n".join(f"customer-{number}" for number in range(300)), encoding="utf-8"
    )
    scenario = loadcheck.folder / "own.toml"
    scenario.write_text(
        'workflow = "amplitude"\n[inputs]\neventType = "loadcheck probe"\n'
        'userId = "$data.users.id"\n[data.users]\nfile = "users.csv"\norder = "once"\n'
        '[load]\nmodel = "closed"\nconcurrency = 4\ncopies = 100\n[verify]\nquiet = "200ms"\n',
        encoding="utf-8",
    )
    options = service.options(**{"inputs.userId": '"$data.users.id"', "thresholds": "[]"})
    assert loadcheck("run", scenario, *options, env=KEYS).code == 0
    with pytest.raises(InputError, match=r"\$data\.users\.id"):
        delete(loadcheck.results()[-1])


@pytest.mark.long
def test_a_batch_that_fails_and_one_that_is_throttled(
    loadcheck: Loadcheck, service: Service
) -> None:
    path, _ = a_run(loadcheck, service)
    # the count is asked first: the fault hits from the second query on
    service.call("PUT", "faults", refuse={"on": "queries", "status": 403, "first": 1, "count": 1})
    with pytest.raises(DeletionError, match="request 1 of 3 .* 403"):
        delete(path)
    assert (read(path)["deletion"]["done"], users(service)) == (0, 250)
    service.call("PUT", "faults", throttle={"on": "queries", "first": 2, "count": 2})
    done, outline = delete(path)
    assert outline is not None
    assert outline.done == 0
    assert read(path)["deletion"]["done"] == 3
    assert done.section is not None
    assert done.section["error"] is None
    # the state of the jobs is slow to come, then not told at all
    service.call("PUT", "faults", refuse={"on": "queries", "status": 500, "first": 1, "count": 9})
    done, _ = delete(path)
    assert (done.verdict, "500" in done.says) == (Verdict.UNKNOWN, True)
    service.call("PUT", "faults")
    service.later("31d")
    assert delete(path)[0].verdict is Verdict.PASS


@pytest.mark.long
@pytest.mark.parametrize(
    "service", [{"faults": {"error_after_commit": {"count": 9, "among": 100}}}], indirect=True
)
def test_the_indeterminate_are_deleted_the_rejected_are_not(
    loadcheck: Loadcheck, service: Service
) -> None:
    path, _ = a_run(loadcheck, service, **{"retry.attempts": "1"})
    copies = read(path)["copies"]
    assert copies["indeterminate"] == 9
    done, outline = delete(path)
    assert outline is not None
    assert (outline.acknowledged, outline.indeterminate) == (241, 9)
    service.later("31d")
    assert delete(path)[0].verdict is Verdict.PASS
    assert (users(service), done.verdict) == (0, Verdict.UNKNOWN)


@pytest.mark.long
def test_it_goes_on_where_it_was_begun_only(loadcheck: Loadcheck, service: Service) -> None:
    path, _ = a_run(loadcheck, service)
    service.call("PUT", "faults", refuse={"on": "queries", "status": 403, "first": 2, "count": 1})
    with pytest.raises(DeletionError, match="1 are done"):
        delete(path)
    document = read(path)
    document["deletion"]["server"] = "https://amplitude.example"
    path.write_bytes(orjson.dumps(document))
    with pytest.raises(InputError, match=r"begun at https://amplitude\.example"):
        delete(path)


@pytest.mark.long
def test_at_the_end_of_the_run(loadcheck: Loadcheck, service: Service) -> None:
    path, ended = a_run(loadcheck, service, **{"teardown.delete": "true"})
    assert "250 users, requested, done by 2" in ended.stdout
    service.later("31d")
    assert delete(path)[0].verdict is Verdict.PASS
    assert users(service) == 0


def test_what_cannot_be_deleted_in_the_end_is_refused_before(loadcheck: Loadcheck) -> None:
    scenario = Path(__file__).resolve().parents[2] / "scenarios" / "smoke.toml"
    options = ("--set", "teardown.delete=true", "--set", "users.id=u-{number:07}")
    ended = loadcheck("run", scenario, *options)
    assert (ended.code, ended.results) == (2, [])
    assert "the ids are not this run's alone: u-{number:07} gives every run the same" in (
        ended.stderr
    )


@pytest.mark.parametrize(
    ("states", "days", "done"),
    [
        ([("2026-11-20", "done"), ("2026-11-20", "done")], ["2026-11-20"], True),
        ([("2026-11-20", "done"), ("2026-11-20", "staging")], ["2026-11-20"], False),
        ([("2026-11-20", "done"), ("2026-11-21", "staging")], ["2026-11-20"], True),
        ([("2026-11-20", "done")], ["2026-11-20", "2026-11-21"], False),
        ([("2026-11-20", "staging")], [], False),
        ([], ["2026-11-20"], False),
    ],
)
def test_a_deletion_is_done_when_each_job_of_its_days_is(
    states: list[tuple[str, str]], days: list[str], *, done: bool
) -> None:
    assert all_done(states, days, "done") is done
