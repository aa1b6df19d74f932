"""``[faults]``: the kinds of faults, and the presets made up of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from loadcheck.emulator.config.model import Side

Subject = Literal["users", "events", "requests", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to misbehave.

    Attributes:
        does: What it does, for the status page.
        subject: What its selection counts; "time" means that only a window makes sense.
        on: What it hits unless configured otherwise; None: not configurable.
        status: The HTTP status unless configured otherwise; 0: none.
        delay_ms: The delay unless configured otherwise; None: none.
        number: The number it takes, unless configured otherwise; None: none.
        number_key: What that number is called.
        parted: Whether it can be limited to a share of the users, by a hash of the id.
    """

    does: str
    subject: Subject
    on: Side | None = None
    status: int = 0
    delay_ms: float | None = None
    number: int | None = None
    number_key: str = ""
    parted: bool = False


KINDS: Mapping[str, Kind] = {
    "drop": Kind(
        does="acknowledges every event of a user and throws them away; with nothing but a time "
        "window, the events of that time",
        subject="users",
    ),
    "duplicate": Kind(
        does="stores an event more than once", subject="events", number=1, number_key="copies"
    ),
    "miscount": Kind(
        does="claims a wrong events_ingested",
        subject="requests",
        number=0,
        number_key="events_ingested",
    ),
    "late_ack": Kind(
        does="stores the events and answers much later",
        subject="requests",
        delay_ms=60_000.0,
    ),
    "late_visibility": Kind(
        does="stores an event that queries see only later",
        subject="events",
        delay_ms=30_000.0,
        parted=True,
    ),
    "error_before_commit": Kind(
        does="answers with an error and stores nothing",
        subject="requests",
        on="uploads",
        status=503,
    ),
    "error_after_commit": Kind(
        does="stores the events and answers with an error", subject="requests", status=500
    ),
    "reset_before_commit": Kind(
        does="resets the connection and stores nothing", subject="requests", on="uploads"
    ),
    "reset_during_answer": Kind(
        does="stores the events and resets the connection half way through the answer",
        subject="requests",
        on="uploads",
    ),
    "reset_after_commit": Kind(
        does="stores the events and resets the connection without an answer", subject="requests"
    ),
    "throttle": Kind(does="answers 429", subject="requests", on="uploads"),
    "refuse": Kind(does="answers with a refusal", subject="requests", on="all", status=401),
    "slow": Kind(does="answers late", subject="requests", on="uploads", delay_ms=1000.0),
    "stall": Kind(does="answers nothing until the window ends", subject="time", on="all"),
    "truncated_json": Kind(
        does="cuts its answer off in the middle", subject="requests", on="uploads"
    ),
    "malformed_json": Kind(
        does="answers with text that is not JSON", subject="requests", on="uploads"
    ),
    "frozen_counts": Kind(
        does="queries see nothing that came after the window began", subject="time"
    ),
    "stale_cache": Kind(does="answers queries with the first result it gave", subject="time"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Faults that together imitate a known behaviour of services.

    Attributes:
        does: That behaviour, and its effect on a run.
        faults: As written under ``faults``.
    """

    does: str
    faults: Mapping[str, Mapping[str, Any]]


PRESETS: Mapping[str, Preset] = {
    "replica-lag": Preset(
        does="the replica that answers queries is up to 2 s behind for 2 of every 3 s: users are "
        "counted late, nobody is lost",
        faults={"frozen_counts": {"after": "500ms", "lasting": "2s", "every": "3s"}},
    ),
    "partition-late": Preset(
        does="an eighth of the users, by a hash of the id, is visible an hour later: whether they "
        "are lost is unknown until then",
        faults={"late_visibility": {"partition": 0.125, "delay": "1h"}},
    ),
    "compaction": Preset(
        does="every 2 s everything stands still for 900 ms, and queries are slow: latency "
        "thresholds break, nobody is lost",
        faults={
            "stall": {"after": "1s", "lasting": "900ms", "every": "2s"},
            "slow": {"on": "queries", "delay": {"min": "50ms", "max": "300ms"}},
        },
    ),
}

SELECTION = {"rate", "count", "among", "first", "after", "lasting", "every"}
WINDOW = {"after", "lasting", "every"}
