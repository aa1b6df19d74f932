"""What a query costs, and what happens when the budget is spent."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from loadcheck.emulator.message import Answer, Request
from tests.emulator.conftest import Make, Project

BY = {"type": "event", "value": "v"}
CLAUSE = {"prop": "country", "op": "is", "values": ["Chile"]}
DAYS_10 = {"start": 20260606, "end": 20260615}


@pytest.mark.parametrize(
    ("parameters", "cost"),
    [
        ({}, 1),
        (DAYS_10, 10),
        ({"filters": [{"subprop_type": "event", "subprop_key": "v", "subprop_op": "is"}]}, 1),
        ({"group_by": [BY]}, 5),
        ({"group_by": [BY, BY | {"value": "w"}]}, 9),
        ({"g": "country"}, 5),
        ({"e2": {"event_type": "other"}}, 2),
        ({"s": [CLAUSE]}, 2),
        ({"s": [[CLAUSE], [CLAUSE, CLAUSE]]}, 5),
        (DAYS_10 | {"group_by": [BY]}, 50),
    ],
)
def test_costs(project: Project, parameters: dict[str, Any], cost: int) -> None:
    assert project.chart(**parameters)["novaCost"] == cost


def test_1000_in_five_minutes(make: Make) -> None:
    project = make(limits="documented")
    for number in range(20):
        assert "data" in project.chart(**DAYS_10, group_by=[BY | {"value": str(number)}])
    refused = project.chart()
    assert refused["status"] == 429
    assert refused["error"] == {
        "http_code": 429,
        "type": "unspecified",
        "message": "Unspecified Error",
        "metadata": {"details": "Too Many Requests: Exceeded rate limit with query of cost 1"},
    }
    project.move(minutes=5, milliseconds=-1)
    assert project.chart()["status"] == 429
    project.move(milliseconds=1)
    assert "data" in project.chart()


def test_by_the_hour(make: Make) -> None:
    queries = {"cost_per_hour": 3}
    project = make(limits={"base": "off", "queries": queries})
    for _ in range(3):
        assert "data" in project.chart()
        project.move(minutes=6)
    assert project.chart()["status"] == 429
    project.move(minutes=42)
    assert "data" in project.chart()


def test_a_malformed_query_costs_nothing(make: Make) -> None:
    project = make(limits={"base": "off", "queries": {"cost_per_5_minutes": 1}})
    assert project.chart(i=2)["status"] == 400
    assert "data" in project.chart()
    assert project.chart()["status"] == 429


def test_five_at_once_over_all_endpoints(make: Make) -> None:
    slow = {"slow": {"on": "queries", "delay": 0.02}}
    project = make(limits="documented", faults=slow)
    pair = base64.b64encode(b"an-api-key-of-the-tests:a-secret-key-of-the-tests")
    fields = [(b"authorization", b"Basic " + pair)]

    async def get(path: str, query: bytes = b"") -> Answer:
        answer = project.emulator.router(Request("GET", path, query, fields))
        assert not isinstance(answer, Answer)
        return await answer

    async def together() -> list[Answer]:
        query = b"e=%7B%22event_type%22:%22probe%22%7D&start=20260615&end=20260615"
        charts = [get("/api/2/events/segmentation", query) for _ in range(4)]
        lists = [get("/api/2/events/list") for _ in range(2)]
        return list(await asyncio.gather(*charts, *lists))

    answers = asyncio.run(together())
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert b"Exceeded concurrent limit with query of cost 1" in answers[-1].body
    assert project.ask("/api/2/events/list")[0] == 200


@pytest.mark.parametrize("path", ["/api/2/usersearch", "/api/2/useractivity"])
def test_360_user_requests_an_hour(make: Make, path: str) -> None:
    project = make(limits="documented")
    project.user("user-1")
    user = project.ask("/api/2/usersearch", user="user-1")[1]["matches"][0]["amplitude_id"]
    spent = 1 if path.endswith("search") else 0
    statuses = [project.ask(path, user=user)[0] for _ in range(361 - spent)]
    assert statuses == [200] * (360 - spent) + [429]
    project.move(hours=1)
    assert project.ask(path, user=user)[0] == 200
