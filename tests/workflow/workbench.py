"""A workbench for plans: documents from dictionaries, answers from a function."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from loadcheck.errors import WorkflowError
from loadcheck.scenario.model import Edit
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.exchange import Exchange, Failure, Request, Wait
from loadcheck.workflow.identity import Run
from loadcheck.workflow.runtime.plan import Flow, Plan

RUN = Run(
    id="run0run0run0",
    start_day="20260101",
    end_day="20260103",
    target={"apiKey": "key-of-the-target", "basicAuth": "YmFzaWM="},
)

OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Things", "version": "1"},
    "servers": [{"url": "http://things.test/v1"}],
    "paths": {
        "/things": {
            "post": {
                "operationId": "create",
                "requestBody": {"content": {"application/json": {}}},
                "responses": {"200": {"description": "made"}},
            },
            "get": {"operationId": "search", "responses": {"200": {"description": "found"}}},
        },
        "/things/{id}": {
            "get": {
                "operationId": "read",
                "parameters": [{"name": "id", "in": "path", "required": True}],
                "responses": {"200": {"description": "found"}},
            }
        },
        "/lines": {
            "post": {
                "operationId": "write",
                "requestBody": {"content": {"text/plain": {}}},
                "responses": {"204": {"description": "written"}},
            }
        },
        "/forms": {
            "post": {
                "operationId": "submit",
                "requestBody": {"content": {"application/x-www-form-urlencoded": {}}},
                "responses": {"200": {"description": "taken"}},
            }
        },
    },
}


def run_filter(operator: str, value: str) -> dict[str, Any]:
    key = "loadcheck_run"
    return {
        "subprop_type": "event",
        "subprop_key": key,
        "subprop_op": operator,
        "subprop_value": [value],
    }


# What a scenario for the shipped Amplitude workflow gives, in short.
AMPLITUDE_INPUTS = {
    "userId": "$copy.userId",
    "start": "$run.startDay",
    "end": "$run.endDay",
    "apiKey": "$target.apiKey",
    "basicAuth": "$target.basicAuth",
    "eventType": "probe",
    "eventProperties": {"plan": "free"},
}
AMPLITUDE_OVERLAY = (
    Edit("uploadEvents", "body#/events/0/insert_id", "$copy.insertId"),
    Edit("uploadEvents", "body#/events/0/time", "$copy.time"),
    Edit("uploadEvents", "body#/events/0/event_properties/loadcheck_run", "$run.id"),
    Edit("segmentEvent", "query.e#/filters/-", run_filter("is", "$run.id")),
    Edit("segmentEvent", "query.i", "-3600000"),
)
AMPLITUDE_BYPASS = (Edit("", "query.e#/filters/-", run_filter("is not", "cache-{$query.number}")),)


class Reply(NamedTuple):
    status: int = 200
    body: Any = None
    headers: Sequence[tuple[str, str]] = ()
    failure: Failure | None = None

    def exchange(self, request: Request) -> Exchange:
        body = self.body
        if not isinstance(body, bytes):
            body = b"" if body is None else json.dumps(body).encode()
        exchange = Exchange(
            request, failure=self.failure, detail=self.failure.value if self.failure else ""
        )
        headers = [(name.encode(), value.encode()) for name, value in self.headers]
        return exchange.answered(0 if self.failure else self.status, headers, body)


@dataclass
class Ride:
    """What a flow did."""

    result: Any = None
    requests: list[Request] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]


def drive(flow: Flow[Any], answer: Callable[[Request], Reply], limit: int = 5000) -> Ride:
    """Run a flow to its end; a request counts as sent, a pause as waited for."""
    ride = Ride()
    exchange: Exchange | None = None
    try:
        for _ in range(limit):
            wanted = flow.send(exchange)  # type: ignore[arg-type]  # None starts it
            if isinstance(wanted, Wait):
                ride.pauses.append(wanted.seconds)
                exchange = None
                continue
            ride.requests.append(wanted)
            exchange = answer(wanted).exchange(wanted)
            ride.exchanges.append(exchange)
    except StopIteration as stop:
        ride.result = stop.value
        return ride
    raise AssertionError("the flow does not end")


def give_up(_exchange: Exchange, _attempt: int, /) -> None:
    return None


@dataclass
class Bench:
    """Writes documents into a folder and compiles them."""

    folder: Path
    openapi: dict[str, Any] = field(default_factory=lambda: OPENAPI)

    def write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        path.write_text(text, encoding="utf-8")
        return path

    def document(
        self,
        *workflows: Mapping[str, Any],
        components: Any = None,
        sources: Sequence[Mapping[str, str]] = ({"name": "api", "url": "api.json"},),
        name: str = "workflow.json",
    ) -> Path:
        self.write("api.json", self.openapi)
        root: dict[str, Any] = {
            "arazzo": "1.0.1",
            "info": {"title": "Test", "version": "1"},
            "sourceDescriptions": list(sources),
            "workflows": list(workflows),
        }
        if components is not None:
            root["components"] = components
        return self.write(name, root)

    def plan(
        self,
        *workflows: Mapping[str, Any],
        inputs: Mapping[str, Any] | None = None,
        components: Any = None,
        **settings: Any,
    ) -> Plan:
        path = self.document(*workflows, components=components)
        return self.compile(path, inputs=inputs or {}, **settings)

    def compile(self, path: Path, **settings: Any) -> Plan:
        settings.setdefault("workflow_id", None)
        settings.setdefault("run", RUN)
        return compile_plan(CompileSettings(document=path, name=path.name, **settings))

    def refused(self, *workflows: Mapping[str, Any], **settings: Any) -> WorkflowError:
        with pytest.raises(WorkflowError) as caught:
            self.plan(*workflows, **settings)
        return caught.value


def workflow(*steps: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a Workflow Object; inputs given by name only are optional and of any type."""
    inputs = fields.pop("inputs", ())
    if not isinstance(inputs, Mapping):
        inputs = {"type": "object", "properties": {name: {} for name in inputs}}
    return {"workflowId": "main", "inputs": inputs, "steps": list(steps), **fields}
