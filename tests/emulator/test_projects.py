"""Several projects, in two data centres, behind one address."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from loadcheck.emulator.config import ConfigError, parse
from loadcheck.emulator.message import Answer
from tests.emulator.conftest import API_KEY, SECRET_KEY, Make, Project, Serve

OTHERS = [
    {"api_key": "key-two", "secret_key": "secret-two"},
    {"api_key": "key-eu", "secret_key": "secret-eu", "region": "eu"},
]


@pytest.fixture
def organization(make: Make) -> Project:
    return make(projects=OTHERS)


def upload(project: Project, key: str, user: str, at: str = "") -> tuple[int, Any]:
    payload = {"api_key": key, "events": [{"user_id": user, "event_type": "probe"}]}
    body = orjson.dumps(payload)
    answer = project.request(
        "POST", f"{at}/2/httpapi", body, front=True, content_type="application/json"
    )
    return answer.status, orjson.loads(answer.body)


def search(project: Project, key: str, secret: str, at: str = "") -> tuple[int, Any]:
    pair = base64.b64encode(f"{key}:{secret}".encode()).decode()
    target = f"{at}/api/2/usersearch?user=user-"
    answer: Answer = project.request("GET", target, front=True, authorization=f"Basic {pair}")
    found = orjson.loads(answer.body)
    return answer.status, [each["user_id"] for each in found.get("matches", [])]


def test_each_project_has_users_of_its_own(organization: Project) -> None:
    assert upload(organization, API_KEY, "user-1")[0] == 200
    assert upload(organization, "key-two", "user-2")[0] == 200
    assert search(organization, API_KEY, SECRET_KEY) == (200, ["user-1"])
    assert search(organization, "key-two", "secret-two") == (200, ["user-2"])
    # the right key with the secret of another project
    assert search(organization, API_KEY, "secret-two")[0] == 401
    assert organization.emulator.state()["others"] == [
        {"region": "us", "users": 1},
        {"region": "eu", "users": 0},
    ]


def test_a_data_centre_knows_its_own_keys_only(organization: Project) -> None:
    assert upload(organization, "key-eu", "user-3", "/eu")[0] == 200
    assert search(organization, "key-eu", "secret-eu", "/eu") == (200, ["user-3"])
    for at in ("", "/us"):
        status, body = upload(organization, "key-eu", "user-4", at)
        assert (status, body["error"]) == (400, "Invalid API key: key-eu")
        assert search(organization, "key-eu", "secret-eu", at)[0] == 401
    assert upload(organization, API_KEY, "user-5", "/eu")[0] == 400
    assert search(organization, API_KEY, SECRET_KEY, "/us") == (200, [])


def test_one_project_in_europe(make: Make) -> None:
    project = make(region="eu")
    assert upload(project, API_KEY, "user-1")[0] == 200
    assert upload(project, API_KEY, "user-2", "/eu")[0] == 200
    assert upload(project, API_KEY, "user-3", "/us")[0] == 400
    assert search(project, API_KEY, SECRET_KEY)[1] == ["user-1", "user-2"]


def test_what_holds_no_key_is_answered_as_ever(organization: Project, serve: Serve) -> None:
    answer = organization.request(
        "POST", "/eu/2/httpapi", b"{", front=True, content_type="application/json"
    )
    assert (answer.status, b"Invalid JSON" in answer.body) == (400, True)
    assert organization.request("GET", "/eux/2", front=True).status == 404
    assert serve(projects=OTHERS).project.clock is not None


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"region": "asia"}, "region"),
        ({"projects": {"api_key": "a"}}, "projects"),
        ({"projects": [{"key": "a"}]}, "projects.0.key"),
        ({"projects": [{"api_key": "a"}, {"api_key": "a"}]}, "projects.1.api_key"),
        ({"api_key": "a", "projects": [{"api_key": "a"}]}, "projects"),
    ],
)
def test_bad_configurations(config: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(config)
    assert [problem.path for problem in error.value.problems] == [path]
