"""Applies the faults to requests, events and queries on their way through the emulator.

What a fault hits is a pure function of the order of its subjects, the time and a seed; what it did
hit, and when, is recorded for tests to read.
"""

from __future__ import annotations

import random
import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from loadcheck.emulator.check import throttled
from loadcheck.emulator.config import Fault, Selection
from loadcheck.emulator.config.model import Side
from loadcheck.emulator.message import TOO_MANY, Answer, Delivery, error_answer, json_answer
from loadcheck.emulator.store import StringIndex


class Selector:
    """Decides for one subject after another whether it is hit.

    Only subjects inside the time window are counted: ``{ after = "2s", count = 5 }`` hits the
    first five after two seconds.
    """

    __slots__ = ("_chance", "_numbers", "_seen", "_selection")

    def __init__(self, selection: Selection, seed: int) -> None:
        self._selection = selection
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._seen = 0
        self._numbers: range | frozenset[int] | None = None
        if selection.count is not None:
            if selection.among is None:
                self._numbers = range(selection.first, selection.first + selection.count)
            else:
                chosen = self._chance.sample(range(selection.among), selection.count)
                self._numbers = frozenset(chosen)

    def picks(self, elapsed_ms: float) -> bool:
        """Return whether the next subject is hit, ``elapsed_ms`` after the windows' origin."""
        if self.window_start_ms(elapsed_ms) is None:
            return False
        number = self._seen
        self._seen += 1
        if self._numbers is not None:
            return number in self._numbers
        rate = self._selection.rate
        return rate is None or self._chance.random() < rate

    def window_start_ms(self, elapsed_ms: float) -> float | None:
        """Return when the window around ``elapsed_ms`` began, or None if none is open."""
        selection = self._selection
        since = elapsed_ms - selection.after_ms
        if since < 0:
            return None
        if selection.lasting_ms is None:
            return selection.after_ms
        if selection.every_ms:
            since %= selection.every_ms
        return elapsed_ms - since if since < selection.lasting_ms else None

    def window_left_ms(self, elapsed_ms: float) -> float | None:
        """Return how long the open window still lasts: None if none is open, or it never ends."""
        start = self.window_start_ms(elapsed_ms)
        lasting = self._selection.lasting_ms
        return None if start is None or lasting is None else start + lasting - elapsed_ms


class TruthRecord:
    """The hits of one fault, one entry for each user id of the request or event it hit."""

    __slots__ = ("_at_ms", "_users", "hits")

    def __init__(self) -> None:
        self.hits = 0
        self._at_ms = array("q")
        self._users: list[str | None] = []

    def add(self, at_ms: int, users: Iterable[str | None]) -> None:
        """Record one hit; None stands for a query or an unreadable upload, without a user."""
        self.hits += 1
        for user in users:
            self._at_ms.append(at_ms)
            self._users.append(user)

    def as_json(self) -> dict[str, Any]:
        """Return it as the control endpoint shows it: columns of equal length."""
        return {"hits": self.hits, "user_ids": self._users, "at_ms": list(self._at_ms)}


_FOR_EVER_MS = 24 * 3_600_000.0
_BEFORE = ("refuse", "throttle", "error_before_commit", "reset_before_commit")
_AFTER = (
    "miscount",
    "error_after_commit",
    "late_ack",
    "truncated_json",
    "malformed_json",
    "reset_during_answer",
    "reset_after_commit",
)
_HOLDING = ("slow", "stall")
_ERRORS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload too large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class ActiveFault:
    """One fault in operation: its choices so far and the record of its hits."""

    __slots__ = ("chance", "condemned", "fault", "kind", "known", "origin_ms", "selector", "truth")

    def __init__(self, fault: Fault, origin_ms: int | None) -> None:
        self.fault = fault
        self.kind = fault.kind
        self.selector = Selector(fault.selection, fault.seed)
        self.chance = random.Random(fault.seed)  # noqa: S311 - repeatable, not secret
        self.truth = TruthRecord()
        self.origin_ms = origin_ms
        self.known = StringIndex()
        self.condemned: set[int] = set()

    def elapsed_ms(self, now_ms: int) -> int:
        """Return the time since the origin of the windows; -1 if they have not begun."""
        return -1 if self.origin_ms is None else now_ms - self.origin_ms

    def picks(self, now_ms: int) -> bool:
        """Return whether the next subject is hit."""
        return self.selector.picks(self.elapsed_ms(now_ms))

    def holds(self, user: str) -> bool:
        """Return whether a user is in the partition that is hit."""
        share = self.fault.partition
        if share is None:
            return True
        return zlib.crc32(f"{self.fault.seed}/{user}".encode("utf-8", "replace")) < share * 2**32

    def delay_ms(self) -> float:
        """Draw the delay."""
        delay = self.fault.delay
        return 0.0 if delay is None else delay.sample_ms(self.chance)

    def picks_upload(self, upload: str, now_ms: int) -> bool:
        """Return whether a user's events in an upload are hit: all, also in retries, or none."""
        selection = self.fault.selection
        if selection.rate is None and selection.count is None:
            return self.picks(now_ms)
        number = self.known.find(upload)
        if number < 0:
            if self.selector.window_start_ms(self.elapsed_ms(now_ms)) is None:
                return False
            number = self.known.add(upload)
            if self.picks(now_ms):
                self.condemned.add(number)
        return number in self.condemned


class Injector:
    """All faults in operation.

    Attributes:
        active: Whether there are any; the hot path checks nothing else.
        faults: The faults, in the order given.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = [ActiveFault(fault, None) for fault in faults]
        self.active = bool(self.faults)

    def replace(self, faults: Iterable[Fault], now_ms: int) -> None:
        """Replace the faults and forget the hits of the former ones; the windows begin now."""
        self.faults = [ActiveFault(fault, now_ms) for fault in faults]
        self.active = bool(self.faults)

    def started(self, now_ms: int) -> None:
        """Begin the windows with the first upload."""
        for fault in self.faults:
            if fault.origin_ms is None:
                fault.origin_ms = now_ms

    def of(self, *kinds: str, side: Side | None = None) -> Iterator[ActiveFault]:
        """Return the faults of these kinds that hit this side."""
        return (
            fault
            for fault in self.faults
            if fault.kind in kinds and (side is None or fault.fault.on in (side, "all"))
        )

    # ---- requests

    def before(self, side: Side, now_ms: int, users: Iterable[str | None]) -> Answer | None:
        """Return the answer of a fault that stops a request before it is processed, or None."""
        for fault in self.of(*_BEFORE, side=side):
            if fault.picks(now_ms):
                fault.truth.add(now_ms, users)
                answer = _refusal(fault, side)
                if fault.kind == "reset_before_commit":
                    answer.delivery = Delivery.NONE
                return answer
        return None

    def after(self, side: Side, now_ms: int, users: Iterable[str | None], answer: Answer) -> Answer:
        """Return the answer to a processed request, as spoilt by faults."""
        users = list(users)
        for fault in self.of(*_AFTER, side=side):
            if answer.status == 200 and fault.picks(now_ms):  # noqa: PLR2004
                fault.truth.add(now_ms, users)
                answer = _spoilt(fault, answer, side)
        return answer

    def hold(self, side: Side, now_ms: int, users: Iterable[str | None], answer: Answer) -> Answer:
        """Return the answer, whatever its status, with the delays of faults added."""
        for fault in self.of(*_HOLDING, side=side):
            elapsed = fault.elapsed_ms(now_ms)
            if fault.picks(now_ms):
                fault.truth.add(now_ms, users)
                if fault.kind == "slow":
                    answer.delay_ms += fault.delay_ms()
                else:
                    left = fault.selector.window_left_ms(elapsed)
                    answer.delay_ms += _FOR_EVER_MS if left is None else left
        return answer

    # ---- events

    def drops(self, user: str, now_ms: int, upload: str | None = None) -> bool:
        """Return whether an accepted event is silently dropped.

        Args:
            user: The user id of the event, or else its device id.
            now_ms: The emulated time.
            upload: Identifies the upload, the same in a retry.
        """
        dropped = False
        for fault in self.of("drop"):
            if fault.picks_upload(upload or user, now_ms):
                fault.truth.add(now_ms, (user,))
                dropped = True
        return dropped

    def copies(self, user: str, now_ms: int) -> int:
        """Return how many extra copies of an event are stored."""
        return sum(
            self._hit(fault, user, now_ms).fault.number
            for fault in self.of("duplicate")
            if fault.picks(now_ms)
        )

    def lateness_ms(self, user: str, now_ms: int) -> float:
        """Return the extra delay until queries see an event."""
        return sum(
            self._hit(fault, user, now_ms).delay_ms()
            for fault in self.of("late_visibility")
            if fault.holds(user) and fault.picks(now_ms)
        )

    def _hit(self, fault: ActiveFault, user: str, now_ms: int) -> ActiveFault:
        fault.truth.add(now_ms, (user,))
        return fault

    # ---- queries

    def seen_until_ms(self, now_ms: int) -> int:
        """Return the time by which events must have become visible for a query to see them."""
        until = now_ms
        for fault in self.of("frozen_counts"):
            start = fault.selector.window_start_ms(fault.elapsed_ms(now_ms))
            if start is not None and fault.origin_ms is not None:
                fault.truth.add(now_ms, (None,))
                until = min(until, fault.origin_ms + int(start))
        return until

    def serves_stale(self, now_ms: int) -> bool:
        """Return whether a query is answered from the cache, however old the result is."""
        for fault in self.of("stale_cache"):
            if fault.selector.window_start_ms(fault.elapsed_ms(now_ms)) is not None:
                fault.truth.add(now_ms, (None,))
                return True
        return False


def _refusal(fault: ActiveFault, side: Side) -> Answer:
    status = TOO_MANY if fault.kind == "throttle" else fault.fault.status
    return _error(status, side)


def _error(status: int, side: Side) -> Answer:
    error = _ERRORS.get(status, "Error")
    if side == "queries":
        details = "Too Many Requests: Exceeded rate limit" if status == TOO_MANY else error
        return error_answer(status, details)
    if status == TOO_MANY:
        return throttled(0, batch=False)
    return json_answer(status, {"code": status, "error": error})


def _spoilt(fault: ActiveFault, answer: Answer, side: Side) -> Answer:
    if fault.kind == "error_after_commit":
        return _error(fault.fault.status, side)
    if fault.kind == "late_ack":
        answer.delay_ms += fault.delay_ms()
    elif fault.kind == "truncated_json":
        answer.body = answer.body[: len(answer.body) // 2]
    elif fault.kind == "malformed_json":
        answer.body = b"<html><body>OK</body></html>"
    elif fault.kind == "reset_during_answer":
        answer.delivery = Delivery.HALF
    elif fault.kind == "reset_after_commit":
        answer.delivery = Delivery.NONE
    elif fault.kind == "miscount":
        content: dict[str, Any] = orjson.loads(answer.body)
        answer.body = orjson.dumps(content | {"events_ingested": fault.fault.number})
    return answer
