"""The control endpoint: moves the clock, plants faults, tells the truth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from loadcheck.emulator.config.faults import KINDS
from tests.emulator.conftest import Serve, Served


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(faults={"drop": {"count": 1}})


@pytest.fixture
def control(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.control) as client:
        yield client


def test_the_clock(served: Served, control: httpx.Client) -> None:
    stopped = control.post("/clock", json={"stopped": True, "now_ms": 1000}).json()
    assert stopped == {"now_ms": 1000, "stopped": True, "speed": 1.0}
    assert control.post("/clock", json={"advance": "7d"}).json()["now_ms"] == 604_801_000
    assert served.project.user("user-1")["server_upload_time"] == 604_801_000
    running = control.post("/clock", json={"stopped": False}).json()
    assert running["stopped"] is False
    assert running["now_ms"] >= 604_801_000
    assert control.get("/clock").json()["now_ms"] >= running["now_ms"]
    faster = control.post("/clock", json={"speed": 1_000_000}).json()
    assert faster["speed"] == 1_000_000
    # a minute at least for what has taken 60 µs
    assert control.get("/clock").json()["now_ms"] >= faster["now_ms"] + 60_000
    assert control.post("/clock", json={"speed": 0}).status_code == 400


def test_faults_and_the_truth_about_them(served: Served, control: httpx.Client) -> None:
    project = served.project
    before = project.now_ms
    for user in ("user-1", "user-2"):
        project.user(user)
    (truth,) = control.get("/truth").json()
    assert (truth["kind"], truth["hits"], truth["user_ids"]) == ("drop", 1, ["user-1"])
    assert before <= truth["at_ms"][0] <= project.now_ms
    planted = control.put("/faults", json={"duplicate": {"rate": 1}, "miscount": {"rate": 0}})
    assert planted.json() == [{"kind": "duplicate", "hits": 0}, {"kind": "miscount", "hits": 0}]
    project.user("user-3")
    assert control.get("/faults").json()[0] == {"kind": "duplicate", "hits": 1}
    assert project.count(m="totals", start=20260615, end=20260616) == 3
    assert control.put("/faults", json={}).json() == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_can_be_planted_and_keeps_a_record(
    served: Served, control: httpx.Client, kind: str
) -> None:
    window = KINDS[kind].subject == "time"
    fault: dict[str, Any] = {"lasting": "1s"} if window else {"count": 1}
    planted = control.put("/faults", json={kind: fault | ({"delay": 0} if kind == "slow" else {})})
    assert planted.json() == [{"kind": kind, "hits": 0}]
    with contextlib.suppress(orjson.JSONDecodeError):  # two of them are just that
        served.project.user("user-1")
    served.project.chart()
    (truth,) = control.get("/truth").json()
    assert truth["hits"] >= 1
    assert set(truth["user_ids"]) <= {"user-1", None}
    assert len(truth["user_ids"]) == len(truth["at_ms"])


def test_windows_begin_when_faults_are_planted(served: Served, control: httpx.Client) -> None:
    project = served.project
    control.post("/clock", json={"stopped": True})
    project.user("user-1")
    control.post("/clock", json={"advance": "1h"})
    control.put("/faults", json={"refuse": {"after": "1s", "lasting": "1s"}})
    codes = []
    for _ in range(2):
        control.post("/clock", json={"advance": "1s"})
        codes.append(project.user("user-2")["code"])
    assert codes == [401, 200]


def test_the_state(served: Served, control: httpx.Client) -> None:
    served.project.user("user-1", insert_id="i-1")
    served.project.user("user-2", insert_id="i-2")
    served.project.user("user-2", insert_id="i-2")
    served.project.user("u")
    two = {"user_id": "user-2", "event_type": "probe", "insert_id": "i-2"}
    served.project.upload(two, two, path="/batch")
    state = control.get("/state").json()
    wanted = {"users": 1, "events": 1, "duplicates": 3, "queries": 0}
    assert {name: state[name] for name in wanted} == wanted
    assert state["uploads"]["/2/httpapi"] == 4
    assert state["acknowledged"] == {"/2/httpapi": 3, "/batch": 2}
    assert state["refused"]["/2/httpapi"] == {"400": 1}


@pytest.mark.parametrize(
    ("path", "content", "problem"),
    [
        ("/faults", {"drap": {}}, ("faults.drap", 'did you mean "drop"?')),
        ("/faults", [], ("", "expected a table as JSON")),
        ("/clock", {"advance": "x"}, ("advance", 'or "2s", or a number of seconds')),
        ("/clock", {"now_ms": -1}, ("now_ms", "expected a whole number")),
        ("/clock", {"sped": 2}, ("sped", 'did you mean "speed"?')),
    ],
)
def test_what_makes_no_sense_is_refused(
    control: httpx.Client, path: str, content: Any, problem: tuple[str, str]
) -> None:
    answer = control.request("PUT" if path == "/faults" else "POST", path, json=content)
    assert answer.status_code == 400
    (told,) = answer.json()["problems"]
    assert told["path"] == problem[0]
    assert problem[1] in told["remedy"]
    assert control.get("/faults").json() == [{"kind": "drop", "hits": 0}]
