"""What a browser shows."""

from __future__ import annotations

import html.parser
import re

import orjson
import pytest

from tests.emulator.conftest import Make, Project

ROUTES = {
    "/2/httpapi",
    "/batch",
    "/identify",
    "/api/2/events/segmentation",
    "/api/2/events/list",
    "/api/2/usersearch",
    "/api/2/useractivity",
    "/api/2/export",
    "/api/2/deletions/users",
    "/api/2/deletions/users/{amplitude_id}/{day}",
}


def text(project: Project) -> str:
    """The words of the page, its markup checked to be balanced."""
    answer = project.request("GET", "/")
    assert (answer.status, answer.content_type) == (200, b"text/html; charset=utf-8")
    open_tags: list[str] = []
    words: list[str] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            del attrs
            if tag not in ("meta", "br"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

        def handle_data(self, data: str) -> None:
            words.append(data)

    Reader().feed(answer.body.decode())
    assert not open_tags
    return re.sub(r"\s+", " ", " ".join(words))


def test_it_shows_what_has_arrived(project: Project) -> None:
    assert "None yet." in text(project)
    project.user("user-1", "<b>bold</b>", insert_id="i-1")
    project.user("user-1", "<b>bold</b>", insert_id="i-1")
    project.user("u")
    shown = text(project)
    assert "1 users" in shown
    assert "1 duplicates discarded" in shown
    assert "POST /2/httpapi 3 2 1 × 400" in shown
    assert "<b>bold</b> 1" in shown
    assert "None: it behaves." in shown


def test_it_shows_limits_and_faults(make: Make) -> None:
    project = make(
        limits="documented",
        visibility_delay={"min": "1s", "max": "2s"},
        capacity="4000/s",
        silenced_devices=["device-9"],
        block_bots=True,
        faults={
            "drop": {"count": 7, "among": 20},
            "slow": {"rate": 0.5, "delay": {"median": "20ms", "p99": "1s"}, "on": "queries"},
            "duplicate": {"first": 5, "count": 2, "copies": 3},
            "throttle": {"after": "2s", "lasting": "1500ms", "every": "1m"},
            "error_after_commit": {"rate": 0.0},
        },
    )
    project.user("user-1")
    shown = text(project)
    assert 'visible after { min = "1s", max = "2s" }' in shown
    assert "4,000 uploads a second" in shown
    assert "event types 2,000" in shown
    assert "silenced devices device-9" in shown
    assert "those of no browser" in shown
    assert "user events per s 30" in shown
    assert "cost per 5 minutes 1,000" in shown
    assert "count = 7, among = 20" in shown
    assert 'rate = 0.5, on = "queries", delay = { median = "20ms", p99 = "1s" }' in shown
    assert "count = 2, first = 5, copies = 3" in shown
    assert 'after = "2s", lasting = "1.5s", every = "60s", on = "uploads"' in shown
    assert "rate = 0.0, status = 500" in shown


def test_it_shows_no_key(project: Project) -> None:
    answer = project.request("GET", "/")
    description = project.request("GET", "/openapi.json")
    for body in (answer.body, description.body):
        assert b"of-the-tests" not in body


def test_the_description_names_every_route(project: Project) -> None:
    content = orjson.loads(project.request("GET", "/openapi.json").body)
    assert content["openapi"] == "3.1.0"
    assert content["paths"].keys() == ROUTES
    for path, item in content["paths"].items():
        for method in item:
            concrete = path.format(amplitude_id=1, day="20260615")
            assert project.request(method.upper(), concrete).status not in (404, 405)


@pytest.mark.parametrize("path", ["/", "/openapi.json"])
def test_a_name_that_somebody_else_gave_this_machine_is_refused(make: Make, path: str) -> None:
    project = make()
    for host in ("127.0.0.1:8765", "localhost:8765", "[::1]:8765", "192.0.2.7", ""):
        assert project.request("GET", path, host=host).status == 200
        own = project.request("GET", path, host=host, origin=f"http://{host}")
        assert own.status == 200
    for host in ("evil.example", "evil.example:8765", "127.0.0.1.evil.example", "[::1", "a\x00b"):
        assert project.request("GET", path, host=host).status == 403
    answer = project.request("GET", path, host="localhost:8765", origin="https://evil.example")
    assert answer.status == 403
    assert b"scripts of https://evil.example" in answer.body
