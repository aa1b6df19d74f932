"""Limits of the endpoints: upload rates, a planted capacity, query costs; also credentials.

Uploads are limited per user, per device and per project; queries by their cost and by how many are
in flight [D] Dashboard REST API.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from loadcheck.emulator.check import throttled
from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.config.model import UploadLimits
from loadcheck.emulator.faults import Injector
from loadcheck.emulator.message import TOO_MANY, Answer, QueryError, Request, error_answer
from loadcheck.emulator.protocol import Clock

_MINUTES_5_MS = 5 * 60_000
_HOUR_MS = 3_600_000


class RateWindow:
    """The cost spent within a sliding window."""

    __slots__ = ("_limit", "_spent", "_total", "_window_ms")

    def __init__(self, limit: int | None, window_ms: int) -> None:
        self._limit = limit
        self._window_ms = window_ms
        self._spent: deque[tuple[int, int]] = deque()
        self._total = 0

    def allows(self, cost: int, now_ms: int) -> bool:
        """Return whether ``cost`` more may be spent now."""
        while self._spent and self._spent[0][0] <= now_ms - self._window_ms:
            self._total -= self._spent.popleft()[1]
        return self._limit is None or self._total + cost <= self._limit

    def spend(self, cost: int, now_ms: int) -> None:
        """Record ``cost`` as spent; without a limit do nothing."""
        if self._limit is not None:
            self._spent.append((now_ms, cost))
            self._total += cost

    @property
    def total(self) -> int:
        """The cost spent in the window, which only :meth:`allows` moves forward."""
        return self._total


class ConcurrencyLimit:
    """A limit on the number of requests in flight."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a slot for the length of a block.

        Raises:
            QueryError: No slot is free.
        """
        if self._limit is not None and self._taken >= self._limit:
            # the wording that clients see [U-obs]
            raise QueryError(
                "Too Many Requests: Exceeded concurrent limit with query of cost 1", TOO_MANY
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Budget:
    """The query budget of a project. Cached answers cost as much as others [U]."""

    def __init__(self, per_5_minutes: int | None, per_hour: int | None, clock: Clock) -> None:
        self._windows = (RateWindow(per_5_minutes, _MINUTES_5_MS), RateWindow(per_hour, _HOUR_MS))
        self._clock = clock

    def spend(self, cost: int) -> None:
        """Spend the cost of a query.

        Raises:
            QueryError: It costs more than is left; nothing is spent then.
        """
        now_ms = self._clock.now_ms()
        if not all(window.allows(cost, now_ms) for window in self._windows):
            raise QueryError(
                f"Too Many Requests: Exceeded rate limit with query of cost {cost}", TOO_MANY
            )
        for window in self._windows:
            window.spend(cost, now_ms)

    @property
    def spent(self) -> tuple[int, int]:
        """The costs spent in the last five minutes and in the last hour."""
        return self._windows[0].total, self._windows[1].total


Parameters = Mapping[str, str]
Endpoint = Callable[..., Awaitable["Answer"]]
_NOBODY = (None,)


class Dashboard:
    """Guards the query endpoints.

    Args:
        config: Has the credentials that are accepted.
        clock: The emulated clock, for the faults.
        injector: The faults.
        before: Called before each authorized query, to bring the store up to date.

    Attributes:
        requests: Number of queries received.
        refusals: Number of queries refused, by status.
    """

    def __init__(
        self,
        config: EmulatorConfig,
        clock: Clock,
        injector: Injector,
        before: Callable[[], None],
    ) -> None:
        self._credentials = f"{config.api_key}:{config.secret_key}".encode()
        self._clock = clock
        self._injector = injector
        self._before = before
        self.requests = 0
        self.refusals: Counter[str] = Counter()

    def guarded(self, endpoint: Endpoint, slots: ConcurrencyLimit) -> Endpoint:
        """Return a handler that lets only authorized requests through to an endpoint.

        Args:
            endpoint: Takes the request and the parameters of its path.
            slots: The limit on requests in flight, shared with other endpoints.
        """

        async def handler(request: Request, *values: str) -> Answer:
            self.requests += 1
            if not authorized(request, self._credentials):
                # 401 in descriptions by others, 403 in one connector [U]
                answer = error_answer(401, "Invalid API key or secret key")
            else:
                try:
                    with slots.taken():
                        answer = await self._faulty(endpoint, request, values)
                except QueryError as error:
                    answer = error_answer(error.status, str(error))
            if answer.status >= 400:  # noqa: PLR2004
                self.refusals[str(answer.status)] += 1
            return answer

        return handler

    async def _faulty(
        self, endpoint: Endpoint, request: Request, values: tuple[str, ...]
    ) -> Answer:
        self._before()
        injector = self._injector
        if not injector.active:
            return await endpoint(request, *values)
        now_ms = self._clock.now_ms()
        answer = injector.before("queries", now_ms, _NOBODY)
        if answer is None:
            answer = await endpoint(request, *values)
            answer = injector.after("queries", now_ms, _NOBODY, answer)
        answer = injector.hold("queries", now_ms, _NOBODY, answer)
        # waited for here and not by the connection: a slow query holds its slot
        delay_ms, answer.delay_ms = answer.delay_ms, 0.0
        await asyncio.sleep(delay_ms / 1000)
        return answer


def authorized(request: Request, credentials: bytes) -> bool:
    """Return whether a request has these credentials, ``api_key:secret_key``."""
    scheme, _, coded = request.header(b"authorization").partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        given = base64.b64decode(coded.strip(), validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(given, credentials)


def parameters(request: Request) -> Parameters:
    """Return the parameters of the query; the last one of a name counts.

    Raises:
        QueryError: They are not UTF-8.
    """
    try:
        text = request.query.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except ValueError:
        raise QueryError("the query is not valid UTF-8") from None


class RollingCounts:
    """Counts per key over the last ``steps`` steps, the current one included."""

    __slots__ = ("_recent", "_step_ms", "_steps", "_totals")

    def __init__(self, step_ms: int, steps: int) -> None:
        self._step_ms = step_ms
        self._steps = steps
        self._recent: deque[tuple[int, dict[str, int]]] = deque()
        self._totals: dict[str, int] = {}

    def advance(self, now_ms: int) -> None:
        """Forget what is older than the window."""
        oldest = now_ms // self._step_ms - self._steps
        while self._recent and self._recent[0][0] <= oldest:
            for key, count in self._recent.popleft()[1].items():
                left = self._totals[key] - count
                if left:
                    self._totals[key] = left
                else:
                    del self._totals[key]

    def of(self, key: str) -> int:
        """Return the count of a key."""
        return self._totals.get(key, 0)

    def add(self, key: str, count: int, now_ms: int) -> None:
        """Add ``count`` to a key in the current step."""
        step = now_ms // self._step_ms
        if not self._recent or self._recent[-1][0] != step:
            self._recent.append((step, {}))
        current = self._recent[-1][1]
        current[key] = current.get(key, 0) + count
        self._totals[key] = self._totals.get(key, 0) + count


_MINUTE_MS = 60_000
_IDS = (("user_id", "users"), ("device_id", "devices"))


class Throttle:
    """Lets uploads pass until a limit is reached.

    A request that holds one throttled id is refused as a whole [D] Batch API. Refused events are
    not counted [U], so a sender above the rate gets through at the rate.
    """

    def __init__(self, limits: UploadLimits, *, batch: bool) -> None:
        self._limits = limits
        self._batch = batch
        self._second = 0
        self._events = 0
        self._requests = 0
        self._rates = {name: RollingCounts(1000, limits.window_s) for name, _ in _IDS}
        self._days = {name: RollingCounts(_HOUR_MS, 24) for name, _ in _IDS}
        self._spammy: set[tuple[str, str]] = set()

    def refuse(self, events: list[dict[str, Any]], now_ms: int) -> Answer | None:
        """Return the refusal of an upload beyond a limit; count any other and return None."""
        limits = self._limits
        second = now_ms // 1000
        if second != self._second:
            self._second, self._events, self._requests = second, 0, 0
        if _exceeds(self._events + len(events), limits.project_events_per_s) or _exceeds(
            self._requests + 1, limits.project_requests_per_s
        ):
            # the answer at the project's ceiling is [U]: no user is named
            return throttled(self._threshold, batch=self._batch)
        if limits.user_events_per_s is not None or limits.user_events_per_day is not None:
            answer = self._refuse_ids(events, now_ms)
            if answer is not None:
                return answer
        self._events += len(events)
        self._requests += 1
        return None

    @property
    def _threshold(self) -> int:
        return self._limits.user_events_per_s or 0

    def _refuse_ids(self, events: list[dict[str, Any]], now_ms: int) -> Answer | None:
        counts = {
            name: Counter(event[name] for event in events if event.get(name) is not None)
            for name, _ in _IDS
        }
        fast: dict[str, dict[str, int]] = {}
        over: dict[str, dict[str, int]] = {}
        for name, plural in _IDS:
            fast[plural] = self._too_fast(name, counts[name], now_ms)
            over[plural] = self._over_quota(name, counts[name], now_ms)
        if any(fast.values()) or any(over.values()):
            listed = [
                index
                for index, event in enumerate(events)
                if any(
                    event.get(name) in fast[plural] or event.get(name) in over[plural]
                    for name, plural in _IDS
                )
            ]
            return throttled(
                self._threshold, batch=self._batch, fast=fast, over=over, events=listed
            )
        for name, _ in _IDS:
            for identifier, count in counts[name].items():
                self._rates[name].add(identifier, count, now_ms)
                if not self._batch or (name, identifier) in self._spammy:
                    self._days[name].add(identifier, count, now_ms)
        return None

    def _too_fast(self, name: str, counts: Counter[str], now_ms: int) -> dict[str, int]:
        rate, window_s = self._limits.user_events_per_s, self._limits.window_s
        if rate is None:
            return {}
        recent = self._rates[name]
        recent.advance(now_ms)
        found = {}
        for identifier, count in counts.items():
            total = recent.of(identifier) + count
            if total > rate * window_s:
                found[identifier] = -(-total // window_s)
                # [D] Batch API: the day's events are counted once an id was judged spammy
                self._spammy.add((name, identifier))
        return found

    def _over_quota(self, name: str, counts: Counter[str], now_ms: int) -> dict[str, int]:
        quota = self._limits.user_events_per_day
        if quota is None:
            return {}
        day = self._days[name]
        day.advance(now_ms)
        return {
            identifier: day.of(identifier) + count
            for identifier, count in counts.items()
            if (not self._batch or (name, identifier) in self._spammy)
            and day.of(identifier) + count > quota
        }


class PropertyUpdates:
    """Drops user properties that are updated too often; the events stay [D] HTTP V2 API.

    Amplitude may drop them; the emulator always does, to expose clients that rely on them.
    """

    def __init__(self, per_hour: int) -> None:
        self._most = per_hour
        self._recent = RollingCounts(_MINUTE_MS, 60)

    def drop_excess(self, events: list[dict[str, Any]], now_ms: int) -> None:
        """Remove user properties beyond the limit from events that passed all checks."""
        self._recent.advance(now_ms)
        for event in events:
            if event.get("user_properties"):
                user = event.get("user_id") or event["device_id"]
                if self._recent.of(user) >= self._most:
                    del event["user_properties"]
                else:
                    self._recent.add(user, 1, now_ms)


def _exceeds(count: int, limit: int | None) -> bool:
    return limit is not None and count > limit


_TIMER_MS = 0.5
"""Timers have a resolution of a millisecond: waits that would round to 0 are skipped."""


class CapacityQueue:
    """One server with an unbounded queue and a constant service time.

    Below its rate no request waits; above it the queue grows by the difference every second.

    Args:
        rate: Uploads served per second, over all endpoints that share it.
        clock: Returns monotonic nanoseconds of real time, in which answers are delayed.
    """

    def __init__(self, rate: float, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._each_ns = 1e9 / rate
        self._clock = clock
        self._free_ns = 0.0

    def wait_ms(self) -> float:
        """Queue one upload; return the time until it has been served."""
        now_ns = self._clock()
        self._free_ns = max(float(now_ns), self._free_ns) + self._each_ns
        return (self._free_ns - now_ns) / 1e6

    def before(self, application: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        """Wrap an application so that its answers are delayed until they have been served."""

        def answer(request: Request) -> Answer:
            answered = application(request)
            wait_ms = self.wait_ms()
            if wait_ms >= _TIMER_MS:
                answered.delay_ms += wait_ms
            return answered

        return answer
