"""``[retry]`` and ``[timeouts]``: how long and how often one copy tries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadcheck.scenario import grammar
from loadcheck.scenario.model import Retry, Timeouts
from loadcheck.scenario.reader import found, given

if TYPE_CHECKING:
    from loadcheck.scenario.reader import Table

_RETRIED = re.compile(r"timeout|connection|[1-5](?:xx|[0-9][0-9])")


def read_retry(top: Table) -> Retry:
    """Read ``[retry]``."""
    table = top.table("retry", grammar.RETRY)
    if table is None:
        return Retry()
    backoff_s = table.duration("backoff", zero=True)
    max_backoff_s = table.duration("max_backoff", zero=True)
    if backoff_s is not None and max_backoff_s is not None and backoff_s > max_backoff_s:
        remedy = "the first wait is longer than the longest"
        table.report.contradiction(table["backoff"], table["max_backoff"], remedy)
    if backoff_s is not None and max_backoff_s is None:
        max_backoff_s = max(Retry().max_backoff_s, backoff_s)
    if max_backoff_s is not None and backoff_s is None:
        backoff_s = min(Retry().backoff_s, max_backoff_s)
    return Retry(
        **given(
            attempts=table.whole("attempts", least=1, most=grammar.MAX_ATTEMPTS),
            backoff_s=backoff_s,
            max_backoff_s=max_backoff_s,
            on=_retried(table),
        )
    )


def _retried(table: Table) -> tuple[str, ...] | None:
    entries = table.array("on", "strings")
    if entries is None:
        return None
    expected = 'expected "timeout", "connection", a status code ("429") or a class ("5xx")'
    for entry in entries:
        if not isinstance(entry.value, str) or not _RETRIED.fullmatch(entry.value):
            table.report.add(entry, f"found {found(entry)}", expected)
    return tuple(dict.fromkeys(str(entry.value) for entry in entries))


def read_timeouts(top: Table) -> Timeouts:
    """Read ``[timeouts]``."""
    table = top.table("timeouts", grammar.TIMEOUTS)
    if table is None:
        return Timeouts()
    request_s = table.duration("request")
    parts = {name: table.duration(name) for name in ("write", "read")}
    for name, seconds in parts.items():
        if seconds is not None and seconds > (request_s or Timeouts().request_s):
            remedy = "it could never be reached: the whole request has less time"
            if "request" in table:
                table.report.contradiction(table[name], table["request"], remedy)
            else:
                most = f"is longer than timeouts.request ({Timeouts().request_s:g}s)"
                table.report.add(table[name], most, remedy)
    return Timeouts(
        **given(
            connect_s=table.duration("connect"),
            request_s=request_s,
            write_s=parts["write"],
            read_s=parts["read"],
            drain_s=table.duration("drain", zero=True),
        )
    )
