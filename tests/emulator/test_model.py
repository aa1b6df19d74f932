"""The counts against a model of a few lines, under random events, batches, queries and time."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loadcheck.emulator.config import parse_faults
from tests.emulator.conftest import Project

DAY_MS = 86_400_000
USERS = ("user-a", "user-b", "user-c")
DEVICES = ("device-x", "device-y")
PEOPLE = [
    *({"user_id": user} for user in USERS),
    *({"device_id": device} for device in DEVICES),
    *({"user_id": user, "device_id": device} for user in USERS for device in DEVICES),
]


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    event: dict[str, Any] = dict(draw(st.sampled_from(PEOPLE)))
    event["event_type"] = draw(st.sampled_from(["one", "two"]))
    insert_id = draw(st.sampled_from([None, "i-1", "i-2", "i-3"]))
    if insert_id:
        event["insert_id"] = insert_id
    values = st.sampled_from([1, "1", "x", True])
    event["event_properties"] = draw(
        st.dictionaries(st.sampled_from(["p", "q"]), values, max_size=2)
    )
    return event


class Model:
    """Sets and dicts: what was seen when, what is stored, and whose device it is."""

    def __init__(self) -> None:
        self.seen: dict[Any, int] = {}
        self.stored: list[dict[str, Any]] = []
        self.owner: dict[Any, str] = {}

    def upload(self, event: dict[str, Any], now: int, visible: int) -> None:
        user, device = event.get("user_id"), event.get("device_id")
        key = (device or ("of", user), event["insert_id"]) if "insert_id" in event else object()
        if now - self.seen.get(key, now - 7 * DAY_MS) >= 7 * DAY_MS:
            self.seen[key] = now
            self.stored.append(event | {"at": now, "visible": visible})
            if user and device:
                self.owner.setdefault(device, user)

    def person(self, event: dict[str, Any]) -> Any:
        device = event.get("device_id")
        return event.get("user_id") or self.owner.get(device) or ("device", device)


def label(value: Any) -> str:
    return "true" if value is True else str(value)


class Comparison(RuleBasedStateMachine):
    """Both are told the same; whatever is asked, both answer the same."""

    def __init__(self) -> None:
        super().__init__()
        self.project = Project(visibility_delay="1h")
        self.model = Model()

    @rule(
        batch=st.lists(events(), min_size=1, max_size=6),
        path=st.sampled_from(["/2/httpapi", "/batch"]),
    )
    def upload(self, batch: list[dict[str, Any]], path: str) -> None:
        now = self.project.now_ms
        assert self.project.upload(*batch, path=path)["events_ingested"] == len(batch)
        for event in batch:
            self.model.upload(event, now, now + 3_600_000)

    @rule(hours=st.sampled_from([0.5, 1, 5, 24, 7 * 24 - 1, 7 * 24]))
    def wait(self, hours: float) -> None:
        self.project.move(hours=hours)

    @rule(lost=st.booleans())
    def plant(self, lost: bool) -> None:
        """Lose everything for a moment: as if it had not been sent."""
        if lost:
            faults = parse_faults({"drop": {"rate": 1.0}}, 0)
            self.project.emulator.injector.replace(faults, self.project.now_ms)
            self.project.user("user-a", "one", insert_id="i-1")
        self.project.emulator.injector.replace((), self.project.now_ms)

    @rule(
        event_type=st.sampled_from(["one", "two", "_all", "_active", "three"]),
        days=st.integers(0, 8),
        want=st.sampled_from([None, ("p", "is", "1"), ("p", "is not", "1"), ("q", "is", "(none)")]),
        interval=st.sampled_from([1, -3600000]),
    )
    def ask(
        self, event_type: str, days: int, want: tuple[str, str, str] | None, interval: int
    ) -> None:
        now = self.project.now_ms
        days = min(days, 6) if interval < 0 else days
        first = (now // DAY_MS - days) * DAY_MS
        found = [
            event
            for event in self.model.stored
            if event["visible"] <= now
            and event["at"] >= first
            and event_type in ("_all", "_active", event["event_type"])
            and (want is None or self.holds(event, *want))
        ]
        from_day = f"{self.day(first)}"
        filters = []
        if want is not None:
            key, op, value = want
            filters = [
                {
                    "subprop_type": "event",
                    "subprop_key": key,
                    "subprop_op": op,
                    "subprop_value": [value],
                }
            ]
        asked: dict[str, Any] = {"start": from_day, "i": interval, "filters": filters}
        people = {self.model.person(event) for event in found}
        assert self.project.count(event_type, **asked) == len(people)
        data = self.project.chart(event_type, m="totals", **asked)["data"]
        assert data["seriesCollapsed"][0][0]["value"] == sum(data["series"][0]) == len(found)
        daily = self.project.chart(event_type, **asked)["data"]["series"][0]
        length = DAY_MS if interval == 1 else 3_600_000
        steps = {(event["at"] // length, self.model.person(event)) for event in found}
        assert sum(daily) == len(steps)
        grouped: dict[str, set[Any]] = {}
        for event in found:
            value = label(event["event_properties"].get("p", "(none)"))
            grouped.setdefault(value, set()).add(self.model.person(event))
        by = [{"type": "event", "value": "p"}]
        assert self.project.groups(event_type, group_by=by, **asked) == {
            value: len(people) for value, people in grouped.items()
        }

    @staticmethod
    def holds(event: dict[str, Any], key: str, op: str, value: str) -> bool:
        return (label(event["event_properties"].get(key, "(none)")) == value) == (op == "is")

    @staticmethod
    def day(ms: int) -> str:
        return f"{dt.datetime.fromtimestamp(ms / 1000, dt.UTC):%Y%m%d}"

    @invariant()
    def nothing_is_lost_between(self) -> None:
        assert self.project.emulator.state()["events"] == len(self.model.stored)


Comparison.TestCase.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestComparison = Comparison.TestCase
