"""A service that takes events and counts users, with a description of itself and nothing else.

It knows nothing of loadcheck: its description is what ``loadcheck init`` has to find its way by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "s3cr3t-token-of-the-shop"


def description(*, version: str = "3.0.3", secured: bool = False) -> dict[str, Any]:
    """Return the OpenAPI description that the service serves at ``/openapi.json``."""
    event = {
        "type": "object",
        "required": ["userId", "eventType"],
        "properties": {
            "userId": {"type": "string"},
            "eventType": {"type": "string", "enum": ["signup", "purchase"]},
            "campaign": {"type": "string"},
            "eventId": {"type": "string", "format": "uuid"},
            "occurredAt": {"type": "string", "format": "date-time"},
        },
    }
    counted = {
        "type": "object",
        "properties": {
            "data": {
                "type": "object",
                "properties": {
                    "uniqueUsers": {"$ref": "#/components/schemas/Number"},
                    "eventCount": {"$ref": "#/components/schemas/Number"},
                    "tookMs": {"type": "integer"},
                },
            }
        },
    }
    root: dict[str, Any] = {
        "openapi": version,
        "info": {"title": "Shop", "version": "1"},
        "paths": {
            "/v1/events": {
                "post": {
                    "operationId": "createEvent",
                    "summary": "Records one event",
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Event"}}
                        },
                    },
                    "responses": {"202": {"description": "It will be counted."}},
                }
            },
            "/v1/reports/users": {
                "get": {
                    "operationId": "countUsers",
                    "parameters": [
                        {"name": "campaign", "in": "query", "schema": {"type": "string"}},
                        {
                            "name": "from",
                            "in": "query",
                            "required": True,
                            "schema": {"type": "string", "format": "date"},
                        },
                    ],
                    "responses": {
                        "200": {
                            "description": "How many there are.",
                            "content": {"application/json": {"schema": counted}},
                        }
                    },
                }
            },
            "/v1/users/{userId}": {
                "get": {
                    "operationId": "getUser",
                    "parameters": [
                        {
                            "name": "userId",
                            "in": "path",
                            "required": True,
                            "schema": {"type": "string"},
                        }
                    ],
                    "responses": {"200": {"description": "One user."}},
                }
            },
            "/health": {"get": {"responses": {"200": {"description": "Alive."}}}},
        },
        "components": {"schemas": {"Event": event, "Number": {"type": "integer"}}},
    }
    if secured:
        root["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        root["security"] = [{"token": []}]
    return root


@dataclass
class Shop:
    """Events by campaign; the first ``drop`` are acknowledged and thrown away."""

    drop: int = 0
    secured: bool = False
    events: dict[str, dict[str, str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/openapi.json", self._describe),
                Route("/v1/events", self._take, methods=["POST"]),
                Route("/v1/reports/users", self._count),
            ]
        )

    def _stranger(self, request: Request) -> Response | None:
        if self.secured and request.headers.get("authorization") != f"Bearer {TOKEN}":
            self.refused.append(request.url.path)
            return JSONResponse({"error": "who are you?"}, status_code=401)
        return None

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(description(version="3.1.0", secured=self.secured))

    async def _take(self, request: Request) -> Response:
        event = await request.json()
        if stranger := self._stranger(request):
            return stranger
        if event["eventType"] not in {"signup", "purchase"} or len(event["eventId"]) != 36:
            self.refused.append(str(event))
            return JSONResponse({"error": "no such event"}, status_code=400)
        if self.drop:
            self.drop -= 1
        else:
            users = self.events.setdefault(event["campaign"], {})
            users[event["eventId"]] = event["userId"]
        return Response(status_code=202)

    async def _count(self, request: Request) -> Response:
        if stranger := self._stranger(request):
            return stranger
        if request.query_params["from"].count("-") != 2:
            return JSONResponse({"error": "no date"}, status_code=400)
        users = self.events.get(request.query_params["campaign"], {})
        data = {"uniqueUsers": len(set(users.values())), "eventCount": len(users), "tookMs": 1}
        return JSONResponse({"data": data})
