"""The second shipped workflow, for an API of another shape, against a server that is there."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

import loadcheck
from loadcheck.scenario.model import Edit
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.exchange import Exchange, Wait
from loadcheck.workflow.runtime.plan import Flow, Plan, QueryAnswer, Role
from tests.pipeline.services import NO_DATABASE, Store, influxdb, serving
from tests.workflow.workbench import RUN, give_up

LIBRARY = Path(loadcheck.__file__).parent / "library" / "influxdb"
PROFILE = tomllib.loads((LIBRARY / "profile.toml").read_text(encoding="utf-8"))


def carry(flow: Flow[Any], client: httpx.Client) -> Any:
    """Run a flow over a real connection."""
    exchange: Exchange | None = None
    try:
        while True:
            wanted = flow.send(exchange)  # type: ignore[arg-type]  # None starts it
            assert not isinstance(wanted, Wait)
            answer = client.request(
                wanted.method, wanted.url, headers=wanted.headers, content=wanted.body
            )
            headers = [(name.lower(), value) for name, value in answer.headers.raw]
            exchange = Exchange(wanted).answered(answer.status_code, headers, answer.content)
    except StopIteration as stop:
        return stop.value


def compiled(url: str, inputs: Mapping[str, Any] | None = None) -> Plan:
    return compile_plan(
        CompileSettings(
            document=LIBRARY / "workflow.yml",
            name="influxdb",
            run=RUN,
            strict=True,
            servers={"*": url},
            inputs={**PROFILE["inputs"], **(inputs or {})},
        )
    )


def ask(plan: Plan, client: httpx.Client, count: str) -> QueryAnswer:
    counted = PROFILE["verify"][count]
    edits = [Edit("countUsers", **edit) for edit in counted.get("overlay", ())]
    query = plan.query("countUsers", edits=edits, values={"n": counted["value"]})
    answer: QueryAnswer = carry(query.run(0), client)
    return answer


def test_points_are_written_and_users_counted() -> None:
    with serving(influxdb, Store()) as url, httpx.Client() as client:
        plan = compiled(url)
        assert [step.role for step in plan.steps] == [Role.COPY, Role.OBSERVER]
        assert ask(plan, client, "uniques").values == {"n": None}
        for number in range(30):
            assert carry(plan.copy(number, 1_767_225_600_000, give_up), client) is True
        assert carry(plan.copy(3, 1_767_225_600_000, give_up), client) is True
        assert ask(plan, client, "uniques").values == {"n": 30}
        assert ask(plan, client, "totals").values == {"n": 30}
        assert carry(plan.copy(3, 1_767_225_600_001, give_up), client) is True
        assert ask(plan, client, "uniques").values == {"n": 30}
        assert ask(plan, client, "totals").values == {"n": 31}


def test_a_point_that_is_dropped_is_missing() -> None:
    with serving(influxdb, Store(lose=7)) as url, httpx.Client() as client:
        plan = compiled(url)
        for number in range(20):
            assert carry(plan.copy(number, 1, give_up), client) is True
        assert ask(plan, client, "uniques").values == {"n": 13}


def test_a_statement_that_fails_is_no_answer() -> None:
    with serving(influxdb, Store()) as url, httpx.Client() as client:
        plan = compiled(url, {"database": NO_DATABASE})
        assert carry(plan.copy(0, 1, give_up), client) is False
        answer = ask(plan, client, "uniques")
        assert answer.success is False
        assert answer.exchange.status == 200
        assert "error does not hold" in answer.exchange.reason
