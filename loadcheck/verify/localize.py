"""Names the lost, the duplicated and the unexpected, from the ledger and counts by bucket.

Outages: stretches of send order in which users are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from loadcheck.verify.evidence import Groups, Proof, Reason
from loadcheck.verify.group_testing import (
    DuplicateAttribution,
    PeelingResult,
    attribute,
    eliminate,
    least_lost,
    least_unexpected,
)
from loadcheck.verify.query_client import Tally
from loadcheck.verify.verdict import Verdict
from loadcheck.workflow.identity import SEQUENCE, Buckets, size

Ints = npt.NDArray[np.int64]

_LEAST_LOST = 5
_LEAST_PER_BUCKET = 2.5
_LEAST_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A run of neighbouring short buckets.

    Attributes:
        first: Its first bucket in send order.
        last: Its last one.
        lost: Users that are certainly missing from it.
        sent: Acknowledged users in it.
    """

    first: int
    last: int
    lost: int
    sent: int


def windows(missing: Ints, sent: Ints) -> tuple[Window, ...]:
    """Return the outages among the buckets in send order.

    Scattered losses make short runs with one missing user a bucket, and are no outage: a window
    has at least five, and either 2.5 a bucket or half of those sent in it.

    Args:
        missing: Users that are certainly missing from each bucket.
        sent: Acknowledged users in each.
    """
    found = []
    for first, last in _runs(missing > 0):
        lost, users = int(missing[first : last + 1].sum()), int(sent[first : last + 1].sum())
        dense = lost >= _LEAST_PER_BUCKET * (last - first + 1) or lost >= _LEAST_SHARE * users
        if lost >= _LEAST_LOST and dense:
            found.append(Window(first=first, last=last, lost=lost, sent=users))
    return tuple(found)


def _runs(short: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the first and last index of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], short, [False])).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2).tolist():
        yield begin, end - 1


MOST_NAMED = 1000
"""Beyond so many lost users only windows are reported."""
NOBODY: Ints = np.empty(0, dtype=np.int64)
_NO_GROUPS = Groups()


_CHUNK = 1 << 18
"""So many copies at a time are put into buckets where only their number is wanted."""

Group = Literal["acknowledged", "indeterminate", "rejected"]


class SentCopies:
    """The copies of a run by outcome, and their buckets in every partition.

    Args:
        buckets: The run's partitions.
        acknowledged, indeterminate, rejected: Copy numbers.
    """

    def __init__(
        self, buckets: Buckets, *, acknowledged: BitMap, indeterminate: BitMap, rejected: BitMap
    ) -> None:
        self.buckets = buckets
        self._sets: dict[Group, BitMap] = {
            "acknowledged": acknowledged,
            "indeterminate": indeterminate,
            "rejected": rejected,
        }
        self._arrays: dict[Group, Ints] = {}
        self._columns: dict[tuple[Group, str], Ints] = {}
        self._crowds: dict[tuple[Group, str], Ints] = {}

    @property
    def acknowledged(self) -> Ints:
        """Numbers of the copies that were acknowledged, ascending."""
        return self._numbers("acknowledged")

    @property
    def indeterminate(self) -> Ints:
        """Numbers of those without a clear answer."""
        return self._numbers("indeterminate")

    @property
    def rejected(self) -> Ints:
        """Numbers of those that were refused."""
        return self._numbers("rejected")

    def _numbers(self, group: Group) -> Ints:
        if group not in self._arrays:
            self._arrays[group] = np.array(self._sets[group].to_array(), dtype=np.int64)
        return self._arrays[group]

    def any(self, group: Group) -> bool:
        """Return whether any copy has this outcome."""
        return bool(self._sets[group])

    def columns(self, group: Group, names: Sequence[str]) -> list[Ints]:
        """Return the buckets of a group of copies, partition by partition."""
        for name in names:
            if (group, name) not in self._columns:
                self._columns[group, name] = self.buckets.column(self._numbers(group), name)
        return [self._columns[group, name] for name in names]

    def crowd(self, group: Group, name: str) -> Ints:
        """Return how many of a group are in each bucket of a partition."""
        if (group, name) not in self._crowds:
            self._crowds[group, name] = crowd(self.buckets, self._sets[group], name)
        return self._crowds[group, name]

    def sent(self, name: str) -> Ints:
        """Return how many copies of any outcome are in each bucket of a partition."""
        total: Ints = (
            self.crowd("acknowledged", name)
            + self.crowd("indeterminate", name)
            + self.crowd("rejected", name)
        )
        return total

    def all_counted(self, tally: Tally) -> bool:
        """Return whether a bucket holds everybody who can have arrived, all without exception."""
        expected = self.crowd("acknowledged", tally.name) + self.crowd("indeterminate", tally.name)
        return bool(np.array_equal(tally.counts, expected))


def crowd(buckets: Buckets, copies: BitMap, name: str) -> Ints:
    """Return how many of some copies are in each bucket of a partition."""
    total: Ints = np.zeros(size(name), dtype=np.int64)
    # a few at a time: where all is well, no array of all copies is ever needed
    for chunk in _chunks(copies):
        total += np.bincount(buckets.column(chunk, name), minlength=size(name))
    return total


def _chunks(numbers: BitMap) -> Iterator[Ints]:
    """Yield the numbers of a set, ascending, a few at a time."""
    for begin in range(0, len(numbers), _CHUNK):
        yield np.array(numbers[begin : begin + _CHUNK].to_array(), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """What events by bucket in send order tell, beside users by bucket.

    Attributes:
        duplicated: Events beyond those that the counted users sent.
        missing: Events of counted users that are not there.
        complete: Whether each bucket that lacks users has all events that were acknowledged; None
            if no bucket lacks any.
    """

    duplicated: int
    missing: int
    complete: bool | None


def weigh_events(
    copies: SentCopies, users: Tally, events: Tally, events_per_copy: int
) -> EventCounts:
    """Hold events against users, bucket by bucket: sums over all hide what compensates (rule 3)."""
    known = copies.crowd("acknowledged", users.name)
    others = copies.crowd("indeterminate", users.name) + copies.crowd("rejected", users.name)
    # who was not acknowledged may have arrived with one event of several
    free = (events_per_copy - 1) * np.minimum(users.counts, others)
    surplus = events.counts - events_per_copy * users.counts
    short = users.counts < known
    return EventCounts(
        duplicated=int(np.maximum(surplus, 0).sum()),
        missing=int(np.maximum(-surplus - free, 0).sum()),
        complete=bool((events.counts >= events_per_copy * known)[short].all())
        if short.any()
        else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Localized:
    """What the counts by bucket tell. Copy numbers ascend.

    Attributes:
        lost: Copies that are certainly missing; nobody beyond :data:`MOST_NAMED`.
        lost_suspects: How many more copies may be among the missing.
        lost_at_least: How many are missing in every explanation of the counts.
        lost_at_most: How many are in some; None if that is not known.
        recovered: Indeterminate copies that were certainly counted.
        unexpected: Rejected copies that were certainly counted.
        unexpected_at_least: Users counted that were refused, or never sent.
        windows: Stretches of send order from which users are missing.
        duplicated: Copies counted too often → by how many events.
        duplicated_at_least: Events counted too often, in every explanation.
        duplicated_suspects: How many more copies may be among those.
        duplicated_unnamed: Events counted too often that could not be given to a copy.
        partitions: Partitions that were asked for.
        queries: Questions asked, totals included.
        cost: What they cost by the service's own measure.
        trouble: Why there are no names, or not all; "" if nothing is in the way.
        groups: The same as evidence.
    """

    lost: tuple[int, ...] = ()
    lost_suspects: int = 0
    lost_at_least: int = 0
    lost_at_most: int | None = None
    recovered: int = 0
    unexpected: tuple[int, ...] = ()
    unexpected_at_least: int = 0
    windows: tuple[Window, ...] = ()
    duplicated: Mapping[int, int] = field(default_factory=dict)
    duplicated_at_least: int = 0
    duplicated_suspects: int = 0
    duplicated_unnamed: int = 0
    partitions: int = 0
    queries: int = 0
    cost: int = 0
    trouble: str = ""
    groups: Groups = _NO_GROUPS

    @property
    def exact(self) -> bool:
        """Whether it is known of every acknowledged copy whether it was counted."""
        return self.lost_at_most == self.lost_at_least and not self.trouble

    def told(self, proof: Proof) -> Localized:
        """Return it with names only of what is proven: who may be late is innocent (rule 7).

        Args:
            proof: What all answers prove.
        """
        found, why = self, _UNPROVEN.get(proof.lost.reason, proof.lost.reason.value)
        if proof.disappeared.at_least:
            why = "more users were counted before"
        proven = (
            proof.lost.verdict is Verdict.FAIL
            and proof.lost.reason is Reason.PROVEN
            and not proof.disappeared.at_least
        )
        if not proven and (self.lost or self.windows):
            found = replace(
                found,
                lost=(),
                lost_at_least=0,
                lost_suspects=self.lost_suspects + len(self.lost),
                windows=(),
                trouble=f"{why}, so nobody can be named",
            )
        if proof.unexpected.verdict is not Verdict.FAIL and self.unexpected:
            found = replace(found, unexpected=())
        if proof.duplicated.verdict is not Verdict.FAIL and self.duplicated:
            found = replace(
                found,
                duplicated={},
                duplicated_suspects=self.duplicated_suspects + len(self.duplicated),
            )
        return found


_UNPROVEN = {Reason.CONTROLS: "no user sent later is visible either"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LossEstimate:
    """What follows about lost users from the partitions asked for so far.

    Attributes:
        elimination: None if nothing explains the counts, or there are too many to name.
        maybe: The copies that the elimination's ``landed`` and ``open`` refer to.
        at_least: Users that are certainly missing.
        unexpected: Users certainly counted that were refused, or never sent.
        windows: Stretches of send order from which users are missing.
    """

    elimination: PeelingResult | None
    maybe: Ints
    at_least: int
    unexpected: int
    windows: tuple[Window, ...]

    @property
    def done(self) -> bool:
        """Whether another partition would tell nothing more."""
        return self.at_least > MOST_NAMED or (
            self.elimination is not None and self.elimination.exact
        )


def deduce_lost(copies: SentCopies, tallies: Sequence[Tally]) -> LossEstimate:
    """Decide who is missing.

    Refused copies are taken for what they are, without effect, as long as the counts allow it;
    if they do not, refused copies are candidates like indeterminate ones, and the elimination says
    which of them were counted all the same. One that took a lost copy's place would have to share
    its bucket in every partition: with three, once in more than 10^8 pairs.
    """
    if all(copies.all_counted(tally) for tally in tallies):
        landed = np.arange(copies.indeterminate.size) if copies.any("indeterminate") else NOBODY
        return LossEstimate(
            elimination=PeelingResult(
                lost=NOBODY,
                suspects=NOBODY,
                landed=landed,
                open=NOBODY,
                lost_at_least=0,
                lost_at_most=0,
            ),
            maybe=copies.indeterminate,
            at_least=0,
            unexpected=0,
            windows=(),
        )
    names = [tally.name for tally in tallies]
    observed = [tally.counts for tally in tallies]
    known = copies.columns("acknowledged", names)
    maybe = copies.columns("indeterminate", names)
    at_least = least_lost(known, observed)
    unexpected = least_unexpected(known, maybe, observed)
    order = names.index(SEQUENCE) if SEQUENCE in names else None
    outages: tuple[Window, ...] = ()
    if order is not None:
        sent = np.bincount(known[order], minlength=size(SEQUENCE))
        outages = windows(np.maximum(sent - observed[order], 0), sent)
    candidates = copies.indeterminate
    elimination = None
    if at_least <= MOST_NAMED:
        elimination = eliminate(known, maybe, observed) if not unexpected else None
        if elimination is None and copies.any("rejected"):
            rejected = copies.columns("rejected", names)
            both = [np.concatenate(pair) for pair in zip(maybe, rejected, strict=True)]
            candidates = np.concatenate((copies.indeterminate, copies.rejected))
            elimination = eliminate(known, both, observed)
    if elimination is not None:
        at_least = max(at_least, elimination.lost_at_least)
    return LossEstimate(
        elimination=elimination,
        maybe=candidates,
        at_least=at_least,
        unexpected=unexpected,
        windows=outages,
    )


def deduce_duplicated(
    copies: SentCopies,
    uniques: Sequence[Tally],
    totals: Sequence[Tally],
    lost: Sequence[int],
    *,
    events_per_copy: int = 1,
) -> DuplicateAttribution | None:
    """Decide whose events were counted too often; positions refer to :func:`countable`."""
    names = [tally.name for tally in totals]
    by_name = {tally.name: tally.counts for tally in uniques}
    extra = [tally.counts - events_per_copy * by_name[tally.name] for tally in totals]
    numbers = countable(copies, lost)
    return attribute([copies.buckets.column(numbers, name) for name in names], extra)


def countable(copies: SentCopies, lost: Sequence[int]) -> Ints:
    """Return the copies that may have been counted: all but those known to be missing."""
    sent = np.concatenate((copies.acknowledged, copies.indeterminate, copies.rejected))
    return np.sort(sent[~np.isin(sent, np.array(lost, dtype=np.int64))])


def conclude(
    copies: SentCopies,
    deduction: LossEstimate,
    extras: DuplicateAttribution | None,
    countables: Ints = NOBODY,
    *,
    partitions: int,
    queries: int,
    cost: int,
    groups: Groups = _NO_GROUPS,
    trouble: str = "",
) -> Localized:
    """Put what was decided into copy numbers, and into evidence.

    Args:
        copies: What was sent.
        deduction: Who is missing.
        extras: Who was counted too often; None if nobody looked, or nothing explains it.
        countables: The copies that ``extras`` refers to.
        partitions: Partitions that were asked for.
        queries: Questions asked.
        cost: What they cost.
        groups: What the counts by bucket rest on.
        trouble: Why there are no names.
    """
    found = deduction.elimination
    lost = landed = NOBODY
    if found is not None:
        lost, landed = copies.acknowledged[found.lost], deduction.maybe[found.landed]
    elif not trouble:
        trouble = (
            f"more than {MOST_NAMED:,} users are missing: windows only"
            if deduction.at_least > MOST_NAMED
            else "no set of missing users explains the counts: somebody was counted who was not "
            "sent, or the counts do not belong together"
        )
    duplicated: dict[int, int] = {}
    if extras is not None:
        numbers = countables[extras.users].tolist()
        duplicated = dict(zip(numbers, extras.events.tolist(), strict=True))
    refused = np.sort(landed[np.isin(landed, copies.rejected)])
    lost_at_most = found.lost_at_most if found else None
    unexpected = max(deduction.unexpected, int(refused.size))
    doubled = max(sum(duplicated.values()) + (extras.unnamed if extras else 0), groups.duplicated)
    named = sum(duplicated.values())
    return Localized(
        lost=tuple(lost.tolist()),
        lost_suspects=int(found.suspects.size) if found else 0,
        lost_at_least=deduction.at_least,
        lost_at_most=lost_at_most,
        recovered=int(landed.size - refused.size),
        unexpected=tuple(refused.tolist()),
        unexpected_at_least=unexpected,
        windows=deduction.windows,
        duplicated=duplicated,
        duplicated_at_least=doubled,
        duplicated_suspects=int(extras.suspects.size) if extras and extras.unnamed else 0,
        duplicated_unnamed=doubled - named,
        partitions=partitions,
        queries=queries,
        cost=cost,
        trouble=trouble,
        groups=replace(
            groups,
            lost_at_least=deduction.at_least,
            lost_at_most=lost_at_most,
            exact=lost_at_most == deduction.at_least and not trouble,
            unexpected=unexpected,
            trouble=trouble,
        ),
    )
