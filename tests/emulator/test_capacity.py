"""A planted capacity: what waits, and for how long."""

from __future__ import annotations

import pytest

from loadcheck.emulator.config import ConfigError, parse
from loadcheck.emulator.limits import CapacityQueue
from tests.emulator.conftest import Project

MS = 1_000_000


class Hand:
    """A clock that is moved by hand."""

    now_ns = 5_000 * MS

    def __call__(self) -> int:
        return self.now_ns


def waits(rate: float, arrivals_per_s: float, number: int) -> list[float]:
    clock = Hand()
    server = CapacityQueue(rate, clock)
    found = []
    for _ in range(number):
        found.append(server.wait_ms())
        clock.now_ns += round(1e9 / arrivals_per_s)
    return found


def test_below_its_capacity_nobody_waits_for_others() -> None:
    assert waits(1000, 999, 5000) == pytest.approx([1.0] * 5000, abs=0.01)


def test_above_it_the_queue_grows_by_the_difference() -> None:
    # a second at 10 % above leaves 100 uploads of a millisecond each
    assert waits(1000, 1100, 1101)[-1] == pytest.approx(101, abs=1)


def test_the_queue_is_worked_off_while_nobody_comes() -> None:
    clock = Hand()
    server = CapacityQueue(100, clock)
    for _ in range(50):
        server.wait_ms()
    clock.now_ns += 400 * MS
    assert server.wait_ms() == pytest.approx(110)
    clock.now_ns += 60_000 * MS
    assert server.wait_ms() == pytest.approx(10)


def test_it_is_put_before_uploads_of_both_endpoints_and_not_before_queries() -> None:
    project = Project(capacity="2/s")
    event = {"user_id": "user-1", "event_type": "probe"}
    assert project.upload(event)["events_ingested"] == 1
    assert project.upload(event, path="/batch")["events_ingested"] == 1
    body = b'{"api_key": "wrong"}'
    answer = project.request("POST", "/2/httpapi", body, content_type="application/json")
    assert 1000 < answer.delay_ms < 1501
    assert project.request("GET", "/api/2/events/segmentation").delay_ms == 0
    assert b"2 uploads a second" in project.request("GET", "/").body


@pytest.mark.parametrize(("written", "rate"), [("4000/s", 4000), (2.5, 2.5), ("1_500 / s", 1500)])
def test_how_it_is_written(written: object, rate: float) -> None:
    assert parse({"capacity": written}).capacity == rate


@pytest.mark.parametrize("written", ["4000", "4000/m", "0/s", 0, -1, True, float("inf"), []])
def test_what_is_no_rate(written: object) -> None:
    with pytest.raises(ConfigError, match='expected a rate above 0, such as "4000/s"'):
        parse({"capacity": written})
