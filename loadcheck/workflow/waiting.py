"""How long an answer asks to wait."""

from __future__ import annotations

import datetime as dt
import email.utils
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadcheck.workflow.exchange import Exchange


def retry_after_s(exchange: Exchange) -> float | None:
    """Return how long the answer asks to wait (RFC 9110 section 10.2.3), None if it does not."""
    value = exchange.header("retry-after")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    at = _date(value)
    if at is None:
        return None
    now = _date(exchange.header("date") or "")
    return max(0.0, at - (time.time() if now is None else now))


def _date(value: str) -> float | None:
    try:
        at = email.utils.parsedate_to_datetime(value)
        if at.tzinfo is None:
            at = at.replace(tzinfo=dt.UTC)  # RFC 9110 section 5.6.7: asctime's form is UTC
        return at.timestamp()
    except (ValueError, OverflowError):
        return None
