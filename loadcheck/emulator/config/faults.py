"""``[faults]``: which ways to misbehave there are, and how each is told whom to hit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from loadcheck.emulator.config.model import DelayDistribution, Fault, Selection, Side
from loadcheck.emulator.config.reader import Reader, read_delay

Subject = Literal["users", "events", "requests", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to misbehave.

    Attributes:
        does: What it does, for the status page.
        subject: What its selection counts; "time" means that only a window makes sense.
        on: What it hits unless told otherwise; None: not to be chosen.
        status: The HTTP status unless told otherwise; 0: none.
        delay_ms: The delay unless told otherwise; None: none.
        number: The number it takes, unless told otherwise; None: none.
        number_key: What that number is called.
    """

    does: str
    subject: Subject
    on: Side | None = None
    status: int = 0
    delay_ms: float | None = None
    number: int | None = None
    number_key: str = ""


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
        does="stores an event that queries see only later", subject="events", delay_ms=30_000.0
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

_SELECTION = {"rate", "count", "among", "first", "after", "lasting", "every"}
_WINDOW = {"after", "lasting", "every"}


def read_faults(top: Reader, seed: int) -> tuple[Fault, ...]:
    """Read ``faults``: a table of kinds, each with one table or a list of them."""
    table = top.sub("faults")
    if table is None:
        return ()
    table.only(KINDS)
    return tuple(
        _fault(entry, name, seed, number)
        for name in table.table
        if name in KINDS
        for number, entry in enumerate(_entries(table, name))
    )


def _entries(table: Reader, name: str) -> Iterator[Reader]:
    value: Any = table.table[name]
    if isinstance(value, Mapping):
        yield Reader(value, table.at(name), table.problems)
    elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        for number, entry in enumerate(value):
            yield Reader(entry, f"{table.at(name)}.{number}", table.problems)
    else:
        example = "{ rate = 0.01 }" if KINDS[name].subject != "time" else '{ lasting = "2s" }'
        table.problem(name, f"found {value!r}", f"expected a table such as {example}")


def _fault(table: Reader, name: str, seed: int, number: int) -> Fault:
    kind = KINDS[name]
    known = {"seed"} | (_WINDOW if kind.subject == "time" else _SELECTION)
    known |= {"on"} if kind.on else set()
    known |= {"status"} if kind.status else set()
    known |= {"delay"} if kind.delay_ms is not None else set()
    known |= {kind.number_key} if kind.number is not None else set()
    table.only(known)
    on: Side = "uploads"
    if kind.on:
        on = cast("Side", table.choice("on", ("uploads", "queries", "all"), kind.on))
    delay = None
    if kind.delay_ms is not None:
        delay = read_delay(table, "delay", DelayDistribution("fixed", kind.delay_ms))
    return Fault(
        kind=name,
        selection=_selection(table),
        # a number of its own, so that two faults do not hit the same by having the same seed
        seed=table.integer("seed", seed + zlib.crc32(f"{name}.{number}".encode())),
        on=on,
        status=table.integer("status", kind.status, least=400, most=599) if kind.status else 0,
        delay=delay,
        number=table.integer(kind.number_key, kind.number) if kind.number is not None else 0,
    )


def _selection(table: Reader) -> Selection:
    given = table.table
    count = table.integer("count", 0) if "count" in given else None
    among = table.integer("among", 0) if "among" in given else None
    for key in ("among", "first"):
        if key in given and count is None:
            table.problem(key, "without count", "expected e.g. { count = 7, among = 20_000 }")
    if "count" in given and "rate" in given:
        table.problem("rate", "both rate and count", "expected one of them")
    if among is not None and "first" in given:
        table.problem("first", "both among and first", "expected one of them")
    if count is not None and among is not None and count > among:
        table.problem("count", f"{count} is more than among = {among}", "expected no more")
    if "every" in given and "lasting" not in given:
        table.problem("every", "without lasting", 'expected e.g. { lasting = "1s", every = "5s" }')
    return Selection(
        rate=table.share("rate"),
        count=count,
        among=among,
        first=table.integer("first", 0),
        after_ms=table.duration_ms("after", 0.0),
        lasting_ms=table.duration_ms("lasting", 0.0) if "lasting" in given else None,
        every_ms=table.duration_ms("every", 0.0) or None,
    )
