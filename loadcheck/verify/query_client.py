"""Sends queries to the observer step one at a time, within the service's query budget.

The budget is enforced on our side. Counts by bucket are validated before they are believed.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from anyio import sleep

from loadcheck.workflow.exchange import MALFORMED, Exchange, Request, Wait
from loadcheck.workflow.identity import read_label, size
from loadcheck.workflow.runtime import Flow, T
from loadcheck.workflow.runtime.plan import Query

Ints = npt.NDArray[np.int64]

_TOO_MANY = 2**63
_DECIMAL = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketCounts:
    """The valid counts of one grouped query.

    Attributes:
        name: The partition.
        counts: What the service counts in each bucket.
    """

    name: str
    counts: Ints

    @property
    def total(self) -> int:
        """The sum over all buckets."""
        return int(self.counts.sum())


def read_tally(
    name: str, answer: Mapping[str, Any], *, limit: int, expected: Ints | None = None
) -> BucketCounts | str:
    """Return the counts of an answer, or why it is not evidence.

    A service keeps the largest groups and drops the rest, and the smallest are those from which
    most is missing. So there must be fewer rows than the limit, each with a label that was sent;
    the caller checks that they add up to the ungrouped count.

    Args:
        name: The partition.
        answer: ``labels``, one per row: a text, or an array whose last item is the text; and
            ``values``, one number per row.
        limit: The most rows that the service returns.
        expected: How many copies were sent in each bucket; None: any bucket may have some.
    """
    rows, numbers = _rows(answer.get("labels")), _rows(answer.get("values"))
    if len(rows) != len(numbers):
        return f"{len(rows):,} labels and {len(numbers):,} values came back"
    if len(rows) >= limit:
        return f"{len(rows):,} rows came back, as many as the service returns: some may be missing"
    counts = [0] * size(name)  # not an array: a sum of absurd counts must not wrap around
    for label, value in zip(rows, numbers, strict=True):
        text = label[-1] if isinstance(label, list) and label else label
        bucket = read_label(name, text) if isinstance(text, str) else None
        count = as_count(value)
        if count is None:
            return f"the row {text!r} holds no count"
        unsent = bucket is None or (expected is not None and not expected[bucket])
        if count and unsent:
            return f"a row {text!r} came back, which was never sent"
        if bucket is not None:
            counts[bucket] += count
    if sum(counts) >= _TOO_MANY:
        return "its rows add up to more than can be counted"
    return BucketCounts(name=name, counts=np.array(counts, dtype=np.int64))


def as_count(value: Any) -> int | None:
    """Return a JSON value as a count; None if it is not a whole number from zero to 2^63 - 1.

    Counts come as integers, as floats without a fraction, and as decimal strings: many parsers
    read JSON numbers as doubles, so services that count beyond 2^53 write strings.
    """
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            return None
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value < _TOO_MANY or value != int(value):  # NaN is not within
        return None
    return int(value)


def _rows(value: Any) -> Sequence[Any]:
    """Return the rows of a value: none for null, one for a single value."""
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


class QueryBudget:
    """Limits the cost of queries in a sliding window, so that the service need not refuse any.

    Others may draw on the same budget, so it may refuse some anyway.

    Args:
        cost: The most that all queries of a window may cost.
        window_s: The length of the window.
        clock: Monotonic nanoseconds.
    """

    def __init__(
        self, cost: int, window_s: float, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._limit = cost
        self._window_ns = int(window_s * 1e9)
        self._clock = clock
        self._spent: deque[tuple[int, int]] = deque()
        self._total = 0

    async def acquire(self, cost: int) -> None:
        """Wait until a cost may be spent, and spend it."""
        while True:
            wait_s = self.wait_s(cost)
            if wait_s <= 0:
                break
            await sleep(wait_s)
        self._spent.append((self._clock(), cost))
        self._total += cost

    def wait_s(self, cost: int) -> float:
        """Return how many seconds to wait before a cost may be spent; 0 if it may be now.

        A query that costs more than a whole window allows waits for an empty one.
        """
        now = self._clock()
        while self._spent and self._spent[0][0] <= now - self._window_ns:
            self._total -= self._spent.popleft()[1]
        excess = self._total + cost - max(self._limit, cost)
        for at, paid in self._spent:
            if excess <= 0:
                break
            excess -= paid
            if excess <= 0:
                return (at + self._window_ns - now) / 1e9
        return 0.0

    @property
    def most(self) -> int:
        """What all queries of a window may cost together."""
        return self._limit

    def share_s(self, cost: int, share: float) -> float:
        """Return the seconds between queries of a cost that may use this share of the budget."""
        return self._window_ns / 1e9 * cost / max(share * self._limit, 1)

    def pace_s(self, cost: int, *, span_s: float, reserve: int) -> float:
        """Return the shortest even pause between queries that keeps within the budget.

        Args:
            cost: What each of them costs.
            span_s: How long they go on; infinity if that is not known.
            reserve: The cost kept back for other queries, capped at half of the budget.
        """
        left = self._limit - min(reserve, self._limit // 2)
        return min(span_s, self._window_ns / 1e9) * cost / max(left, 1)


Send = Callable[[Request], Awaitable[Exchange]]

_NS_PER_MS = 1_000_000
_OLDEST_MS = 1e12
"""A reported age beyond this, three decades, is not believed."""
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """The result of one query.

    Attributes:
        asked_ns: Monotonic instant before the query was sent.
        answered_ns: Monotonic instant at which the answer was complete.
        as_of_ns: The answer shows the state at or after this instant: when the query was sent, or
            earlier if it came from a cache.
        values: The values of the query's expressions.
        error: Why it is not evidence; "" if it is.
        refused: Whether the service failed or declined to answer, so that queries slow down; an
            answer without a count is neither.
        absent: The count that an answer without the value means; None: no count.
    """

    asked_ns: int
    answered_ns: int
    as_of_ns: int
    values: dict[str, Any]
    error: str = ""
    refused: bool = False
    absent: int | None = None

    def count(self, name: str) -> tuple[int | None, str]:
        """Return a count and "", or None and the reason why there is none."""
        if self.error:
            return None, self.error
        value = self.values.get(name)
        count = self.absent if value is None else as_count(value)
        if count is None:
            found = "nothing" if value is None else repr(value)[:60]
            return None, f"the answer holds no number of {name} where verify says: {found}"
        return count, ""


def _unheard(_exchange: Exchange) -> None:
    """Keep nothing of an exchange."""


async def drive(flow: Flow[T], send: Send, judged: Callable[[Exchange], None] = _unheard) -> T:
    """Run a flow to its end; return its result.

    Args:
        flow: Yields what to send, and how long to wait.
        send: Sends one request.
        judged: Called with each exchange once its step has judged it.
    """
    exchange: Exchange | None = None
    while True:
        try:
            effect = flow.send(exchange)  # type: ignore[arg-type]  # None starts it
        except StopIteration as stop:
            if exchange is not None:
                judged(exchange)
            result: T = stop.value
            return result
        if exchange is not None:
            judged(exchange)
        if isinstance(effect, Wait):
            exchange = None
            await sleep(effect.seconds)
        else:
            exchange = await send(effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryChannel:
    """How queries reach the service.

    Attributes:
        send: Sends one request; never raises because of the network.
        sent: Called with each exchange, for the step's histograms.
        budget: The service's query budget, which others may share; None if it has none.
    """

    send: Send
    sent: Callable[[Exchange], None] = _unheard
    budget: QueryBudget | None = None


class QueryClient:
    """Sends queries and counts what they cost.

    Args:
        channel: How they reach the service.
        absent: The count that an answer without the value means; None: it is not evidence.
        approximate: The error that counts are declared to have, as a share: an answer from a
            sample is evidence then. None: they are exact.
        clock: Monotonic nanoseconds.

    Attributes:
        queries: Queries sent.
        cost: Their total cost.
    """

    def __init__(
        self,
        channel: QueryChannel,
        *,
        absent: int | None = None,
        approximate: float | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._absent = absent
        self.approximate = approximate
        self._channel = channel
        self.clock = clock
        self.queries = 0
        self.cost = 0

    async def ask(self, query: Query, cost: int) -> QueryResult:
        """Send a query once, as soon as the budget allows it."""
        if self._channel.budget is not None:
            await self._channel.budget.acquire(cost)
        self.queries += 1
        self.cost += cost
        asked_ns = self.clock()
        answer = await drive(query.run(self.queries), self._channel.send, self._channel.sent)
        answered_ns = self.clock()
        error, status = "", answer.exchange.status
        if not answer.success:
            error = answer.exchange.reason or f"status {status}"
        elif answer.exchange.parsed is MALFORMED and answer.exchange.body.strip():
            # verify.absent is for answers without the value, not for unreadable ones
            error = f"the answer ({len(answer.exchange.body):,} bytes) is not JSON"
        age_ms, objection = assess_evidence(answer.values, estimates=self.approximate is not None)
        return QueryResult(
            asked_ns=asked_ns,
            answered_ns=answered_ns,
            as_of_ns=asked_ns - int(age_ms * _NS_PER_MS),
            values=answer.values,
            error=error or objection,
            refused=not answer.success
            and (status in (0, _TOO_MANY_REQUESTS) or status >= _SERVER_ERROR),
            absent=self._absent,
        )


def assess_evidence(values: dict[str, Any], *, estimates: bool = False) -> tuple[float, str]:
    """Return an answer's age in ms, and why by its own account it is not evidence; "" if it is.

    Args:
        values: May hold ``pruned``, ``sample_rate``, ``cached`` and ``age_ms``; a service that
            does not give them is taken at its word.
        estimates: Whether an estimate from a sample is evidence.
    """
    rate = _number(values.get("sample_rate"))
    if rate is not None and rate < 1 and not estimates:
        return 0.0, f"the answer is an estimate from a sample of {100 * rate:g} % of the events"
    if values.get("pruned") is True:
        return 0.0, "the answer leaves groups out"
    if values.get("cached") is not True:
        return 0.0, ""
    age_ms = _number(values.get("age_ms"))
    if age_ms is not None and 0 <= age_ms <= _OLDEST_MS:
        return age_ms, ""
    return 0.0, "the answer came from the service's cache, and does not say how old it is"


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else None
