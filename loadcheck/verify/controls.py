"""Control users: those that are sent must become visible, those never sent must not.

A count that stalls below the number acknowledged may mean that users are lost, that the service has
stopped showing new ones, or that one part of it is late. *Fresh* users, sent after the last copy as
a run of their own, rule out the second: if they are counted, the service counts users sent later
than the missing ones. They need not be in the late part, though. *Paired* events rule that out: a
second event with its own deduplication key, under the very user id of a missing user. If the second
event is counted and the first is not, that user is in no late part. Second events of users that are
not missing check the check. All controls carry the mark of another run, so the run's own count does
not change. And the query for a run id that was never sent must count nobody.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import anyio
from pyroaring import BitMap

from loadcheck.errors import many
from loadcheck.verify import Advice, Finding, Verdict
from loadcheck.verify.evidence import CERTAINTY, least_behind
from loadcheck.verify.naming import UserNames
from loadcheck.verify.queries import ObserverQueries, QueryFactory
from loadcheck.verify.query_client import QueryClient, Send, drive
from loadcheck.workflow.exchange import Exchange, Request
from loadcheck.workflow.runtime.plan import Flow, Plan, RetryPolicy

FRESH = 3
"""The fewest fresh users."""
MOST_FRESH = 300
_AT_ONCE = 50
PAIRED = 20
"""The most missing users, and the most others, that are sent a second event."""
_RISKS = (0.0001, 1 - CERTAINTY)
"""Accepted probabilities that no fresh user is in a late part of as many users as are missing: the
first or, if that takes too many fresh users, the second."""
_CONTROL, _UNSENT, _MISSING, _PRESENT = "control", "unsent", "missing", "present"
FRESH_RUN = _CONTROL
"""Suffix of the run id of fresh users."""
PAIRED_RUNS = (_MISSING, _PRESENT)
"""Suffixes of the run ids of second events."""
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlResult:
    """What the controls showed. None means unknown: not sent, or not answered.

    Attributes:
        acknowledged: Fresh users that were acknowledged; None if none were sent.
        visible: Fresh users that are counted; None if no query was answered.
        unsent: Users that are counted for a run id that was never sent.
        paired: Second events of missing users that were acknowledged; None if none were sent.
        paired_visible: How many of those are counted.
        paired_copies: The copies whose users they are.
        still: How many of these users are missing at the end.
        checked: Second events of users not missing that were acknowledged; None if none were sent.
        checked_visible: How many of those are counted.
        share: Share of the acknowledged users that was missing when the controls were sent.
        unpaired: Why no missing user was sent a second event; "" if some were.
        excess: By how many the users counted of any kind of control exceed those sent, at most,
            after deducting the declared error of counts.
    """

    acknowledged: int | None = None
    visible: int | None = None
    unsent: int | None = None
    paired: int | None = None
    paired_visible: int | None = None
    paired_copies: tuple[int, ...] = ()
    still: int = 0
    checked: int | None = None
    checked_visible: int | None = None
    share: float = 0.0
    unpaired: str = ""
    excess: int = 0

    @property
    def none_visible(self) -> bool:
        """Whether control users were sent, and the service certainly shows none of them."""
        return self.acknowledged is not None and (not self.acknowledged or self.visible == 0)

    @property
    def filter_broken(self) -> bool:
        """Whether users are counted for a run id that was never sent."""
        return bool(self.unsent)

    @property
    def overtaken(self) -> bool | None:
        """Whether all controls are known to be counted; None if no fresh users were sent."""
        if self.acknowledged is None:
            return None
        fresh = bool(self.acknowledged) and (self.visible or 0) >= self.acknowledged
        pairs = not self.paired or (self.paired_visible or 0) >= self.paired
        return fresh and pairs

    @property
    def proven(self) -> int:
        """Missing users, at least, whose second event is counted: lost, whatever else is late."""
        return max(0, (self.paired_visible or 0) - ((self.paired or 0) - self.still))

    @property
    def alone(self) -> int | None:
        """Fresh users counted, if no missing user's second event was acknowledged; else None."""
        return None if self.paired or self.acknowledged is None else self.visible or 0

    @property
    def escaped(self) -> float:
        """The probability that no fresh user is in a late part of as many users as are missing."""
        return (1 - min(1.0, self.share)) ** (self.acknowledged or 0)

    def to_json(self) -> dict[str, Any]:
        """Return the result as the results file holds it."""
        found = asdict(self) | {"paired_copies": list(self.paired_copies)}
        del found["still"]  # worked out anew each time
        return found

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> ControlResult:
        """Return the result stored in a results file, so that it can be queried again."""
        names = ("acknowledged", "visible", "unsent", "paired", "paired_visible", "checked")
        numbers: dict[str, Any] = {name: stored.get(name) for name in (*names, "checked_visible")}
        return cls(
            **numbers,
            paired_copies=tuple(stored.get("paired_copies") or ()),
            share=stored.get("share") or 0.0,
            unpaired=stored.get("unpaired") or "",
            excess=stored.get("excess") or 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The copies whose users can be sent second events.

    Attributes:
        missing: Numbers of copies whose users are missing.
        present: Numbers of acknowledged copies whose users are counted.
        at_least: How many users are missing at least, named or not.
        unnamed: Why no missing user has a name; "" if one has.
    """

    missing: BitMap = field(default_factory=BitMap)
    present: BitMap = field(default_factory=BitMap)
    at_least: int = 0
    unnamed: str = ""


class Controls:
    """Sends control users and queries whether they are counted.

    Args:
        runs: Compiles the same workflow under other run ids.
        names: The user ids that the run's copies sent.
        asker: Sends the queries.
        send: Sends the control users.
        retry: Decides whether a failed request of a control user is repeated.

    Attributes:
        result: What is known by now.
        at_ns: Monotonic instant at which the last controls had been sent.
        sent: How many were sent, one event each.
    """

    def __init__(
        self,
        runs: QueryFactory,
        names: UserNames,
        asker: QueryClient,
        send: Send,
        retry: RetryPolicy,
    ) -> None:
        self._runs = runs
        self._names = names
        self._asker = asker
        self._send = send
        self._retry = retry
        self.result = ControlResult()
        self.at_ns = 0
        self.sent = 0
        self._sent_of: dict[str, int] = {}

    async def send(self, first: int, share: float) -> None:
        """Send fresh users: more of them if no missing user could be sent a second event.

        Args:
            first: Number of the first fresh user, which no copy of the run has: if user ids are
                made of the number alone, it would be one of the run's own users.
            share: Share of the acknowledged users that is missing.
        """
        plan, _ = self._runs.sister(_CONTROL)
        alone = not self.result.paired
        fresh = range(first, first + fresh_users(share, alone=alone))
        acknowledged = await self._all(plan, fresh, {})
        self._sent_of[_CONTROL] = len(fresh)
        self._note(acknowledged=len(acknowledged), share=share)

    async def pair(self, candidates: Candidates) -> None:
        """Send second events of users of the run."""
        missing = _sample(candidates.missing)
        if not missing:
            self._note(unpaired=candidates.unnamed or "no missing user can be named")
            return
        plan, _ = self._runs.sister(_MISSING, paired=True)
        swaps = self._swaps(plan, (*missing, *_sample(candidates.present)))
        if swaps is None:
            self._note(
                unpaired="a second event of the same user cannot be made: [verify] user does"
                " not give the place of its id"
            )
            return
        taken = await self._all(plan, missing, swaps)
        self._sent_of[_MISSING] = len(missing)
        plan, _ = self._runs.sister(_PRESENT, paired=True)
        checked = await self._all(plan, _sample(candidates.present), swaps)
        self._note(paired=len(taken), paired_copies=tuple(taken), checked=len(checked) or None)

    async def ask(self) -> None:
        """Query the controls that are not yet known to be counted."""
        fresh, pairs, checks = (self._due(name) for name in ("acknowledged", "paired", "checked"))
        if fresh:
            self._note(visible=await self._count(_CONTROL, self.result.visible))
        if pairs:
            self._note(paired_visible=await self._count(_MISSING, self.result.paired_visible))
        if checks:
            self._note(checked_visible=await self._count(_PRESENT, self.result.checked_visible))

    async def ask_unsent(self) -> None:
        """Query the users of a run id that was never sent; a failed query is sent once more."""
        for _ in range(2):
            if self.result.unsent is None:
                self._note(unsent=await self._count(_UNSENT, None))

    @property
    def complete(self) -> bool:
        """Whether all acknowledged controls are known to be counted."""
        return not any(self._due(name) for name in ("acknowledged", "paired", "checked"))

    def _due(self, sent: str) -> bool:
        """Return whether some controls of a kind are not yet known to be counted."""
        found = "visible" if sent == "acknowledged" else f"{sent}_visible"
        number = getattr(self.result, sent)
        return bool(number) and (getattr(self.result, found) or 0) < number

    def _note(self, **changed: Any) -> None:
        self.result = replace(self.result, **changed)

    async def _count(self, suffix: str, before: int | None) -> int | None:
        """Return how many users of a run are counted; ``before`` if the query gives no count."""
        _, questions = self._questions(suffix)
        reply = await self._asker.ask(questions.counts.uniques, questions.counts.cost)
        count, _ = reply.count("uniques")
        if count is None:
            return before
        # controls read from a results file were sent by another process, which made this comparison
        least = least_behind(count, self._asker.approximate or 0.0)
        excess = least - self._sent_of.get(suffix, count)
        if excess > self.result.excess:
            self._note(excess=excess)
        return count

    def _questions(self, suffix: str) -> tuple[Plan, ObserverQueries]:
        return self._runs.sister(suffix, paired=suffix in (_MISSING, _PRESENT))

    def _swaps(self, plan: Plan, numbers: Sequence[int]) -> dict[str, str] | None:
        """Return the plan's user ids → the run's, to replace them; None if that is impossible."""
        other = self._names.of_plan(plan)
        swaps = {}
        for number in numbers:
            made, wanted = other.of(number), self._names.of(number)
            if made != wanted:
                swaps[made] = wanted
        if swaps and not self._names.stands_in_body:
            return None
        return None if not self._names.known else swaps

    async def _all(self, plan: Plan, numbers: Sequence[int], swaps: dict[str, str]) -> list[int]:
        """Send some copies of a plan; return those that were acknowledged."""
        taken: list[int] = []
        self.sent += len(numbers)
        limit = anyio.CapacityLimiter(_AT_ONCE)

        async def one(number: int) -> None:
            flow = plan.copy(number, time.time_ns() // _NS_PER_MS, self._retry)
            async with limit:
                if await self._run(flow, swaps):
                    taken.append(number)

        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(one, number)
        self.at_ns = self._asker.clock()
        return sorted(taken)

    async def _run(self, flow: Flow[bool], swaps: dict[str, str]) -> bool:
        """Run one control user and return whether it was acknowledged."""
        heard: list[Exchange] = []
        await drive(flow, lambda request: self._send(_swapped(request, swaps)), heard.append)
        return any(each.success for each in heard if each.request.step == self._names.ingest)


def fresh_users(share: float, *, alone: bool = True) -> int:
    """Return how many fresh users to send.

    Args:
        share: Share of the acknowledged users that is missing.
        alone: Whether no missing user is sent a second event, which would show more.
    """
    if not 0 < share < 1:
        return FRESH
    for risk in _RISKS:
        needed = math.ceil(math.log(risk) / math.log1p(-share))
        if needed <= MOST_FRESH:
            return max(FRESH, needed)
        if not alone:
            break
    return FRESH


def _sample(numbers: BitMap) -> list[int]:
    """Return at most :data:`PAIRED` of the numbers, spread evenly."""
    count = min(PAIRED, len(numbers))
    return [numbers[at * len(numbers) // count] for at in range(count)]


def _swapped(request: Request, swaps: dict[str, str]) -> Request:
    """Return a request with the user ids in its JSON body replaced."""
    if not request.body or not swaps:
        return request

    def change(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: change(member) for key, member in value.items()}
        if isinstance(value, list):
            return [change(member) for member in value]
        return swaps.get(value, value) if isinstance(value, str) else value

    try:
        body = change(json.loads(request.body))
    except ValueError:
        return request
    return request._replace(body=json.dumps(body).encode())


_ADVICE = Advice()


def judge_controls(controlled: ControlResult, advice: Advice = _ADVICE) -> Finding | None:
    """Return the finding on the controls, with a next step; None if there were none."""
    evidence = controlled.to_json() | {
        "still": controlled.still,
        "proven": controlled.proven,
        "escaped": round(controlled.escaped, 6) if controlled.acknowledged else None,
    }
    verdict, summary = _describe(controlled, advice)
    if not summary:
        return None
    return Finding(check="controls", verdict=verdict, summary=summary, evidence=evidence)


_NEGATIVE = "Negative control: 0 users for a run id that was never sent."


def _describe(controlled: ControlResult, advice: Advice) -> tuple[Verdict, str]:
    acknowledged, visible = controlled.acknowledged, controlled.visible
    if controlled.filter_broken:
        return Verdict.UNKNOWN, (
            f"Negative control: {many(controlled.unsent, 'users')} for a run id that was never "
            "sent. The filter for the run does not work, so no count can be trusted: check the "
            "overlay of the observer step."
        )
    if controlled.excess:
        return Verdict.UNKNOWN, (
            f"Control users: {many(controlled.excess, 'users')} more are counted than were sent, "
            "so no count can be trusted."
        )
    if acknowledged is None:
        asked = controlled.unsent is not None
        return Verdict.PASS, _NEGATIVE if asked else ""
    verdict, summary = _fresh(acknowledged, visible, advice.later())
    if visible:
        summary = f"{summary} {_pairs(controlled)}".rstrip()
        verdict = Verdict.PASS if controlled.overtaken or controlled.proven else Verdict.UNKNOWN
    return verdict, summary


def _fresh(acknowledged: int, visible: int | None, later: str) -> tuple[Verdict, str]:
    """Return a verdict and a sentence on the users that were sent after the last copy."""
    sent = "Control users were sent after the last copy"
    if not acknowledged:
        return Verdict.UNKNOWN, f"{sent}, but none was acknowledged. {later}"
    if visible is None:
        return Verdict.UNKNOWN, (
            f"{sent} and {acknowledged:,} acknowledged, but no query for them was answered, so it "
            f"is unknown whether they are counted. {later}"
        )
    if not visible:
        return Verdict.UNKNOWN, (
            f"{sent} and {acknowledged:,} acknowledged, but none is counted: the service no longer "
            f"shows new users, or shows them later than verify.deadline. {later}"
        )
    counted = f"{visible:,} of {many(acknowledged, 'control users')}, sent after the last copy, are"
    if visible < acknowledged:
        outcome = "counted: the others may be late, and so may the missing users."
    else:
        outcome = "counted: users sent later are counted, so the missing users are not merely late."
    return Verdict.UNKNOWN, f"{counted} {outcome}"


def _pairs(controlled: ControlResult) -> str:
    """Return what second events under the same user ids rule out, and what remains possible."""
    paired, found = controlled.paired, controlled.paired_visible
    if not paired and not controlled.overtaken:
        return ""
    if not paired:
        why = controlled.unpaired or "no second event of a missing user was acknowledged"
        return (
            f"A delayed partition of the service is not excluded ({why}): if it holds the "
            f"{100 * controlled.share:.3g} % missing, all {controlled.acknowledged:,} control "
            f"users missed it with p = {controlled.escaped:.2g}."
        )
    events = f"second events under the ids of {many(paired, 'missing users')}"
    if found is None:
        return f"No query for {events} was answered, so a delayed partition is not excluded."
    check = ""
    if controlled.checked:
        seen = controlled.checked_visible
        outcome = "unknown" if seen is None else f"{seen:,}"
        check = f" (of {many(controlled.checked, 'users')} not missing: {outcome})"
    if found < paired:
        proven = (
            f" At least {many(controlled.proven, 'users are')} certainly lost: their second event "
            "is counted, their first is not."
            if controlled.proven
            else ""
        )
        return (
            f"Of {events}, {found:,} are counted{check}: the partition of the others may be "
            f"delayed.{proven}"
        )
    if not controlled.still:
        return f"All {events} are counted{check}, but by now so are their first ones."
    # no user whose second event is counted is late; of the others, this share can be
    late = 1 - (1 - CERTAINTY) ** (1 / controlled.still)
    return (
        f"All {events} are counted{check}, but the first ones of {controlled.still:,} are not, so "
        "those are in no delayed partition. Of any other missing users, more than "
        f"{100 * late:.2g} % are in one with p < {1 - CERTAINTY:.2g}. This assumes that the "
        "service partitions events by user."
    )
