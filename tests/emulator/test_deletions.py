"""Deletion jobs: all or nothing, revocable until three days before, done after thirty."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import orjson
import pytest

from loadcheck.emulator.message import Answer, Request
from tests.emulator.conftest import Make, Project

PATH = "/api/2/deletions/users"
JUNE = b"start_day=20260601&end_day=20260630"
PAIR = base64.b64encode(b"an-api-key-of-the-tests:a-secret-key-of-the-tests").decode()


def send(project: Project, method: str, path: str, content: Any = None) -> tuple[int, Any]:
    body = orjson.dumps(content) if content is not None else b""
    answer = project.request(method, path, body, authorization=f"Basic {PAIR}")
    return answer.status, orjson.loads(answer.body)


@pytest.fixture
def users(project: Project) -> Project:
    for number in range(3):
        project.user(f"user-{number}", time=project.now_ms)
    return project


def person(project: Project, user_id: str) -> int:
    found: int = project.ask("/api/2/usersearch", user=user_id)[1]["matches"][0]["amplitude_id"]
    return found


def count(project: Project) -> int:
    counted: int = project.count(start=20260615, end=20260615)
    return counted


def test_a_job_runs_from_staging_to_done(users: Project) -> None:
    status, job = send(users, "POST", PATH, {"user_ids": ["user-0"], "requester": "me@x.org"})
    assert (status, job["day"], job["status"]) == (200, "2026-07-15", "staging")
    assert job["amplitude_ids"] == [
        {
            "amplitude_id": person(users, "user-0"),
            "requester": "me@x.org",
            "requested_on_day": "2026-06-15",
        }
    ]
    listed = f"{PATH}?start_day=2026-07-01&end_day=2026-07-31"
    for days, expected, left in ((27, "staging", 3), (1, "submitted", 3), (2, "done", 2)):
        users.move(days=days)
        status, jobs = send(users, "GET", listed)
        assert (status, [job["status"] for job in jobs]) == (200, [expected])
        assert count(users) == left
    assert send(users, "GET", f"{PATH}?start_day=2026-07-16&end_day=2026-07-31")[1] == []


def test_who_is_gone_is_found_no_more_until_they_come_again(users: Project) -> None:
    users.upload({"device_id": "device-1", "event_type": "probe"})
    gone = [person(users, "user-1"), person(users, "device-1")]
    send(users, "POST", PATH, {"amplitude_ids": gone})
    users.move(days=30)
    for name in ("user-1", "device-1", *map(str, gone)):
        assert users.ask("/api/2/usersearch", user=name)[1]["type"] == "nomatch"
    matches = users.ask("/api/2/usersearch", user="user")[1]["matches"]
    assert [match["user_id"] for match in matches] == ["user-0", "user-2"]
    assert users.ask("/api/2/useractivity", user=gone[0])[0] == 400
    assert send(users, "POST", PATH, {"user_ids": ["user-1"]})[0] == 400
    users.user("user-1", time=users.now_ms)
    assert person(users, "user-1") == gone[0]
    events = users.ask("/api/2/useractivity", user=gone[0])[1]["events"]
    assert len(events) == 1


def test_somebody_can_be_taken_out_until_three_days_before(users: Project) -> None:
    people = [person(users, "user-0"), person(users, "user-1")]
    send(users, "POST", PATH, {"amplitude_ids": people})
    users.move(days=27)
    assert send(users, "DELETE", f"{PATH}/{people[0]}/2026%2D07-15")[0] == 200
    assert send(users, "DELETE", f"{PATH}/{people[0]}/2026-07-15")[0] == 404
    users.move(days=1)
    assert send(users, "DELETE", f"{PATH}/{people[1]}/2026-07-15")[0] == 400
    users.move(days=2)
    assert count(users) == 2


@pytest.mark.parametrize("flag", ["ignore_invalid_id", "ignore_invalid_ids"])
def test_one_unknown_id_queues_nothing_unless_that_is_ignored(users: Project, flag: str) -> None:
    content: dict[str, Any] = {"user_ids": ["user-0", "nobody"]}
    status, body = send(users, "POST", PATH, content)
    assert status == 400
    assert "nobody" in body["error"]["metadata"]["details"]
    assert send(users, "GET", f"{PATH}?start_day=20260615&end_day=20261115")[1] == []
    assert send(users, "POST", PATH, content | {flag: "True"})[0] == 200


@pytest.mark.parametrize(
    "content",
    [[], {}, {"user_ids": []}, {"user_ids": "user-0"}, {"user_ids": ["user-0"] * 101}],
)
def test_malformed_requests(users: Project, content: Any) -> None:
    assert send(users, "POST", PATH, content)[0] == 400


def test_one_request_a_second(make: Make) -> None:
    project = make(limits="documented")
    project.user("user-1")
    content = {"user_ids": ["user-1"]}
    assert [send(project, "POST", PATH, content)[0] for _ in range(2)] == [200, 429]
    project.move(seconds=1)
    assert send(project, "POST", PATH, content)[0] == 200


async def _at_once(project: Project, count: int) -> list[int]:
    async def one() -> int:
        answer = project.emulator.router(
            Request("GET", PATH, JUNE, [(b"authorization", f"Basic {PAIR}".encode())])
        )
        return (answer if isinstance(answer, Answer) else await answer).status

    return list(await asyncio.gather(*(one() for _ in range(count))))


def test_eight_at_once(make: Make) -> None:
    project = make(limits="documented", faults={"slow": {"on": "queries", "delay": "10ms"}})
    project.user("user-1")
    statuses = asyncio.run(_at_once(project, 10))
    assert sorted(statuses) == [200] * 8 + [429] * 2


def test_a_range_of_at_most_six_months(users: Project) -> None:
    assert send(users, "GET", f"{PATH}?start_day=20260101&end_day=20261231")[0] == 400
    assert send(users, "GET", f"{PATH}?start_day=20260101")[0] == 400
