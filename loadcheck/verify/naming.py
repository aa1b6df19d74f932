"""Names missing users by the ids that were really sent, with the times when they were sent.

Also their ranks in acknowledgement order, which the visibility lag needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from pyroaring import BitMap

from loadcheck.documents.document import MISSING, compile_pointer, parse_pointer
from loadcheck.measure import array_of, in_chunks
from loadcheck.verify.localize import Localized
from loadcheck.verify.visibility import Ranks
from loadcheck.workflow.identity import Buckets
from loadcheck.workflow.runtime import first_request, no_retry
from loadcheck.workflow.runtime.plan import Plan, StepPlan

_BODY, _INPUT = "body#", "$inputs."
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOW_MS = 1_700_000_000_000
"""Nominal send time of the requests from which ids are read: no id depends on it."""
_MOST_PLACED = 5_000_000
"""The most missing users whose ranks are computed: they take memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTimes:
    """When copies were sent, to the second.

    A generator starts its copies in the order of their numbers. Where n of them share a load, each
    takes every n-th request at its own pace, so that of two copies the one with the lower number
    may have been sent later.

    Attributes:
        due: For each generator, the copies that fell due in each second since the load began.
        began_at: When the load began; None if that is not known.
        copies_per_request: Copies that share a request.
        uploads: The most uploads of a copy: numbers are those of uploads.
    """

    due: Sequence[Sequence[int]]
    began_at: datetime | None
    copies_per_request: int = 1
    uploads: int = 1

    @property
    def copies(self) -> int:
        """All copies that fell due."""
        return sum(map(sum, self.due))

    def seconds(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return for each copy the second since the load began in which it was sent."""
        together = self.copies_per_request
        if self.uploads > 1:
            numbers = numbers // self.uploads
        requests, within = np.divmod(numbers, together)
        rounds, generators = np.divmod(requests, len(self.due))
        own = rounds * together + within
        found = np.zeros_like(own)
        for generator, due in enumerate(self.due):
            reached = np.cumsum(np.array(due, dtype=np.int64))
            theirs = generators == generator
            found[theirs] = np.searchsorted(reached, own[theirs], side="right")
        return found

    def second(self, number: int) -> int:
        """Return the second since the load began in which a copy was sent."""
        return int(self.seconds(np.array([number], dtype=np.int64))[0])

    def copy(self, name: Callable[[int], str], number: int) -> dict[str, Any]:
        """Return the results-file entry of a copy.

        Args:
            name: Returns the user id by number.
            number: The number of the upload.
        """
        second = self.second(number)
        return {
            "user_id": name(number),
            "copy": number // self.uploads,
            "second": second,
            "sent_at": self.clock(second),
        }

    def stretch(self, first: int, last: int) -> tuple[int, int]:
        """Return the first and the last second in which copies of a range were sent."""
        # within one generator numbers go up with time: its first and its last suffice
        each = len(self.due) * self.copies_per_request * self.uploads
        ends = {
            *range(first, min(first + each, last + 1)),
            *range(max(first, last - each + 1), last + 1),
        }
        seconds = self.seconds(np.array(sorted(ends), dtype=np.int64))
        return int(seconds.min()), int(seconds.max())

    def ranks(self, acknowledged: BitMap, numbers: npt.NDArray[np.int64]) -> Ranks:
        """Return the ranks, from 1, of copies among the acknowledged in send order.

        Args:
            acknowledged: The copies that were acknowledged.
            numbers: Some of them, ascending.
        """
        if len(self.due) == 1:
            return np.array([acknowledged.rank(number) for number in numbers], dtype=np.int64)
        length = max(map(len, self.due)) + 1
        totals = np.zeros(length, dtype=np.int64)
        for chunk in in_chunks(acknowledged):
            totals += np.bincount(self.seconds(chunk), minlength=length)
        before = np.cumsum(totals) - totals  # by second, how many precede its next copy
        found = np.empty(numbers.size, dtype=np.int64)
        for chunk in in_chunks(acknowledged):
            seconds = self.seconds(chunk)
            here = slice(*np.searchsorted(numbers, (chunk[0], chunk[-1] + 1)))
            order = np.argsort(seconds, kind="stable")
            within = np.empty_like(order)
            within[order] = np.arange(order.size) - np.searchsorted(seconds[order], seconds[order])
            wanted = np.searchsorted(chunk, numbers[here])
            found[here] = before[seconds[wanted]] + within[wanted] + 1
            before += np.bincount(seconds, minlength=length)
        return found

    def clock(self, second: int) -> str | None:
        """Return a second of the load as UTC in ISO 8601; None if its begin is not known."""
        if self.began_at is None:
            return None
        at = self.began_at + timedelta(seconds=second)
        return at.isoformat(timespec="seconds").replace("+00:00", "Z")


class UserNames:
    """The user ids that copies really sent, by the copies' numbers.

    Args:
        plan: The workflow of a copy.
        ingest: The step that sends the user.
        place: Where the id stands, as ``verify.user`` says; None: it is ``$copy.userId``.

    Attributes:
        ingest: The step's index.
    """

    def __init__(self, plan: Plan, ingest: StepPlan, place: str | None) -> None:
        self._plan = plan
        self._step = ingest
        self._place = place
        self.ingest = ingest.index
        self._reach: Callable[[Any], Any] | None = None
        if place is not None and place.startswith(_BODY):
            self._reach = compile_pointer(parse_pointer(place.removeprefix(_BODY)))
        # the names of copies 0 and 1 show whether the ids need to be looked up at all
        self._own = any(self._sent(number) != plan.user_id(number) for number in (0, 1))

    @property
    def known(self) -> bool:
        """Whether the user ids are known."""
        return self._sent(0) is not None

    @property
    def stands_in_body(self) -> bool:
        """Whether the id stands in the request's JSON."""
        return self._reach is not None

    def of_plan(self, plan: Plan) -> UserNames:
        """Return the user names of another run of the same workflow."""
        return UserNames(plan, self._step, self._place)

    def of(self, number: int) -> str:
        """Return the user id of a copy; "copy 7" where it is not known."""
        if not self._own:
            return self._plan.user_id(number)
        return self._sent(number) or f"copy {number}"

    def number(self, text: str) -> Iterator[int]:
        """Yield the numbers of the copies that an id, or a UUID within it, may belong to."""
        for part in (text, *(match[0] for match in _UUID.finditer(text))):
            found = self._plan.user_number(part)
            if found is not None:
                yield found

    def _sent(self, number: int) -> str | None:
        if self._place is None:
            used = "$copy.userId" in self._step.uses
            return self._plan.user_id(number) if used else None
        if self._reach is None:
            found = self._plan.inputs(number, _NOW_MS).get(self._place.removeprefix(_INPUT))
        else:
            found = self._in_body(self._reach, number)
        return found if isinstance(found, str) else None if found is None else str(found)

    def _in_body(self, reach: Callable[[Any], Any], number: int) -> Any:
        request = first_request(self._plan.copy(number, _NOW_MS, no_retry))
        if request is None or request.step != self.ingest:
            return None
        try:
            value = reach(orjson.loads(request.body))
        except orjson.JSONDecodeError:
            return None
        return None if value is MISSING else value


def localized_to_json(
    found: Localized, name: Callable[[int], str], buckets: Buckets, moments: SendTimes
) -> dict[str, Any]:
    """Return the localized losses as the results file holds them.

    Args:
        found: What the counts by bucket show.
        name: Returns the user id of a copy, by its number.
        buckets: The run's partitions.
        moments: When copies were sent.
    """
    end, copy = moments.copies, partial(moments.copy, name)
    windows = []
    for window in found.windows:
        first, last = buckets.first(window.first), buckets.first(window.last + 1) - 1
        last = max(first, min(last, end - 1) if end else last)
        from_s, to_s = moments.stretch(first, last)
        windows.append(
            {
                "first_copy": first,
                "last_copy": last,
                "from_s": from_s,
                "to_s": to_s + 1,
                "from": moments.clock(from_s),
                "to": moments.clock(to_s + 1),
                "lost": window.lost,
                "sent": window.sent,
            }
        )
    return {
        "lost": [copy(number) for number in found.lost],
        "unexpected": [copy(number) for number in found.unexpected],
        "duplicated": [
            copy(number) | {"events": events} for number, events in sorted(found.duplicated.items())
        ],
        "windows": windows,
        "ambiguous": {
            "lost": found.lost_at_least - len(found.lost),
            "lost_suspects": found.lost_suspects,
            "duplicated": found.duplicated_unnamed,
            "duplicated_suspects": found.duplicated_suspects,
        },
        "recovered": found.recovered,
        "exact": found.exact,
        "partitions": found.partitions,
        "queries": found.queries,
        "cost": found.cost,
        "trouble": found.trouble,
    }


def describe_losses(localized: Mapping[str, Any] | None) -> str:
    """Describe when the missing users were sent and who they are; "" if unknown."""
    if localized is None:
        return ""
    parts = [
        f"{window['lost']:,} of them were sent {_between(window)}"
        for window in localized["windows"][:3]
    ]
    rest = len(localized["windows"]) - len(parts)
    if rest > 0:
        parts.append(f"there are {rest:,} more such windows")
    text = f"; {', '.join(parts)}" if parts else ""
    named = localized["lost"]
    if named:
        first = named[0]["user_id"]
        who = (
            f"it is {first}" if len(named) == 1 else f"{len(named):,} are named, the first {first}"
        )
        text += f"; {who}{'' if localized['windows'] else _sent(named)}"
    return text


def _sent(named: Sequence[Mapping[str, Any]]) -> str:
    """Return in words when the named users were sent."""
    sent = sorted(copy["sent_at"] for copy in named if copy["sent_at"] is not None)
    if not sent:
        return ""
    first, last = sent[0], sent[-1]
    if first == last:
        return f", sent at {first[11:19]} UTC"
    return f", sent from {first[11:19]} to {last[11:19]} UTC"


def _between(window: Mapping[str, Any]) -> str:
    copies = f"(copies {window['first_copy']:,} to {window['last_copy']:,})"
    if window["from"] is None:
        return f"in seconds {window['from_s']} to {window['to_s']} {copies}"
    return f"between {window['from'][11:19]} and {window['to'][11:19]} UTC {copies}"


def ranks_of_lost(
    found: Localized, buckets: Buckets, acknowledged: BitMap, moments: SendTimes
) -> Ranks | None:
    """Return the ranks of the missing among the acknowledged, from 1, ascending.

    Copies are assumed to be acknowledged in the order in which they were sent. For a window it is
    known how many are missing, not which: they are spread over it evenly.

    Args:
        found: What the counts by bucket show.
        buckets: The run's partitions.
        acknowledged: The copies acknowledged.
        moments: When copies were sent.

    Returns:
        The ranks; None if not all of the missing have one, or there are too many.
    """
    if len(found.lost) == found.lost_at_least:
        lost = np.array(found.lost, dtype=np.int64)
        return np.sort(moments.ranks(acknowledged, lost))
    if not found.lost_at_least <= sum(window.lost for window in found.windows) <= _MOST_PLACED:
        return None
    spread = []
    for window in found.windows:
        first, end = buckets.first(window.first), buckets.first(window.last + 1)
        size = acknowledged.range_cardinality(first, end)
        if not size:
            return None
        evenly = np.arange(window.lost, dtype=np.int64) * size // window.lost
        if len(moments.due) == 1:  # a window's copies are consecutive in send order
            spread.append(acknowledged.rank(first) - (first in acknowledged) + 1 + evenly)
            continue
        if size > _MOST_PLACED:
            return None
        sent = array_of(acknowledged & BitMap(range(first, end)))
        spread.append(np.sort(moments.ranks(acknowledged, sent))[evenly])
    return np.sort(np.concatenate(spread))
