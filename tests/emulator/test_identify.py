"""``/identify``: properties of users without events."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from loadcheck.emulator.commit import Journal
from tests.emulator.conftest import API_KEY, Make, Project

FORM = "application/x-www-form-urlencoded"
RED = {"user_id": "user-1", "user_properties": {"team": "red"}}


def identify(project: Project, given: Any, key: str = API_KEY) -> tuple[int, bytes]:
    form = urlencode({"api_key": key, "identification": orjson.dumps(given).decode()})
    answer = project.request("POST", "/identify", form.encode(), content_type=FORM)
    return answer.status, answer.body


@pytest.mark.parametrize("given", [RED, [RED]])
def test_properties_show_with_the_next_event_and_are_none(project: Project, given: Any) -> None:
    project.user("user-1")
    assert identify(project, given) == (200, b"success")
    assert project.emulator.state()["events"] == 1
    assert project.groups(g="gp:team", m="totals") == {"(none)": 1}
    project.user("user-1")
    assert project.groups(g="gp:team", m="totals") == {"(none)": 1, "red": 1}
    assert project.count(m="totals") == 2


def test_one_who_is_only_identified_is_not_counted(project: Project) -> None:
    identify(project, [RED])
    assert project.count() == 0
    state = project.emulator.state()
    assert (state["events"], state["acknowledged"]) == (0, {"/2/httpapi": 0, "/batch": 0})
    assert state["identified"] == {"requests": 1, "refused": {}}


def test_operations_go_over_what_is_known(project: Project) -> None:
    for operation in ({"$set": {"n": 1}}, {"$add": {"n": 2}}, {"$setOnce": {"n": 9}}):
        identify(project, RED | {"user_properties": operation})
    project.user("user-1")
    assert project.groups(g="gp:n") == {"3": 1}


def test_a_device_gets_its_user(project: Project) -> None:
    project.upload({"device_id": "device-1", "event_type": "probe"})
    project.user("user-1")
    assert project.count() == 2
    identify(project, {"user_id": "user-1", "device_id": "device-1"})
    assert project.count() == 1


def test_other_ways_to_send_it(project: Project) -> None:
    query = urlencode({"api_key": API_KEY, "identification": orjson.dumps(RED).decode()})
    assert project.request("GET", f"/identify?{query}").status == 200
    parts = {"api_key": API_KEY, "identification": '{"user_id":"user-2"}'}
    body = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in parts.items()
    )
    kind = "multipart/form-data; boundary=x"
    answer = project.request("POST", "/identify", f"{body}--x--".encode(), content_type=kind)
    assert (answer.status, answer.body) == (200, b"success")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "Invalid event JSON"),
        (["user-1"], "Invalid event JSON"),
        ({"user_properties": {}}, "events_with_missing_fields"),
        ({"user_id": "anonymous"}, "events_with_invalid_fields"),
        ({"user_id": "u"}, "events_with_invalid_id_lengths"),
        ({"user_id": "user-1", "user_properties": "red"}, "events_with_invalid_fields"),
        ([RED, {"user_id": 5}], '"user_id":[1]'),
    ],
)
def test_what_is_wrong_is_refused_as_a_whole(project: Project, given: Any, says: str) -> None:
    status, body = identify(project, given)
    assert (status, says in body.decode()) == (400, True), body
    project.user("user-1")
    assert project.groups(g="gp:team") == {"(none)": 1}


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("", '"missing_field":"api_key"'),
        (f"api_key={API_KEY}", '"missing_field":"identification"'),
        (f"api_key={API_KEY}&identification=%7B", "Invalid JSON"),
        ("api_key=nobody&identification=%7B%7D", "Invalid API key"),
        ("api_key=%ff&identification=%7B%7D", "Invalid API key"),
    ],
)
def test_a_bad_form_is_refused(project: Project, form: str, says: str) -> None:
    answer = project.request("POST", "/identify", form.encode(), content_type=FORM)
    assert (answer.status, says in answer.body.decode()) == (400, True), answer.body
    other = project.request("POST", "/identify", form.encode(), content_type="application/json")
    assert other.status == 400


def test_too_many_updates_are_lost(make: Make) -> None:
    project = make(limits={"base": "off", "httpapi": {"user_property_updates_per_hour": 1}})
    identify(project, RED)
    identify(project, RED | {"user_properties": {"team": "blue"}})
    project.user("user-1")
    assert project.groups(g="gp:team") == {"red": 1}


def test_it_is_throttled_as_uploads_are(make: Make) -> None:
    project = make(limits={"base": "off", "httpapi": {"user_events_per_s": 1, "window_s": 1}})
    assert [identify(project, RED)[0] for _ in range(2)] == [200, 429]
    project.move(seconds=2)
    assert identify(project, RED)[0] == 200


def test_what_was_identified_outlives_the_process(make: Make, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "data.sqlite")
    identify(make(journal=journal), RED)
    journal.close()
    again = Journal(tmp_path / "data.sqlite")
    project = make(journal=again)
    assert project.emulator.state()["events"] == 0
    project.user("user-1")
    assert project.groups(g="gp:team") == {"red": 1}
    again.close()


def test_the_key_chooses_among_projects(make: Make) -> None:
    other = {"api_key": "other-key-of-tests", "secret_key": "other-secret", "region": "eu"}
    project = make(projects=[other])
    form = urlencode({"api_key": other["api_key"], "identification": '{"user_id":"user-1"}'})
    for at, status in (("/eu", 200), ("/us", 400)):
        answer = project.request(
            "POST", f"{at}/identify", form.encode(), front=True, content_type=FORM
        )
        assert answer.status == status, answer.body
