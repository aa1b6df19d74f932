"""The scenario's answer to a failed attempt, where the workflow document has none."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from loadcheck.workflow.exchange import Exchange, Failure
from loadcheck.workflow.waiting import retry_after_s

_KINDS = {
    Failure.CONNECT: "connection",
    Failure.LOST: "connection",
    Failure.UNREADABLE: "connection",
    Failure.TIMEOUT: "timeout",
}


class Backoff:
    """Says how long to wait before the next attempt, or that there is none.

    The wait doubles from attempt to attempt up to a cap, less up to a half at random, so that
    copies refused together do not come back together. ``Retry-After`` overrules it (RFC 9110
    section 10.2.3), up to five minutes.

    Attributes:
        closed: Set when the run ends: from then on nothing is tried again.
    """

    __slots__ = ("_attempts", "_backoff_s", "_max_backoff_s", "_on", "_random", "closed")

    def __init__(
        self,
        *,
        attempts: int,
        backoff_s: float,
        max_backoff_s: float,
        on: Sequence[str],
        seed: int,
    ) -> None:
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._max_backoff_s = max_backoff_s
        self._on = frozenset(on)
        self._random: Callable[[], float] = random.Random(seed).random  # noqa: S311  # no secret
        self.closed = False

    def __call__(self, exchange: Exchange, attempt: int, /) -> float | None:
        """Return the seconds to wait before attempt ``attempt + 1``; None to give up."""
        if self.closed or attempt >= self._attempts or not self._retryable(exchange):
            return None
        after = retry_after_s(exchange)
        if after is not None:
            return after
        wait_s: float = min(self._backoff_s * 2 ** (attempt - 1), self._max_backoff_s)
        return wait_s * (1 - self._random() / 2)

    def _retryable(self, exchange: Exchange) -> bool:
        if exchange.failure is not None:
            return _KINDS[exchange.failure] in self._on
        status = str(exchange.status)
        return status in self._on or f"{status[0]}xx" in self._on
