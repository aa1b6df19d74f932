"""What a failed attempt proves about the service, and whether the scenario retries it.

The scenario's rules apply where the workflow document has none.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from loadcheck.measure import Outcome
from loadcheck.scenario.model import Retry
from loadcheck.workflow.exchange import NEVER_SENT, Exchange, Failure, retry_after_s

_KINDS = {
    Failure.CONNECT: "connection",
    Failure.LOST: "connection",
    Failure.UNREADABLE: "connection",
    Failure.LOCAL: "connection",
    Failure.TIMEOUT: "timeout",
}


class Backoff:
    """Decides how long to wait before the next attempt, or that there is none.

    The wait doubles with each attempt up to a cap, less a random part of up to a half, so that
    copies refused together do not come back together. ``Retry-After`` overrides it (RFC 9110
    section 10.2.3), up to five minutes.

    Args:
        retry: What is retried, how often and after which waits.
        seed: Random seed of the waits.

    Attributes:
        closed: Set when the run ends: from then on nothing is retried.
    """

    __slots__ = ("_on", "_random", "_retry", "closed")

    def __init__(self, retry: Retry, seed: int) -> None:
        self._retry = retry
        self._on = frozenset(retry.on)
        self._random: Callable[[], float] = random.Random(seed).random  # noqa: S311  # no secret
        self.closed = False

    def __call__(self, exchange: Exchange, attempt: int, /) -> float | None:
        """Return the seconds to wait before attempt ``attempt + 1``; None to give up."""
        if self.closed or attempt >= self._retry.attempts or not self._retryable(exchange):
            return None
        after = retry_after_s(exchange)
        if after is not None:
            return after
        wait_s: float = min(self._retry.backoff_s * 2 ** (attempt - 1), self._retry.max_backoff_s)
        return wait_s * (1 - self._random() / 2)

    def _retryable(self, exchange: Exchange) -> bool:
        if exchange.failure is not None:
            return _KINDS.get(exchange.failure) in self._on
        status = str(exchange.status)
        return status in self._on or f"{status[0]}xx" in self._on


_CLIENT_ERRORS = range(400, 500)
_REQUEST_TIMEOUT = 408
_SERVICE_UNAVAILABLE = 503


def attempt_outcome(exchange: Exchange) -> Outcome:
    """Return what one judged attempt proves.

    A request certainly had no effect if it was never written, was refused with a 4xx, or was
    answered with a 503, by which a service says that it did not accept it (RFC 9110 section
    15.6.4). A 408 says that the server gave up waiting, not that it had received nothing. Any other
    failure may have taken effect: a timeout, a lost connection, 500, 502, 504, an unreadable
    response, or a 200 that does not meet the criteria. If the transport sent a request twice, the
    first sending may have taken effect, whatever the response to the second.
    """
    if exchange.success:
        return Outcome.ACKNOWLEDGED
    if exchange.repeated:
        return Outcome.INDETERMINATE
    if exchange.failure in NEVER_SENT:
        return Outcome.REJECTED
    if exchange.failure is not None:
        return Outcome.INDETERMINATE
    status = exchange.status
    if status == _SERVICE_UNAVAILABLE or (status in _CLIENT_ERRORS and status != _REQUEST_TIMEOUT):
        return Outcome.REJECTED
    return Outcome.INDETERMINATE


def merge(before: Outcome | None, attempt: Outcome) -> Outcome:
    """Return what several attempts under one insert id prove together.

    Acknowledged if any was; else indeterminate if any was; else rejected.
    """
    if before is None or attempt is Outcome.ACKNOWLEDGED:
        return attempt
    if before is Outcome.REJECTED:
        return attempt
    return before
