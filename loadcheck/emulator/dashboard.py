"""What all query endpoints share: credentials, faults, limits, and the envelope of errors.

What queries may cost, and how many may be under way [D] Dashboard REST API.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qsl

from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.faults import Injector
from loadcheck.emulator.message import TOO_MANY, Answer, QueryError, Request, error_answer
from loadcheck.emulator.protocol import Clock

_MINUTES_5_MS = 5 * 60_000
_HOUR_MS = 3_600_000


class RateWindow:
    """What was spent within a sliding window."""

    __slots__ = ("_limit", "_spent", "_total", "_window_ms")

    def __init__(self, limit: int | None, window_ms: int) -> None:
        self._limit = limit
        self._window_ms = window_ms
        self._spent: deque[tuple[int, int]] = deque()
        self._total = 0

    def allows(self, cost: int, now_ms: int) -> bool:
        """Return whether so much more may be spent now."""
        while self._spent and self._spent[0][0] <= now_ms - self._window_ms:
            self._total -= self._spent.popleft()[1]
        return self._limit is None or self._total + cost <= self._limit

    def spend(self, cost: int, now_ms: int) -> None:
        """Spend it."""
        if self._limit is not None:
            self._spent.append((now_ms, cost))
            self._total += cost

    @property
    def total(self) -> int:
        """What was spent in the window, as of the last look at it."""
        return self._total


class ConcurrencyLimit:
    """How many requests are under way."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken = 0

    @contextmanager
    def taken(self, cost: int) -> Iterator[None]:
        """Take a slot for the length of a block.

        Raises:
            QueryError: None is free.
        """
        if self._limit is not None and self._taken >= self._limit:
            # the wording that clients see [U-obs]
            raise QueryError(
                f"Too Many Requests: Exceeded concurrent limit with query of cost {cost}", TOO_MANY
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Budget:
    """What queries cost together. Answers from the cache cost as much as others [U]."""

    def __init__(self, per_5_minutes: int | None, per_hour: int | None, clock: Clock) -> None:
        self._windows = (RateWindow(per_5_minutes, _MINUTES_5_MS), RateWindow(per_hour, _HOUR_MS))
        self._clock = clock

    def spend(self, cost: int) -> None:
        """Pay for a query.

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
        """What was spent in five minutes and in an hour."""
        return self._windows[0].total, self._windows[1].total


Parameters = Mapping[str, str]
Endpoint = Callable[..., Awaitable["Answer"]]
_NOBODY = (None,)


class Dashboard:
    """Guards the query endpoints.

    Args:
        config: Whose credentials count.
        clock: Tells the faults the time.
        injector: The faults.
        before: Brings the store up to date before it is asked.

    Attributes:
        requests: Queries that came.
        refusals: Those refused, by status.
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
        self.refusals: dict[str, int] = {}

    def guarded(self, endpoint: Endpoint, slots: ConcurrencyLimit, cost: int = 1) -> Endpoint:
        """Return a handler that lets only authorized requests through to an endpoint.

        Args:
            endpoint: Takes the request and the parameters of its path.
            slots: How many may be under way, shared with other endpoints.
            cost: What is named where none is free.
        """

        async def handler(request: Request, *values: str) -> Answer:
            self.requests += 1
            if not authorized(request, self._credentials):
                # 401 in descriptions by others, 403 in one connector [U]
                answer = error_answer(401, "Invalid API key or secret key")
            else:
                try:
                    with slots.taken(cost):
                        answer = await self._faulty(endpoint, request, values)
                except QueryError as error:
                    answer = error_answer(error.status, str(error))
            if answer.status >= 400:  # noqa: PLR2004
                status = str(answer.status)
                self.refusals[status] = self.refusals.get(status, 0) + 1
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
