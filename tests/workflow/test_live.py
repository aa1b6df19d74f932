"""Two workflows with login, retry, goto and polling, against a server that is there."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from loadcheck.workflow.exchange import Exchange, Failure, Wait
from loadcheck.workflow.runtime.plan import Flow, Plan
from tests.asgi import serving
from tests.workflow.workbench import Bench, give_up

OPENAPI = """\
openapi: 3.0.3
info: {title: Orders, version: '1'}
servers: [{url: https://orders.invalid}]
paths:
  /login:
    post:
      operationId: login
      requestBody: {content: {application/x-www-form-urlencoded: {}}}
      responses: {'200': {description: A token.}}
  /orders:
    post:
      operationId: order
      requestBody: {content: {application/json: {}}}
      responses: {'202': {description: Taken.}}
  /orders/{id}:
    parameters:
    - {name: id, in: path, required: true, schema: {type: string}}
    get:
      operationId: status
      responses: {'200': {description: How it stands.}}
  /count:
    get:
      operationId: count
      responses: {'200': {description: How many there are.}}
"""
ARAZZO = """\
arazzo: 1.0.1
info: {title: Orders, version: '1'}
sourceDescriptions:
- {name: orders, url: orders.yml, type: openapi}
workflows:
- workflowId: sign-in
  inputs:
    type: object
    required: [user]
    properties:
      user: {type: string}
  steps:
  - stepId: login
    operationId: login
    requestBody:
      payload:
        user: $inputs.user
        scope: [read, write]
    outputs:
      token: $response.body#/tokens/0/value
  outputs:
    token: $steps.login.outputs.token
- workflowId: buy
  inputs:
    type: object
    required: [user]
    properties:
      user: {type: string}
      quantity: {type: integer, default: 2}
  steps:
  - stepId: signIn
    workflowId: sign-in
    parameters:
    - {name: user, value: $inputs.user}
    outputs:
      token: $outputs.token
  - stepId: order
    operationId: order
    parameters:
    - {name: Authorization, in: header, value: 'Bearer {$steps.signIn.outputs.token}'}
    requestBody:
      payload: |
        {"user": "{$inputs.user}", "quantity": {$inputs.quantity}}
    successCriteria:
    - condition: $statusCode == 202
    onFailure:
    - name: expired
      type: retry
      stepId: signIn
      retryLimit: 1
      criteria:
      - condition: $statusCode == 401
    - name: busy
      type: retry
      retryAfter: 5
      retryLimit: 3
      criteria:
      - context: $statusCode
        condition: ^(429|503)$
        type: regex
    outputs:
      id: $response.header.Location
  - stepId: poll
    operationId: status
    parameters:
    - {name: id, in: path, value: $steps.order.outputs.id}
    onSuccess:
    - name: notYet
      type: goto
      stepId: poll
      criteria:
      - condition: $response.body#/state == 'pending'
    - name: cancelled
      type: end
      criteria:
      - context: $response.body
        condition: $[?@ == 'cancelled']
        type: jsonpath
  - stepId: count
    operationId: count
    outputs:
      orders: $response.body#/total
"""


class Orders:
    """A shop whose tokens expire, that is busy at times, and takes a while."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.orders: dict[str, dict[str, Any]] = {}
        self.attempts: list[bytes] = []

    async def login(self, request: Request) -> Response:
        self.calls["login"] += 1
        form = (await request.body()).decode()
        if not form.startswith("user=lc-") or not form.endswith("&scope=read&scope=write"):
            return JSONResponse({}, status_code=400)
        return JSONResponse({"tokens": [{"value": f"t{self.calls['login']}"}]})

    async def order(self, request: Request) -> Response:
        self.calls["order"] += 1
        body = await request.body()
        self.attempts.append(body)
        if request.headers["authorization"] == "Bearer t1":
            return Response(status_code=401)
        if self.calls["order"] == 2:
            return Response(status_code=503, headers={"Retry-After": "0"})
        order = await request.json()
        order["polls"] = 0
        self.orders[order["user"]] = order
        return Response(status_code=202, headers={"Location": order["user"]})

    async def status(self, request: Request) -> Response:
        self.calls["status"] += 1
        order = self.orders[request.path_params["id"]]
        order["polls"] += 1
        return JSONResponse({"state": "pending" if order["polls"] < 3 else "done"})

    async def count(self, _request: Request) -> Response:
        return JSONResponse({"total": len(self.orders)})


@pytest.fixture
def shop() -> Iterator[tuple[Orders, str]]:
    orders = Orders()
    routes = [
        Route("/login", orders.login, methods=["POST"]),
        Route("/orders", orders.order, methods=["POST"]),
        Route("/orders/{id}", orders.status),
        Route("/count", orders.count),
    ]
    with serving(Starlette(routes=routes)) as url:
        yield orders, url


@pytest.fixture
def document(bench: Bench) -> Path:
    bench.write("orders.yml", OPENAPI)
    return bench.write("buy.yml", ARAZZO)


def carry(flow: Flow[Any], client: httpx.Client) -> tuple[Any, list[float]]:
    exchange: Exchange | None = None
    pauses = []
    try:
        while True:
            wanted = flow.send(exchange)  # type: ignore[arg-type]  # None starts it
            if isinstance(wanted, Wait):
                pauses.append(wanted.seconds)
                exchange = None
                continue
            try:
                answer = client.request(
                    wanted.method, wanted.url, headers=wanted.headers, content=wanted.body
                )
            except httpx.ConnectError as error:
                exchange = Exchange(wanted, failure=Failure.CONNECT, detail=str(error))
            else:
                headers = [(name.lower(), value) for name, value in answer.headers.raw]
                exchange = Exchange(wanted).answered(answer.status_code, headers, answer.content)
    except StopIteration as stop:
        return stop.value, pauses


def compiled(bench: Bench, document: Path, url: str) -> Plan:
    return bench.compile(
        document,
        workflow_id="buy",
        strict=True,
        servers={"orders": url},
        inputs={"user": "$copy.userId"},
    )


def test_a_real_run(bench: Bench, document: Path, shop: tuple[Orders, str]) -> None:
    orders, url = shop
    plan = compiled(bench, document, url)
    assert [(step.step_id, step.role.value, step.dependent) for step in plan.steps] == [
        ("login", "per-copy", False),
        ("order", "per-copy", True),
        ("poll", "per-copy", True),
        ("count", "observer", False),
    ]
    with httpx.Client() as client:
        for number in range(5):
            success, pauses = carry(plan.copy(number, 0, give_up), client)
            assert success
            assert not any(pauses)
        query = plan.query("count", values={"n": "$steps.count.outputs.orders"})
        answer, _ = carry(query.run(1), client)
    assert (answer.success, answer.values) == (True, {"n": 5})
    # the first copy's token had expired, and its second attempt met a busy shop
    assert orders.calls == {"login": 6, "order": 7, "status": 15}
    assert len(set(orders.attempts)) == 5
    assert orders.attempts[0] == b'{"user": "lc-run0run0run0-0000000", "quantity": 2}\n'


def test_a_server_that_is_not_there(bench: Bench, document: Path) -> None:
    plan = compiled(bench, document, "http://127.0.0.1:9")
    with httpx.Client() as client:
        success, _ = carry(plan.copy(0, 0, give_up), client)
    assert success is False
