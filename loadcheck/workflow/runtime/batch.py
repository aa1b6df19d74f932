"""Several copies in one request, whose array of events holds the events of all of them.

Only the entries of the array may differ between copies; the rest of the request is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loadcheck.documents.document import MISSING
from loadcheck.workflow.exchange import Exchange, Request, Wait, retry_after_s
from loadcheck.workflow.expressions import Evaluate, Frame, Slot, UnsendableError
from loadcheck.workflow.runtime import (
    CompiledStep,
    CompiledWorkflow,
    Flow,
    RetryPolicy,
)
from loadcheck.workflow.runtime.interpreter import judge

MAX_RESENDS: Final = 50
"""How often a batch is sent again, each time without the copies that were refused."""

_TAKEN: Final = range(200, 300)
_REFUSED: Final = range(400, 500)
_FOR_NOW: Final = frozenset({408, 429})
"""Statuses that refuse the whole request temporarily, whatever they name (RFC 9110, RFC 6585)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledBatch:
    """A compiled request of several copies.

    Attributes:
        machine: The workflow that it belongs to.
        step: The step.
        render: Makes the request, given a frame for each copy.
        each: Number of events of one copy.
        uses: What the shared part of the request depends on.
        refused: Return the indexes of events that an answer refuses.
        statuses: Returns the status of each event; None if answers have none.
    """

    machine: CompiledWorkflow
    step: CompiledStep
    render: Callable[[Sequence[Frame]], Request]
    each: int
    uses: frozenset[str]
    refused: tuple[Evaluate, ...] = ()
    statuses: Evaluate | None = None


Refuse = Callable[[Sequence[int]], None]
"""Receives the indexes, in the original batch, of copies whose events the service refused."""


def run_batch(
    batch: CompiledBatch, frames: list[Frame], retry: RetryPolicy, refuse: Refuse
) -> Flow[bool]:
    """Send the events of some copies until they are accepted or retrying is pointless.

    A service that refuses the request because of single events names them. Their copies are given
    up, and the others, refused along with them, are sent again.

    Args:
        batch: The request.
        frames: A frame for each copy.
        retry: Decides when an attempt failed and the document does not say what to do.
        refuse: Receives the copies that are given up.

    Returns:
        Whether the copies that were not given up were accepted.
    """
    step = batch.step
    left = list(range(len(frames)))
    for _ in range(MAX_RESENDS + 1):
        head = frames[left[0]]
        head[Slot.EVENTS] = len(left) * batch.each
        try:
            request = batch.render([frames[place] for place in left])
        except UnsendableError as error:
            batch.machine.unsendable[f"{step.step_id}: {error}"] += 1
            return False
        success, exchange, named = yield from _attempts(batch, request, head, retry, len(left))
        if named:
            refuse([left[place] for place in sorted(named)])
            left = [copy for place, copy in enumerate(left) if place not in named]
        if success or not left or not named or exchange.status not in _REFUSED:
            return success
    return False


def _attempts(
    batch: CompiledBatch, request: Request, frame: Frame, retry: RetryPolicy, copies: int
) -> Flow[tuple[bool, Exchange, set[int]]]:
    """Send one request, retrying while worthwhile; return the result and the rejected copies."""
    step = batch.step
    used: dict[int, int] = {}
    attempt = 1
    while True:
        exchange = yield request
        frame[Slot.EXCHANGE] = exchange
        success = judge(step, frame, exchange)
        each = _statuses(batch, frame, exchange, copies)
        if each is not None:
            # an answer with a status for each event is final for all of them
            refused = {at // batch.each for at, status in enumerate(each) if status in _REFUSED}
            others = [status for at, status in enumerate(each) if at // batch.each not in refused]
            exchange.success = bool(others) and all(status in _TAKEN for status in others)
            if exchange.success:
                exchange.reason = ""
            return exchange.success, exchange, refused
        named = _named(batch, frame, exchange, copies)
        if success or named:
            return success, exchange, named
        wait = _wait_s(step, frame, exchange, retry, attempt, used)
        if wait is None:
            return False, exchange, named
        yield Wait(wait)
        attempt += 1


def _named(batch: CompiledBatch, frame: Frame, exchange: Exchange, copies: int) -> set[int]:
    """Return the copies, by index in the request, that an answer refuses permanently."""
    if exchange.failure is not None or exchange.status in _FOR_NOW:
        return set()
    found = {
        index // batch.each for evaluate in batch.refused for index in _indexes(evaluate(frame))
    }
    return found if all(0 <= place < copies for place in found) else set()


def _statuses(
    batch: CompiledBatch, frame: Frame, exchange: Exchange, copies: int
) -> list[int] | None:
    """Return the status of each event; None if the answer does not have one for each."""
    if batch.statuses is None or exchange.failure is not None or exchange.status not in _TAKEN:
        return None
    if exchange.repeated:
        return None  # an event refused now may have been accepted on the first sending
    found = batch.statuses(frame)
    each = found if isinstance(found, list) else [found]
    whole = all(isinstance(status, int) and not isinstance(status, bool) for status in each)
    return each if whole and len(each) == copies * batch.each else None


def _indexes(value: Any) -> Iterator[int]:
    if isinstance(value, bool) or value is MISSING:
        return
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _indexes(member)


def _wait_s(
    step: CompiledStep,
    frame: Frame,
    exchange: Exchange,
    retry: RetryPolicy,
    attempt: int,
    used: dict[int, int],
) -> float | None:
    """Return the seconds to wait before the next attempt; None: give up."""
    for index, action in enumerate(step.on_failure):
        if not all(criterion.holds(frame) for criterion in action.criteria):
            continue
        if action.kind != "retry" or used.get(index, 0) >= action.retry_limit:
            return None
        used[index] = used.get(index, 0) + 1
        asked = retry_after_s(exchange)
        return action.retry_after_s if asked is None else asked
    return retry(exchange, attempt)
