"""What an attempt proves about the service's side."""

from __future__ import annotations

from loadcheck.measure import Outcome
from loadcheck.workflow.exchange import Exchange, Failure

_CLIENT_ERRORS = range(400, 500)
_REQUEST_TIMEOUT = 408
_SERVICE_UNAVAILABLE = 503


def attempt_outcome(exchange: Exchange) -> Outcome:
    """Return what one judged attempt proves.

    Certainly without effect are a request that was never written, one refused with a 4xx, and a
    503, which the service documents as "not taken" (Amplitude HTTP V2 API, status codes). A 408
    says that the server gave up waiting, not that it had received nothing. Whatever else is not a
    success may have taken effect: a timeout, a lost connection, 500, 502, 504, an answer that
    cannot be read, or a 200 that does not say what the criteria ask. Of a request that the
    transport sent twice the first sending may have taken effect, whatever was said to the second.
    """
    if exchange.success:
        return Outcome.ACKNOWLEDGED
    if exchange.repeated:
        return Outcome.INDETERMINATE
    if exchange.failure is Failure.CONNECT:
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
