"""Every fault does what it says, and its truth record names exactly whom it hit."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from loadcheck.emulator.config.faults import KINDS
from loadcheck.emulator.message import Answer, Delivery
from tests.emulator.conftest import Make, Project

USERS = [f"user-{number:02}" for number in range(20)]
BY_USER = [{"type": "user", "value": "user_id"}]


def upload(project: Project, user: str = "user-1") -> Answer:
    payload = {
        "api_key": "an-api-key-of-the-tests",
        "events": [{"user_id": user, "event_type": "probe"}],
    }
    answer: Answer = project.request(
        "POST", "/2/httpapi", orjson.dumps(payload), content_type="application/json"
    )
    return answer


def seen(project: Project) -> set[str]:
    return set(project.groups(group_by=BY_USER, limit=1000))


class TestDrop:
    def test_exactly_so_many_users(self, make: Make) -> None:
        project = make(faults={"drop": {"count": 7, "among": 20}})
        assert all(project.user(user)["code"] == 200 for user in USERS)
        lost = set(project.truth["drop"])
        assert len(lost) == 7
        assert seen(project) == set(USERS) - lost
        assert project.ask("/api/2/usersearch", user=lost.pop())[1]["matches"] == []

    def test_a_lost_user_stays_lost_and_others_are_never_hit(self, make: Make) -> None:
        project = make(faults={"drop": {"count": 2, "among": 20}})
        for user in USERS * 3:
            project.user(user)
        record = project.truth["drop"]
        assert len(record) == 6
        assert project.count() == 18

    def test_by_chance_and_repeatable(self, make: Make) -> None:
        def lost(seed: int) -> list[str | None]:
            project = make(faults={"drop": {"rate": 0.3, "seed": seed}})
            for user in USERS:
                project.user(user)
            assert seen(project) == set(USERS) - set(project.truth["drop"])
            return project.truth["drop"]

        assert lost(1) == lost(1) != lost(2)

    def test_a_contiguous_run_of_users(self, make: Make) -> None:
        project = make(faults={"drop": {"first": 5, "count": 3}})
        for user in USERS:
            project.user(user)
        assert project.truth["drop"] == USERS[5:8]
        assert seen(project) == set(USERS[:5] + USERS[8:])

    def test_a_window_of_time(self, make: Make) -> None:
        project = make(faults={"drop": {"after": "5s", "lasting": "3s"}})
        for user in USERS:
            project.user(user)
            project.move(seconds=1)
        assert project.truth["drop"] == USERS[5:8]
        (fault,) = project.emulator.injector.faults
        start = project.now_ms - 20_000
        assert fault.truth.as_json()["at_ms"] == [start + 5000, start + 6000, start + 7000]
        assert seen(project) == set(USERS[:5] + USERS[8:])

    def test_what_was_dropped_is_not_remembered_as_seen(self, make: Make) -> None:
        project = make(faults={"drop": {"lasting": "1s"}})
        project.user("user-1", insert_id="i-1")
        project.move(seconds=1)
        project.user("user-1", insert_id="i-1")
        assert project.count(m="totals") == 1


def test_duplicate(make: Make) -> None:
    project = make(faults={"duplicate": {"count": 1, "copies": 2}})
    project.user("user-1", insert_id="i-1")
    project.user("user-2", insert_id="i-2")
    assert (project.count(), project.count(m="totals")) == (2, 4)
    assert project.truth["duplicate"] == ["user-1"]


def test_late_visibility(make: Make) -> None:
    project = make(visibility_delay="1s", faults={"late_visibility": {"count": 1, "delay": "9s"}})
    project.user("user-1")
    project.user("user-2")
    counts = []
    for _ in range(10):
        project.move(seconds=1)
        counts.append(project.count())
    assert counts == [1] * 9 + [2]
    assert project.truth["late_visibility"] == ["user-1"]


def test_miscount(make: Make) -> None:
    project = make(faults={"miscount": {"count": 1}})
    assert project.user("user-1")["events_ingested"] == 0
    assert project.user("user-2")["events_ingested"] == 1
    assert project.count() == 2


@pytest.mark.parametrize(
    ("kind", "more", "status", "stored"),
    [
        ("error_before_commit", {}, 503, 0),
        ("error_before_commit", {"status": 502}, 502, 0),
        ("error_after_commit", {}, 500, 1),
        ("error_after_commit", {"status": 504}, 504, 1),
        ("throttle", {}, 429, 0),
        ("refuse", {}, 401, 0),
        ("refuse", {"status": 403}, 403, 0),
        ("refuse", {"status": 429}, 429, 0),
    ],
)
def test_errors(make: Make, kind: str, more: dict[str, Any], status: int, stored: int) -> None:
    project = make(faults={kind: {"count": 1} | more})
    answer = upload(project)
    body = orjson.loads(answer.body)
    assert (answer.status, body["code"]) == (status, status)
    if status == 403:  # as the service answers what its firewall does not like
        assert body == {"code": 403, "error": "Forbidden"}
    if status == 429:  # a ceiling that names nobody
        assert (body["throttled_users"], body["throttled_events"]) == ({}, [])
    assert project.truth[kind] == ["user-1"]
    assert upload(project, "user-2").status == 200
    assert project.count() == stored + 1


@pytest.mark.parametrize(
    ("kind", "delivery", "stored"),
    [
        ("reset_before_commit", Delivery.NONE, 0),
        ("reset_during_answer", Delivery.HALF, 1),
        ("reset_after_commit", Delivery.NONE, 1),
    ],
)
def test_resets(make: Make, kind: str, delivery: Delivery, stored: int) -> None:
    project = make(faults={kind: {"count": 1}})
    assert upload(project).delivery is delivery
    assert upload(project, "user-2").delivery is Delivery.WHOLE
    assert project.count() == stored + 1
    assert project.truth[kind] == ["user-1"]


def test_late_ack_is_stored_at_once(make: Make) -> None:
    project = make(faults={"late_ack": {"count": 1, "delay": "30s"}})
    answer = upload(project)
    assert (answer.status, answer.delay_ms) == (200, 30_000)
    assert project.count() == 1
    assert project.truth["late_ack"] == ["user-1"]


def test_slow(make: Make) -> None:
    project = make(faults={"slow": {"rate": 0.5, "delay": {"median": "10ms", "p99": "1s"}}})
    delays = [upload(project).delay_ms for _ in range(200)]
    hit = [delay for delay in delays if delay]
    assert 60 < len(hit) < 140
    assert min(hit) < 10 < max(hit)
    assert len(project.truth["slow"]) == len(hit)


def test_a_stall_ends_for_all_at_once(make: Make) -> None:
    project = make(faults={"stall": {"after": "1s", "lasting": "4s"}})
    delays = []
    for _ in range(6):
        delays.append(upload(project).delay_ms)
        project.move(seconds=1)
    assert delays == [0, 4000, 3000, 2000, 1000, 0]


def test_broken_json(make: Make) -> None:
    for kind in ("truncated_json", "malformed_json"):
        project = make(faults={kind: {"count": 1}})
        answer = upload(project)
        assert answer.status == 200
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(answer.body)
        assert orjson.loads(upload(project).body)["code"] == 200
        assert project.truth[kind] == ["user-1"]


def test_throttling_bursts(make: Make) -> None:
    project = make(faults={"throttle": {"after": "1s", "lasting": "1s", "every": "3s"}})
    statuses = []
    for user in USERS[:8]:
        statuses.append(upload(project, user).status)
        project.move(seconds=1)
    assert statuses == [200, 429, 200, 200, 429, 200, 200, 429]
    assert project.truth["throttle"] == [USERS[1], USERS[4], USERS[7]]


def test_frozen_counts(make: Make) -> None:
    project = make(faults={"frozen_counts": {"after": "2s", "lasting": "5s"}})
    counts = []
    for user in USERS[:10]:
        project.user(user)
        project.move(milliseconds=500)
        counts.append(project.count())
        project.move(milliseconds=500)
    # the window's start is the last instant seen
    assert counts == [1, 2, 3, 3, 3, 3, 3, 8, 9, 10]


def test_a_stale_cache(make: Make) -> None:
    project = make(faults={"stale_cache": {"after": "2s", "lasting": "5s"}})
    counts = []
    for user in USERS[:10]:
        project.user(user)
        counts.append(project.count())
        project.move(seconds=1)
    assert counts == [1, 2, 2, 2, 2, 2, 2, 8, 9, 10]
    assert len(project.truth["stale_cache"]) == 5


@pytest.mark.parametrize(
    ("kind", "status"), [("refuse", 401), ("error_before_commit", 503), ("throttle", 429)]
)
def test_queries_can_be_hit_instead(make: Make, kind: str, status: int) -> None:
    project = make(faults={kind: {"count": 1, "on": "queries"}})
    assert upload(project).status == 200
    body = project.chart()
    assert (body["status"], body["error"]["http_code"]) == (status, status)
    assert project.count() == 1
    assert project.truth[kind] == [None]


def test_refusing_everything_hits_both_sides(make: Make) -> None:
    project = make(faults={"refuse": {"status": 401}})
    assert upload(project).status == 401
    assert project.chart()["status"] == 401


def test_every_user_of_a_batch_is_recorded(make: Make) -> None:
    project = make(faults={"error_after_commit": {}})
    project.upload(*({"user_id": user, "event_type": "probe"} for user in USERS), path="/batch")
    assert project.truth["error_after_commit"] == USERS


def test_an_upload_nobody_can_read_is_a_hit_on_nobody(make: Make) -> None:
    project = make(faults={"refuse": {}})
    for body in (b"", b"{", b"[]", b'{"events":[1]}', b'{"events":7}'):
        project.request("POST", "/batch", body, content_type="application/json")
    assert project.truth["refuse"] == [None] * 5


def test_refused_uploads_do_not_use_up_what_is_for_accepted_ones(make: Make) -> None:
    project = make(faults={"error_after_commit": {"count": 1}})
    assert project.user("u")["code"] == 400
    assert upload(project).status == 500


def test_every_kind_tells_what_it_does() -> None:
    assert all(kind.does for kind in KINDS.values())
