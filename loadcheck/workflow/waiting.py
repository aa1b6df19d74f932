"""How long an answer asks to wait."""

from __future__ import annotations

import datetime as dt
import email.utils
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from loadcheck.workflow.exchange import Exchange

_MOST_S: Final = 300.0
"""Nobody waits longer because a service says so: a day's wait would be a run that hangs."""


def retry_after_s(exchange: Exchange) -> float | None:
    """Return how long the answer asks to wait, up to five minutes; None if it does not.

    RFC 9110 section 10.2.3.
    """
    value = exchange.header("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), _MOST_S)
    at = _date(value)
    if at is None:
        return None
    now = _date(exchange.header("date") or "")
    return min(max(0.0, at - (time.time() if now is None else now)), _MOST_S)


def _date(value: str) -> float | None:
    try:
        at = email.utils.parsedate_to_datetime(value)
        if at.tzinfo is None:
            at = at.replace(tzinfo=dt.UTC)  # RFC 9110 section 5.6.7: asctime's form is UTC
        return at.timestamp()
    except (ValueError, OverflowError):
        return None
