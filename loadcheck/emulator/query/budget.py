"""What queries may cost, and how many may be under way [D] Dashboard REST API."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loadcheck.emulator.query.error import TOO_MANY, QueryError

if TYPE_CHECKING:
    from loadcheck.emulator.clock import Clock

_MINUTES_5_MS = 5 * 60_000
_HOUR_MS = 3_600_000


class Spending:
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


class Slots:
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
        self._windows = (Spending(per_5_minutes, _MINUTES_5_MS), Spending(per_hour, _HOUR_MS))
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
