"""Events that outlive the process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadcheck.emulator.ingest.commit import Journal, JournalError
from tests.emulator.conftest import API_KEY, Make, Project

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
