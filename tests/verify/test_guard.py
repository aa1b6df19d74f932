"""What ``[guard]`` forbids, before a load and during it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from loadcheck import scenario as scenarios
from loadcheck.errors import ScenarioError
from loadcheck.scenario.model import Guard
from loadcheck.verify.guard import GuardMonitor, PlannedLoad, clock_text, guard_problems, is_within

SMOKE = Path(__file__).resolve().parents[2] / "scenarios" / "smoke.toml"
NIGHT = (22 * 60, 6 * 60)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-01-02T{text}").astimezone()


@pytest.mark.parametrize(
    ("text", "inside"),
    [("21:59:59", False), ("22:00", True), ("00:00", True), ("05:59:59", True), ("06:00", False)],
)
def test_a_window_may_reach_over_midnight(text: str, *, inside: bool) -> None:
    assert is_within(NIGHT, at(text)) is inside
    assert clock_text(NIGHT) == "22:00-06:00"


@given(some.integers(0, 1439), some.integers(0, 1439), some.integers(0, 1439))
def test_a_window_and_the_other_hours_are_the_day(begin: int, end: int, minute: int) -> None:
    now = at("00:00") + timedelta(minutes=minute)
    assert is_within((begin, end), now) != is_within((end, begin), now) or begin == end


def record(attempts: int, succeeded: int, throttled: int = 0, **examples: str) -> Any:
    return SimpleNamespace(
        ingest=SimpleNamespace(
            attempts=attempts,
            succeeded=succeeded,
            throttled=SimpleNamespace(count=throttled),
            examples=examples,
        )
    )


def test_the_end_of_the_window_ends_the_load() -> None:
    times = iter(["05:59:59", "06:00:00"])
    watch = GuardMonitor(Guard(window=NIGHT), Path(), lambda: at(next(times)))
    assert watch.check(record(0, 0), 1.0) is None
    stopped = watch.check(record(0, 0), 2.0)
    assert stopped is not None
    assert 'guard.window = "22:00-06:00" did not hold (it is 06:00)' in stopped.finding().summary


@pytest.mark.parametrize(
    ("guard", "rule"),
    [
        (Guard(max_error_rate=0.5, over_s=3), 'guard.max_error_rate = "50%"'),
        (Guard(max_throttled=0.2, over_s=3), 'guard.max_throttled = "20%"'),
    ],
)
def test_a_share_counts_over_its_time_only(guard: Guard, rule: str) -> None:
    watch = GuardMonitor(guard, Path())
    # an hour of nothing but success, then nothing but refusals with 429
    for second in range(1, 3600):
        assert watch.check(record(100 * second, 100 * second), float(second)) is None
    stopped = None
    for second in range(3600, 3610):
        failed = 100 * (second - 3599)
        stopped = watch.check(record(359_900 + failed, 359_900, failed), float(second))
        if stopped is not None:
            break
    assert stopped is not None
    assert stopped.to_json()["threshold"] == rule
    assert 3600 <= stopped.at_s <= 3603


def test_a_handful_of_attempts_is_no_share() -> None:
    watch = GuardMonitor(Guard(max_error_rate=0.1, over_s=1), Path())
    assert all(watch.check(record(9, 0), float(second)) is None for second in range(1, 5))


@pytest.mark.parametrize(("failed", "stops"), [(30, False), (31, True)])
def test_the_share_that_is_allowed_is_allowed(failed: int, *, stops: bool) -> None:
    watch = GuardMonitor(Guard(max_error_rate=0.3, over_s=1), Path())
    assert watch.check(record(0, 0), 0.0) is None
    assert bool(watch.check(record(100, 100 - failed), 1.0)) is stops


@pytest.mark.parametrize(
    ("body", "stops"),
    [
        ('{"code":429,"throttled_users":{"u1":31},"throttled_events":[0]}', True),
        ('{"code":429,"throttled_events":[ 3 ]}', True),
        ('{"code":429,"throttled_users":{},"throttled_devices":{},"throttled_events":[]}', False),
        ('{"code":429,"error":"too many"}', False),
    ],
)
def test_fields_that_name_the_throttled(body: str, *, stops: bool) -> None:
    watch = GuardMonitor(Guard(stop_on_throttled=True), Path())
    assert bool(watch.check(record(1, 0, 1, status=body), 1.0)) is stops


def load(*overrides: str) -> Any:
    return scenarios.load(SMOKE, overrides=overrides)


def problems(*overrides: str, now: str = "23:00", **found: Any) -> list[str]:
    hosts, search = found.pop("hosts", []), found.pop("search", False)
    planned = PlannedLoad(**{"users": 200, "events": 200, "peak_rate": 100.0, **found})
    found_ = guard_problems(load(*overrides), planned, hosts, search=search, now=lambda: at(now))
    return [str(each) for each in found_]


@pytest.mark.parametrize(
    ("guard", "found", "told"),
    [
        ("guard.max_users=199", {}, "allows 199 users, and this run has 200"),
        ("guard.max_events=199", {}, "allows 199 events, and this run has 200"),
        ("guard.max_rate=99", {}, "allows 99 copies a second, and this run has 100"),
        ("guard.max_users=5", {"users": None}, "not known beforehand"),
        ('guard.hosts=["*.b.example"]', {"hosts": ["a.example"]}, "does not have a.example"),
        ('guard.window="22:00-06:00"', {"now": "12:00"}, "it is 12:00 here, outside 22:00-06:00"),
        ('guard.stop_file="smoke.toml"', {}, "the file smoke.toml is there"),
        (f'guard.stop_file="{"x" * 300}"', {}, "cannot be looked for: file name too long"),
        ('guard.stop_file="a\\u0000b"', {}, "cannot be looked for: embedded null"),
        ('guard.stop_file="smoke.toml/STOP"', {}, "cannot be looked for: not a directory"),
    ],
)
def test_what_may_not_start(guard: str, found: dict[str, Any], told: str) -> None:
    (problem,) = problems(guard, **found)
    assert told in problem
    assert guard.partition("=")[0] in problem


@pytest.mark.parametrize(
    "guard",
    [
        "guard.max_users=200",
        "guard.max_events=200",
        "guard.max_rate=100",
        'guard.hosts=["A.example", "b.*"]',
        'guard.window="22:00-06:00"',
        'guard.stop_file="not-there"',
    ],
)
def test_what_may(guard: str) -> None:
    assert problems(guard, hosts=["a.example"]) == []


def test_hosts_have_no_case_and_are_not_held_where_redirects_lead() -> None:
    hosts = 'guard.hosts=["a.example"]'
    assert problems(hosts, hosts=["A.Example"]) == []
    (problem,) = problems(
        hosts,
        'target={ kind = "live", redirects = true, transport = "httpx" }',
        hosts=["a.example"],
    )
    assert "guard.hosts" in problem
    assert "set target.redirects = false" in problem


@pytest.mark.parametrize(
    "wrong",
    [
        'guard.window="22-6"',
        'guard.window="22:00-22:00"',
        'guard.window="24:00-06:00"',
        "guard.max_users=0",
        "guard.hosts=[]",
        'guard.max_error_rate="100%"',
        "guard.max_error_rate=0.5",
        'guard.over="5s"',
    ],
)
def test_a_guard_that_cannot_be(wrong: str) -> None:
    with pytest.raises(ScenarioError, match=wrong.partition("=")[0]):
        load(wrong)
