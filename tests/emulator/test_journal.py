"""Events that outlive the process."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from loadcheck.emulator.commit import Journal, JournalError
from tests.emulator.conftest import API_KEY, SECRET_KEY, Make, Project

Restart = Callable[[], Project]


@pytest.fixture
def restart(make: Make, tmp_path: Path) -> Restart:
    """Make a project of a data file; the one before is closed first."""
    open_journals: list[Journal] = []

    def restart() -> Project:
        for journal in open_journals:
            journal.close()
        open_journals[:] = [Journal(tmp_path / "data.sqlite")]
        return make(journal=open_journals[0], visibility_delay="1s")

    return restart


def test_everything_is_there_again(restart: Restart) -> None:
    project = restart()
    event: dict[str, Any] = {"event_properties": {"n": 1, "t": ["x"]}, "insert_id": "i-1"}
    project.user("user-1", **event, user_properties={"team": "red"})
    project.upload(
        {"device_id": "device-1", "event_type": "probe"}, client_upload_time="2020-01-01"
    )
    project.user("user-2", device_id="device-1", event_id=1, time=project.now_ms)
    project.move(seconds=1)
    before = [project.chart(m=metric) for metric in ("uniques", "totals")]
    project = restart()
    assert project.count() == 0  # it is visible when it was to be visible
    project.move(seconds=1)
    assert [project.chart(m=metric) for metric in ("uniques", "totals")] == before
    assert project.groups(g="gp:team", m="totals") == {"(none)": 2, "red": 1}
    project.user("user-1", **event)
    project.user("user-2", device_id="device-1", event_id=1, time=project.now_ms - 1000)
    project.user("user-1")
    project.move(seconds=1)
    assert project.count(m="totals") == 4
    assert project.groups(g="gp:team", m="totals") == {"(none)": 2, "red": 2}


def test_what_was_discarded_is_not_kept(restart: Restart) -> None:
    project = restart()
    for _ in range(3):
        project.user("user-1", insert_id="i-1")
    project = restart()
    assert project.emulator.state()["events"] == 1


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a database " * 100, encoding="utf-8")
    with pytest.raises(JournalError, match="text: file is not a database"):
        Journal(text)
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("create table mine (id)")
    connection.close()
    with pytest.raises(JournalError, match="not a data file of this emulator"):
        Journal(other)
    with pytest.raises(JournalError, match="unable to open"):
        Journal(tmp_path / "no folder" / "data")


def test_what_cannot_be_kept_is_not_acknowledged(make: Make, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "data.sqlite")
    project = make(journal=journal)
    event = {"user_id": "user-1", "event_type": "probe"}
    payload = {"api_key": API_KEY, "events": [event]}
    # as a disk that is full has it
    journal._connection.execute("pragma max_page_count = 1")
    large = [event | {"event_properties": {f"p{n}": "x" * 1000 for n in range(100)}}]
    status, said = project.post({**payload, "events": large})
    assert (status, said["code"]) == (500, 500)
    assert "cannot be kept" in said["error"]
    journal._connection.execute("pragma max_page_count = 100000")
    assert project.post(payload)[0] == 200
    # what waited is written with the next that can be
    assert sum(1 for _ in journal.events()) == 2
    journal.close()


def test_a_file_has_one_emulator_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "data.sqlite")
    with pytest.raises(JournalError, match="database is locked"):
        Journal(tmp_path / "data.sqlite")
    journal.close()


DELETIONS = "/api/2/deletions/users"


def test_deletions_go_on_where_they_were(restart: Restart) -> None:
    """A job that waits, one who was taken out, and a job that has run, before and after it has."""

    def call(method: str, path: str, **content: Any) -> Any:
        pair = base64.b64encode(f"{API_KEY}:{SECRET_KEY}".encode()).decode()
        body = orjson.dumps(content) if content else b""
        answer = project.request(method, path, body, authorization=f"Basic {pair}")
        assert answer.status == 200, answer.body
        return orjson.loads(answer.body)

    def jobs() -> Any:
        return call("GET", f"{DELETIONS}?start_day=2026-07-01&end_day=2026-07-31")

    def counted() -> Any:
        return project.count(start=20260615, end=20260615)

    project = restart()
    for number in range(4):
        project.user(f"user-{number}", time=project.now_ms)
    first = call("POST", DELETIONS, user_ids=["user-0", "user-1"])["amplitude_ids"]
    call("POST", DELETIONS, user_ids=["user-2"])
    call("DELETE", f"{DELETIONS}/{first[0]['amplitude_id']}/2026-07-15")
    before = jobs()
    assert len(before[0]["amplitude_ids"]) == 2
    project = restart()
    assert jobs() == before
    project.move(days=31)
    assert (counted(), [job["status"] for job in jobs()]) == (2, ["done"])
    project.user("user-1", time=project.now_ms - 31 * 86_400_000)
    project = restart()
    project.move(days=32)
    # who came again after the deletion stays, and nobody else is back
    assert (counted(), [job["status"] for job in jobs()]) == (3, ["done"])


def test_a_data_file_of_an_older_version_takes_deletions(tmp_path: Path) -> None:
    Journal(tmp_path / "data").close()
    connection = sqlite3.connect(tmp_path / "data")
    connection.execute("drop table deletion")
    connection.close()
    journal = Journal(tmp_path / "data")
    journal.note_deletion({"job": 0, "rows": []})
    assert [*journal.deletions()] == [{"job": 0, "rows": []}]
    journal.close()
