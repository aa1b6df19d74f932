"""``[faults]``: which kinds of faults there are, and how each selects what it hits.

Typed reading of a mapping that collects every problem instead of stopping at the first.

A delay: a duration, or a table that describes a distribution.
"""

from __future__ import annotations

import difflib
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from loadcheck.emulator.config.model import DelayDistribution, Fault, Selection, Side, milliseconds

_SHOWN = 60
"""Characters of a value in a message."""
_RATE = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*/\s*s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """One thing that is wrong with a configuration.

    Attributes:
        path: Dotted key of the value, relative to the configuration.
        message: What is wrong.
        remedy: What was expected, or the nearest valid name.
    """

    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.path, self.message) if part) + f"; {self.remedy}"


class ConfigError(Exception):
    """The configuration cannot be used; every problem found is in :attr:`problems`."""

    def __init__(self, problems: Collection[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Reader:
    """One table of the configuration, and where in the whole it stands."""

    def __init__(
        self, table: Mapping[str, Any], path: str = "", problems: list[ConfigProblem] | None = None
    ) -> None:
        self.table = table
        self.path = path
        self.problems: list[ConfigProblem] = [] if problems is None else problems

    def at(self, key: str) -> str:
        """Return the dotted path of ``key`` in this table."""
        return f"{self.path}.{key}" if self.path else key

    def problem(self, key: str, message: str, remedy: str) -> None:
        """Note that the value at ``key`` cannot be used."""
        self.problems.append(ConfigProblem(path=self.at(key), message=message, remedy=remedy))

    def misfit(self, key: str, value: object, expected: str) -> None:
        """Note that the value at ``key`` is not what was expected."""
        text = repr(value)
        shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
        self.problem(key, f"found {shown}", expected)

    def only(self, known: Collection[str]) -> None:
        """Note every key that is not known."""
        for key in self.table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                names = ", ".join(sorted(known))
                remedy = f'did you mean "{near[0]}"?' if near else f"expected one of {names}"
                self.problem(key, "unknown key", remedy)

    def sub(self, key: str) -> Reader | None:
        """Return the table at ``key``, or None if there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.misfit(key, value, "expected a table")
            return None
        return Reader(value, self.at(key), self.problems)

    def subs(self, key: str) -> list[Reader]:
        """Return the tables of the list at ``key``."""
        value = self.table.get(key, [])
        if not isinstance(value, list | tuple) or not all(isinstance(e, Mapping) for e in value):
            self.misfit(key, value, "expected a list of tables")
            return []
        return [
            Reader(entry, f"{self.at(key)}.{index}", self.problems)
            for index, entry in enumerate(value)
        ]

    def text(self, key: str, default: str) -> str:
        """Return a string that is not empty."""
        value = self.table.get(key, default)
        if isinstance(value, str) and value:
            return value
        self.misfit(key, value, "expected text")
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.table.get(key, [])
        if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        self.misfit(key, value, "expected a list of texts")
        return ()

    def choice(self, key: str, valid: Collection[str], default: str) -> str:
        """Return one of the valid words."""
        value = self.table.get(key, default)
        if isinstance(value, str) and value in valid:
            return value
        near = difflib.get_close_matches(str(value), valid, n=1)
        expected = "expected " + " or ".join(f'"{word}"' for word in valid)
        self.misfit(key, value, f'did you mean "{near[0]}"?' if near else expected)
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self.table.get(key, default)
        if isinstance(value, bool):
            return value
        self.misfit(key, value, "expected true or false")
        return default

    def integer(self, key: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
        """Return a whole number within bounds."""
        value = self.table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        bounds = f"from {least} to {most}" if most < 2**53 else f"of at least {least}"
        self.misfit(key, value, f"expected a whole number {bounds}")
        return default

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        """Return a number within bounds."""
        value = self.table.get(key, default)
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and least <= value <= most
        ):
            return float(value)
        self.misfit(key, value, f"expected a number from {least:g} to {most:g}")
        return default

    def share(self, key: str) -> float | None:
        """Return a probability from 0 to 1, or None if there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        self.misfit(key, value, "expected a share from 0 to 1, such as 0.01")
        return None

    def rate(self, key: str) -> float | None:
        """Return a number per second above 0 ("4000/s", or 4000), or None if there is none."""
        value = self.table.get(key)
        if value is None:
            return None
        number = value
        if isinstance(value, str) and (match := _RATE.fullmatch(value.strip())):
            number = float(match[1].replace("_", ""))
        if isinstance(number, int | float) and number is not True and 0 < number < float("inf"):
            return float(number)
        self.misfit(key, value, 'expected a rate above 0, such as "4000/s"')
        return None

    def duration_ms(self, key: str, default: float) -> float:
        """Return a duration in milliseconds."""
        if key not in self.table:
            return default
        found = milliseconds(self.table[key])
        if found is None:
            expected = 'expected a duration such as "500ms" or "2s", or a number of seconds'
            self.misfit(key, self.table[key], expected)
            return default
        return found


def read_delay(top: Reader, key: str, default: DelayDistribution) -> DelayDistribution:
    """Read a delay: ``"2s"``, ``{ min, max }`` (uniform) or ``{ median, p99 }`` (heavy-tailed)."""
    if key not in top.table:
        return default
    if not isinstance(top.table[key], Mapping):
        return DelayDistribution("fixed", top.duration_ms(key, default.first_ms))
    table = top.sub(key)
    if table is None or not table.table.keys() & {"min", "max", "median", "p99"}:
        top.problem(key, "an empty table", "expected { min, max } or { median, p99 }")
        return default
    if "median" in table.table:
        table.only({"median", "p99"})
        median, p99 = table.duration_ms("median", 1.0), table.duration_ms("p99", 1.0)
        if not 0 < median <= p99:
            top.problem(key, "p99 is below the median, or the median is 0", "expected more")
            return default
        return DelayDistribution("lognormal", median, p99)
    table.only({"min", "max"})
    low, high = table.duration_ms("min", 0.0), table.duration_ms("max", 0.0)
    if high < low:
        top.problem(key, "max is below min", "expected max of at least min")
    return DelayDistribution("uniform", low, high)


Subject = Literal["users", "events", "requests", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to misbehave.

    Attributes:
        does: What it does, for the status page.
        subject: What its selection counts; "time" means that only a window makes sense.
        on: What it hits unless configured otherwise; None: not to be chosen.
        status: The HTTP status unless configured otherwise; 0: none.
        delay_ms: The delay unless configured otherwise; None: none.
        number: The number it takes, unless configured otherwise; None: none.
        number_key: What that number is called.
        parted: Whether it can be about a share of the users alone, by a hash of the id.
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
    """Faults that together are what a service is known to do.

    Attributes:
        does: What that is, and what a run says of it.
        faults: As ``faults`` writes them.
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


def read_faults(top: Reader, seed: int) -> tuple[Fault, ...]:
    """Read ``preset``, and ``faults``: a table of kinds, each with one table or a list of them."""
    preset = "" if "preset" not in top.table else top.choice("preset", tuple(PRESETS), "")
    known = tuple(
        _fault(Reader(entry, f"preset.{name}", top.problems), name, seed, -1)
        for name, entry in (PRESETS[preset].faults.items() if preset else ())
    )
    table = top.sub("faults")
    if table is None:
        return known
    table.only(KINDS)
    return known + tuple(
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
    known = {"seed"} | (WINDOW if kind.subject == "time" else SELECTION)
    known |= {"on"} if kind.on else set()
    known |= {"status"} if kind.status else set()
    known |= {"delay"} if kind.delay_ms is not None else set()
    known |= {kind.number_key} if kind.number is not None else set()
    known |= {"partition"} if kind.parted else set()
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
        partition=table.share("partition") if kind.parted else None,
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
