"""What is found in descriptions of many kinds, and what is asked where it cannot be known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from loadcheck.draft import Draft, from_description, read_api
from loadcheck.draft.choose import UndecidedError, Wishes
from loadcheck.errors import DraftError

USER = {"user_id": {"type": "string"}}


def answers(schema: Any, kind: str = "application/json", **more: Any) -> dict[str, Any]:
    media = {"schema": schema, **more}
    return {"responses": {"200": {"description": "", "content": {kind: media}}}}


def takes(properties: Any, *required: str, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": ""}},
        **more,
    }


def parameter(name: str, where: str = "query", **schema: Any) -> dict[str, Any]:
    required = where == "path" or schema.pop("required", False)
    return {"name": name, "in": where, "required": required, "schema": schema or {"type": "string"}}


NUMBER = {"type": "object", "properties": {"users": {"type": "integer"}}}
EVENTS = {"post": takes(USER | {"run": {"type": "string"}}, "user_id")}
COUNT = {"get": {"parameters": [parameter("run")], **answers(NUMBER)}}


class Api:
    """Drafts from paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, paths: Any, wishes: Wishes | None = None, *, version: str = "3.1.0", **more: Any
    ) -> Draft:
        root = {
            "openapi": version,
            "info": {"title": "An API", "version": "1"},
            "servers": [{"url": "http://127.0.0.1:9"}],
            "paths": paths,
            **more,
        }
        file = self.folder / "api.yml"
        file.write_text(yaml.safe_dump(root, sort_keys=False))
        source = read_api(str(file), consent=False)
        return from_description(source, "api.yml", wishes or Wishes(), into=self.folder / "out")


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return Api(tmp_path)


def chosen(draft: Draft) -> tuple[str, str, str, str | None, str]:
    """Return what was chosen: ingest, user, count, filter, uniques."""
    choice = draft.choice
    assert choice is not None
    assert choice.count is not None
    run = choice.run[1].at if choice.run else None
    ingest, count = choice.ingest.operation, choice.count.operation
    return (
        f"{ingest.method} {ingest.path}",
        choice.user.at,
        f"{count.method} {count.path}",
        run,
        choice.uniques,
    )


def step(draft: Draft, index: int) -> dict[str, Any]:
    name = next(name for name in draft.files if name.endswith(".arazzo.yml"))
    found: dict[str, Any] = yaml.safe_load(draft.files[name])["workflows"][0]["steps"][index]
    return found


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param(
            {
                "/v1/track": {
                    "post": takes({"userId": {"type": "string"}, "event": {"type": "string"}})
                },
                "/v1/identify": {
                    "post": takes({"userId": {"type": "string"}, "traits": {"type": "object"}})
                },
                "/v1/alias": {"post": takes({"userId": {"type": "string"}})},
                "/v1/batch": {
                    "post": takes({"batch": {"type": "array", "items": {"type": "object"}}})
                },
                "/v1/stats": {"get": {"parameters": [parameter("event")], **answers(NUMBER)}},
            },
            ("POST /v1/track", "body#/userId", "GET /v1/stats", "query.event", "users"),
            id="track among identify, alias and batch",
        ),
        pytest.param(
            {
                "/runs/{run}/events": {
                    "parameters": [parameter("run", "path")],
                    "post": takes({"visitor": {"type": "object", "properties": {"id": {}}}}),
                },
                "/runs/{run}/visitors": {
                    "parameters": [parameter("run", "path")],
                    "get": answers({"type": "object", "properties": {"total": {"type": "number"}}}),
                },
            },
            (
                *("POST /runs/{run}/events", "body#/visitor/id"),
                *("GET /runs/{run}/visitors", "path.run", "total"),
            ),
            id="a run in the path",
        ),
        pytest.param(
            {
                "/collect": {
                    "get": {
                        "parameters": [parameter("uid"), parameter("ev")],
                        "responses": {"204": {"description": "a pixel"}},
                    }
                },
                "/count": {"get": answers({"type": "integer"})},
            },
            ("GET /collect", "query.uid", "GET /count", None, ""),
            id="a pixel, and a bare number",
        ),
        pytest.param(
            {
                "/capture": {
                    "post": takes({"distinct_id": {"type": "string"}, "event": {"type": "string"}})
                },
                "/query": {
                    "post": {
                        **takes(
                            {
                                "event": {"type": "string"},
                                "math": {"type": "string", "enum": ["total", "dau", "unique"]},
                            },
                            *("event", "math"),
                        ),
                        **answers(
                            {
                                "type": "object",
                                "properties": {
                                    "results": {
                                        "type": "array",
                                        "items": {
                                            "type": "object",
                                            "properties": {
                                                "count": {"type": "integer"},
                                                "label": {"type": "string"},
                                                "days": {
                                                    "type": "array",
                                                    "items": {"type": "integer"},
                                                },
                                            },
                                        },
                                    },
                                    "limit": {"type": "integer"},
                                },
                            }
                        ),
                    }
                },
            },
            (
                *("POST /capture", "body#/distinct_id", "POST /query", "body#/event"),
                "results/0/count",
            ),
            id="a count that is asked for by POST and stands in an array",
        ),
        pytest.param(
            {
                "/import": {
                    "post": {
                        "requestBody": {
                            "content": {
                                "application/json": {
                                    "schema": {
                                        "type": "array",
                                        "items": {"$ref": "#/components/schemas/Event"},
                                    }
                                }
                            }
                        },
                        "responses": {"200": {"description": ""}},
                    }
                },
                "/events": {
                    "post": {
                        "requestBody": {"$ref": "#/components/requestBodies/Event"},
                        "responses": {"200": {"description": ""}},
                    }
                },
                "/engagement": {
                    "get": {
                        "parameters": [{"$ref": "#/components/parameters/Tag"}],
                        **answers({"$ref": "#/components/schemas/Answer"}),
                    }
                },
            },
            (
                *("POST /events", "body#/properties/user_id", "GET /engagement", "query.tag"),
                "stats/unique_users",
            ),
            id="references, allOf, strings for numbers",
        ),
    ],
)
def test_what_is_found(api: Api, paths: Any, expected: tuple[str, ...]) -> None:
    components = {
        "schemas": {
            "Event": {
                "allOf": [
                    {"$ref": "#/components/schemas/Base"},
                    {"properties": {"tag": {"type": ["string", "null"]}}, "required": ["tag"]},
                ]
            },
            "Base": {
                "type": "object",
                "properties": {
                    "properties": {"type": "object", "properties": USER},
                    "previous": {"$ref": "#/components/schemas/Event"},
                },
            },
            "Answer": {
                "type": "object",
                "properties": {
                    "stats": {
                        "anyOf": [
                            {"type": "null"},
                            {
                                "type": "object",
                                "properties": {
                                    "unique_users": {"type": "string", "example": "5000"},
                                    "page": {"type": "integer"},
                                    "generated_at": {"type": "string", "format": "date-time"},
                                },
                            },
                        ]
                    }
                },
            },
        },
        "parameters": {"Tag": parameter("tag")},
        "requestBodies": {
            "Event": {
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Event"}}}
            }
        },
    }
    *place, uniques = chosen(api(paths, components=components))
    pointer = f"#/{expected[-1]}" if expected[-1] else ""
    assert (*place, uniques) == (*expected[:-1], f"$response.body{pointer}")


def test_nothing_counts(api: Api) -> None:
    paths = {"/events": EVENTS, "/health": {"get": answers({"type": "string"})}}
    with pytest.raises(DraftError, match="no operation was found that answers with a number") as up:
        api(paths)
    assert "GET /health" in str(up.value)
    assert "--count none to measure without counting" in str(up.value)
    draft = api(paths, Wishes(count="none"))
    assert b"enabled = false" in draft.files["an-api.toml"]
    assert b"lost" not in draft.files["an-api.toml"]


def test_nothing_takes_data(api: Api) -> None:
    paths = {"/orders": {"post": takes({"amount": {"type": "number"}})}, "/count": COUNT}
    with pytest.raises(DraftError, match="no operation was found that takes data") as up:
        api(paths)
    assert "POST /orders" in str(up.value)
    assert "--ingest OPERATION --user" in str(up.value)
    with pytest.raises(DraftError, match="has no field that looks like a user's id: it has body#/"):
        api(paths, Wishes(ingest="/orders"))
    draft = api(paths, Wishes(ingest="POST /orders", user="amount"))
    assert chosen(draft)[:2] == ("POST /orders", "body#/amount")


def test_two_that_are_alike_are_asked_about(api: Api) -> None:
    paths = {"/a/events": EVENTS, "/b/events": EVENTS, "/count": COUNT}
    with pytest.raises(UndecidedError, match="2 operations may take the data") as up:
        api(paths)
    assert up.value.option == "--ingest"
    assert [name for name, _ in up.value.choices] == ["POST /a/events", "POST /b/events"]
    assert str(up.value).endswith("say which: --ingest 'POST /a/events'")
    assert chosen(api(paths, Wishes(ingest="/b/events")))[0] == "POST /b/events"
    paths = {"/events": EVENTS, "/count": COUNT, "/v2/count": COUNT}
    with pytest.raises(UndecidedError, match="--count 'GET /count'"):
        api(paths)


def test_two_fields_that_are_alike_are_asked_about(api: Api) -> None:
    two = {"sender": {"type": "object", "properties": USER}, "receiver": {"properties": USER}}
    paths = {"/events": {"post": takes(two)}, "/count": COUNT}
    with pytest.raises(UndecidedError, match="body#/sender/user_id, body#/receiver/user_id"):
        api(paths)
    assert chosen(api(paths, Wishes(user="body#/sender/user_id")))[1] == "body#/sender/user_id"
    answer = {"properties": {"users": {"type": "integer"}, "visitors": {"type": "integer"}}}
    paths = {"/events": EVENTS, "/count": {"get": answers(answer)}}
    with pytest.raises(UndecidedError, match=r"--uniques '\$response.body#/users'"):
        api(paths)
    assert chosen(api(paths, Wishes(uniques="/visitors")))[-1] == "$response.body#/visitors"


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        (Wishes(ingest="postEvnt"), 'no operation "postEvnt"; did you mean "postEvent"?'),
        (Wishes(count="xyz"), 'no operation "xyz"; expected one of postEvent (POST /events)'),
        (Wishes(user="userid2"), '--user: there is no "userid2" in postEvent (POST /events)'),
        (Wishes(run="rum"), '--run: there is no "rum" in GET /count of api.yml; did you mean'),
        (Wishes(server="localhost:80"), '--server: "localhost:80" is not an http or https URL'),
    ],
)
def test_a_wish_that_names_nothing(api: Api, wishes: Wishes, says: str) -> None:
    post = {"post": EVENTS["post"] | {"operationId": "postEvent"}}
    with pytest.raises(DraftError) as up:
        api({"/events": post, "/count": COUNT}, wishes)
    assert says in str(up.value)


@pytest.mark.parametrize("schema", [{}, {"type": "object"}])
def test_an_answer_that_is_not_described_is_asked_about(api: Api, schema: Any) -> None:
    # as FastAPI writes it for a function without a response model
    paths = {
        "/events": {"post": EVENTS["post"] | {"operationId": "add_event_events_post"}},
        "/": {"get": answers(schema) | {"operationId": "root__get"}},
        "/count": {
            "get": {
                "operationId": "count_users_count_get",
                "parameters": [
                    parameter("run", anyOf=[{"type": "string"}, {"type": "null"}], title="Run")
                ],
                **answers(schema),
            }
        },
    }
    with pytest.raises(UndecidedError, match="--uniques /path/to/number") as up:
        api(paths)
    assert "the answer of count_users_count_get (GET /count) is not described" in str(up.value)
    draft = api(paths, Wishes(uniques="/n"))
    assert chosen(draft)[2:] == ("GET /count", "query.run", "$response.body#/n")
    assert step(draft, 0)["stepId"] == "add_event_events_post"


def test_a_service_that_cannot_filter_is_told(api: Api) -> None:
    draft = api({"/events": EVENTS, "/count": {"get": answers(NUMBER)}})
    assert chosen(draft)[3] is None


def test_values_fit_what_the_description_says(api: Api) -> None:
    event = {
        "user": {"type": "string", "format": "uuid"},
        "uuid": {"type": "string", "format": "uuid"},
        "ts": {"type": "integer"},
        "plan": {"type": "string", "enum": ["free", "paid"]},
        "age": {"type": "integer", "minimum": 18},
        "mail": {"type": "string", "format": "email"},
        "note": {"type": "string", "minLength": 12},
        "optional": {"type": "string"},
        "server_id": {"type": "string", "readOnly": True},
    }
    paths = {
        "/projects/{project_id}/events": {
            "parameters": [parameter("project_id", "path")],
            "post": takes(event, *(name for name in event if name != "optional")),
        },
        "/projects/{project_id}/count": {
            "parameters": [parameter("project_id", "path")],
            "get": {
                "parameters": [
                    parameter("since", required=True, type="string", format="date-time"),
                    parameter("until", required=True, type="string", example="20260101"),
                    parameter("limit", type="integer"),
                ],
                **answers(NUMBER),
            },
        },
    }
    draft = api(paths)
    payload = step(draft, 0)["requestBody"]["payload"]
    assert payload == {
        "user": "$inputs.userId",
        "uuid": "$inputs.insertId",
        "ts": "$inputs.timeMs",
        "plan": "free",
        "age": 18,
        "mail": "loadcheck@example.com",
        "note": "loadcheck---",
    }
    scenario = draft.files["an-api.toml"].decode()
    for line in (
        'userId = "$copy.userUuid"',
        'insertId = "$copy.insertUuid"',
        'timeMs = "$copy.time"',
        'start = "{$run.startDate}T00:00:00Z"',
        'end = "$run.endDay"',
        'projectId = { env = "AN_API_PROJECT_ID", secret = false }',
    ):
        assert f"\n{line}" in scenario
    assert draft.variables == {"AN_API_PROJECT_ID": False}
    names = [each["name"] for each in step(draft, 1)["parameters"]]
    assert names == ["project_id", "since", "until"]


@pytest.mark.parametrize(
    ("scheme", "sent", "variables"),
    [
        ({"type": "http", "scheme": "bearer"}, "Bearer {$inputs.token}", ["AN_API_TOKEN"]),
        ({"type": "oauth2", "flows": {}}, "Bearer {$inputs.token}", ["AN_API_TOKEN"]),
        (
            {"type": "http", "scheme": "basic"},
            "Basic {$inputs.basicAuth}",
            ["AN_API_USERNAME", "AN_API_PASSWORD"],
        ),
        (
            {"type": "apiKey", "in": "query", "name": "api_key"},
            "$inputs.apiKey",
            ["AN_API_API_KEY"],
        ),
        (
            {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            "$inputs.apiKey",
            ["AN_API_API_KEY"],
        ),
    ],
)
def test_credentials_come_from_the_environment(
    api: Api, scheme: dict[str, Any], sent: str, variables: list[str]
) -> None:
    draft = api(
        {"/events": EVENTS, "/count": COUNT},
        components={"securitySchemes": {"key": scheme}},
        security=[{"key": []}],
    )
    for index in (0, 1):
        assert step(draft, index)["parameters"][0]["value"] == sent
    assert list(draft.variables) == variables
    example = draft.files[".env.example"].decode()
    assert [line for line in example.splitlines() if line.endswith("=")] == [
        f"{name}=" for name in variables
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("swagger: '2.0'\ninfo: {}\n", "convert it to 3.0"),
        ("openapi: 4.0.0\n", "is not an OpenAPI 3.0.x, 3.1.x or 3.2.x document"),
        ("arazzo: 1.0.1\n", "is not an OpenAPI"),
        ("[1, 2]", "is not an object"),
        ("a: [", "no valid YAML"),
    ],
)
def test_what_is_no_description(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(Exception, match=says):
        read_api(str(tmp_path / "x.yml"), consent=False)


def test_a_large_description_whose_schemas_hold_each_other_is_read_in_bounds(api: Api) -> None:
    count = 60
    schemas = {
        f"S{index}": {
            "type": "object",
            "properties": {
                f"p{way}": {"$ref": f"#/components/schemas/S{(index * way + way) % count}"}
                for way in range(1, 12)
            },
        }
        for index in range(count)
    }
    paths: dict[str, Any] = {
        f"/things/{index}": {"get": answers({"$ref": f"#/components/schemas/S{index}"})}
        for index in range(count)
    }
    draft = api({**paths, "/events": EVENTS, "/count": COUNT}, components={"schemas": schemas})
    assert chosen(draft)[2] == "GET /count"


@pytest.mark.parametrize("name", ["../x", "a b", "", "x" * 41])
def test_a_name_that_is_no_file_name(api: Api, name: str) -> None:
    api({"/events": EVENTS, "/count": COUNT})
    source = read_api(str(api.folder / "api.yml"), consent=False)
    with pytest.raises(DraftError, match="--name: found"):
        from_description(source, "api.yml", Wishes(), into=None, name=name)


@pytest.mark.parametrize(
    ("title", "file", "variable"),
    [("1 Shop", "1-shop.toml", "API_1_SHOP_TOKEN"), ("Событие", "api.toml", "API_TOKEN")],
)
def test_titles_of_all_kinds(api: Api, title: str, file: str, variable: str) -> None:
    draft = api(
        {"/events": EVENTS, "/count": COUNT},
        info={"title": title, "version": "1"},
        components={"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        security=[{"key": []}],
    )
    assert draft.scenario == file
    assert list(draft.variables) == [variable]
