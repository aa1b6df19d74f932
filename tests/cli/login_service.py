"""A small service that wants a login: tokens that expire, projects that are made and deleted.

It counts what it was asked, so that a test can say what was shared.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

PASSWORD = "correct-horse-battery"


@dataclass
class Service:
    """What the service knows.

    Attributes:
        valid_s: How long a token is taken.
        login_s: How long a login takes, from the second on.
        refuse: Logins that are refused: their numbers, from 1.
        tokens: Token → until when it is taken.
        asked: How often each operation was called.
        refused: Events that were refused for their token.
        count_s: How long a count takes.
        drop: So many events are acknowledged and forgotten.
    """

    valid_s: float = 3600.0
    login_s: float = 0.0
    refuse: frozenset[int] = frozenset()
    drop: int = 0
    count_s: float = 0.0
    tokens: dict[str, float] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    projects: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def login(self, given: dict[str, Any]) -> JSONResponse:
        with self._lock:
            self.asked["login"] += 1
            number = self.asked["login"]
            if given.get("password") != PASSWORD or number in self.refuse:
                said = {"error": f"no such user, or not {given.get('password')}", "session": "s"}
                return JSONResponse(said, 401)
            token = f"token-{number}-{secrets.token_hex(12)}"
            self.tokens[token] = time.monotonic() + self.valid_s
        return JSONResponse({"access": {"token": token}, "expires_in": self.valid_s})

    def known(self, request: Request) -> bool:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.used[token] += 1
        return self.tokens.get(token, 0.0) > time.monotonic()

    def make(self) -> JSONResponse:
        self.asked["make"] += 1
        name = f"project-{self.asked['make']}"
        self.projects[name] = {}
        return JSONResponse({"id": name}, 201)

    def delete(self, name: str) -> JSONResponse:
        self.asked["delete"] += 1
        found = self.projects.pop(name, None)
        return JSONResponse({"deleted": found is not None}, 200 if found is not None else 404)

    def event(self, name: str, said: dict[str, str]) -> JSONResponse:
        self.asked["event"] += 1
        if name not in self.projects:
            return JSONResponse({"error": f"no project {name}"}, 404)
        if self.drop > 0:
            self.drop -= 1
        else:
            self.projects[name].setdefault(said["run"], []).append(said["user"])
        return JSONResponse({"ok": True})

    def count(self, name: str, run: str) -> JSONResponse:
        self.asked["count"] += 1
        users = self.projects.get(name, {}).get(run, [])
        return JSONResponse({"users": len(set(users)), "events": len(users)})


def application(service: Service) -> Starlette:
    """Return the service as an application."""

    async def login(request: Request) -> JSONResponse:
        if service.login_s and service.asked["login"]:
            await anyio.sleep(service.login_s)
        return service.login(await request.json())

    def guarded(answer: Any) -> Any:
        async def handle(request: Request) -> JSONResponse:
            body = await request.body()
            if request.url.path.endswith("/count"):
                await anyio.sleep(service.count_s)
            if not service.known(request):
                service.refused += 1
                return JSONResponse({"error": "token expired"}, 401)
            found: JSONResponse = answer(request, json.loads(body) if body else {})
            return found

        return handle

    name = "/projects/{name}"
    return Starlette(
        routes=[
            Route("/login", login, methods=["POST"]),
            Route("/projects", guarded(lambda *_: service.make()), methods=["POST"]),
            Route(
                name,
                guarded(lambda request, _: service.delete(request.path_params["name"])),
                methods=["DELETE"],
            ),
            Route(
                f"{name}/events",
                guarded(lambda request, said: service.event(request.path_params["name"], said)),
                methods=["POST"],
            ),
            Route(
                f"{name}/count",
                guarded(
                    lambda request, _: service.count(
                        request.path_params["name"], request.query_params["run"]
                    )
                ),
            ),
        ]
    )


_BEARER = {"name": "Authorization", "in": "header", "value": "Bearer {$inputs.token}"}
_PROJECT = {"name": "name", "in": "path", "value": "$inputs.project"}


def _inputs(*names: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(names),
        "properties": {name: {"type": "string"} for name in names},
    }


def write_documents(folder: Path) -> Path:
    """Write the service's descriptions; return the path of the workflows."""

    def parameter(name: str, where: str) -> dict[str, Any]:
        return {"name": name, "in": where, "required": where == "path", "schema": {}}

    taken = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    answers = {"200": {"description": "Done."}}
    named = [parameter("name", "path"), parameter("Authorization", "header")]

    def operation(name: str, parameters: list[Any], body: bool) -> dict[str, Any]:
        found = {"operationId": name, "parameters": parameters, "responses": answers}
        return {**found, "requestBody": taken} if body else found

    api = {
        "openapi": "3.1.0",
        "info": {"title": "A service with a login", "version": "1"},
        "servers": [{"url": "http://127.0.0.1:1"}],
        "paths": {
            "/login": {"post": operation("login", [], body=True)},
            "/projects": {"post": operation("makeProject", named[1:], body=False)},
            "/projects/{name}": {"delete": operation("deleteProject", named, body=False)},
            "/projects/{name}/events": {"post": operation("sendEvent", named, body=True)},
            "/projects/{name}/count": {
                "get": operation("countUsers", [*named, parameter("run", "query")], body=False)
            },
        },
    }
    login = {
        "stepId": "login",
        "operationId": "login",
        "requestBody": {
            "contentType": "application/json",
            "payload": {"user": "load", "password": "$inputs.password"},
        },
        "outputs": {"token": "$response.body#/access/token"},
    }
    make = {
        "stepId": "makeProject",
        "operationId": "makeProject",
        "parameters": [_BEARER | {"value": "Bearer {$steps.login.outputs.token}"}],
        "outputs": {"id": "$response.body#/id"},
    }
    send = {
        "stepId": "sendEvent",
        "operationId": "sendEvent",
        "parameters": [_BEARER, _PROJECT],
        "requestBody": {
            "contentType": "application/json",
            "payload": {"user": "$inputs.userId", "run": "$inputs.runId"},
        },
    }
    count = {
        "stepId": "countUsers",
        "operationId": "countUsers",
        "parameters": [_BEARER, _PROJECT, {"name": "run", "in": "query", "value": "$inputs.runId"}],
    }
    delete = {
        "stepId": "deleteProject",
        "operationId": "deleteProject",
        "parameters": [_BEARER, _PROJECT],
    }
    workflows = {
        "arazzo": "1.0.1",
        "info": {"title": "Send and count, behind a login", "version": "1"},
        "sourceDescriptions": [{"name": "api", "url": "./api.json", "type": "openapi"}],
        "workflows": [
            {
                "workflowId": "send",
                "inputs": _inputs("token", "project", "userId", "runId"),
                "steps": [send, count],
            },
            {
                "workflowId": "prepare",
                "inputs": _inputs("password"),
                "steps": [login, make],
                "outputs": {
                    "token": "$steps.login.outputs.token",
                    "project": "$steps.makeProject.outputs.id",
                },
            },
            {
                "workflowId": "prepareAndCheck",
                "inputs": _inputs("password"),
                "steps": [
                    login,
                    make,
                    count
                    | {
                        "stepId": "check",
                        "parameters": [
                            _BEARER | {"value": "Bearer {$steps.login.outputs.token}"},
                            _PROJECT | {"value": "$steps.makeProject.outputs.id"},
                            {"name": "run", "in": "query", "value": "none"},
                        ],
                    },
                ],
                "outputs": {
                    "token": "$steps.login.outputs.token",
                    "project": "$steps.makeProject.outputs.id",
                },
            },
            {
                "workflowId": "clean",
                "inputs": _inputs("token", "project"),
                "steps": [delete],
            },
            {
                "workflowId": "relogin",
                "inputs": _inputs("password"),
                "steps": [login],
                "outputs": {"token": "$steps.login.outputs.token"},
            },
        ],
    }
    (folder / "api.json").write_text(json.dumps(api))
    path = folder / "workflows.json"
    path.write_text(json.dumps(workflows))
    return path


def scenario(folder: Path, url: str, *, more: str = "", rate: int = 50, lasts: str = "2s") -> Path:
    """Write a scenario whose copies share a login and a project; return its path."""
    write_documents(folder)
    path = folder / "shared.toml"
    path.write_text(
        f"""
workflow = {{ document = "workflows.json", id = "send" }}
thresholds = ["lost == 0", "error_rate < 1%"]

[setup]
workflow = "prepare"
public = ["project"]
inputs.password = {{ env = "SERVICE_PASSWORD" }}
{more}

[teardown]
workflow = "clean"

[target]
kind = "live"
servers = {{ api = "{url}" }}

[inputs]
token = "$setup.outputs.token"
project = "$setup.outputs.project"
userId = "$copy.userId"
runId = "$run.id"

[teardown.inputs]
token = "$setup.outputs.token"
project = "$setup.outputs.project"

[load]
model = "open"
rate = {rate}
duration = "{lasts}"

[verify]
ingest = "sendEvent"
step = "countUsers"
uniques = "$response.body#/users"
totals = "$response.body#/events"
every = "300ms"
quiet = "600ms"
deadline = "5s"
"""
    )
    return path
