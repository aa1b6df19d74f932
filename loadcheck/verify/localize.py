"""Names lost, duplicated and unexpected users, from the ledger and counts by bucket.

An outage is a stretch of send order in which users are missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from loadcheck.measure import array_of, in_chunks
from loadcheck.verify import Verdict
from loadcheck.verify.evidence import Groups, Proof, Reason
from loadcheck.verify.group_testing import (
    attribute,
    eliminate,
    least_lost,
    least_unexpected,
)
from loadcheck.verify.people import People
from loadcheck.verify.query_client import BucketCounts
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

    Scattered losses make short runs with one missing user per bucket, and are not an outage: a
    window lacks at least five users, and either 2.5 per bucket or half of those sent in it.

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
"""Above this number of lost users only windows are reported."""
_NO_GROUPS = Groups()


_MOST_BYTES = 96 << 20
"""Memory for the arrays in which the missing are told apart from other candidates."""

Group = Literal["acknowledged", "indeterminate", "rejected"]


class SentCopies:
    """The copies of a run by outcome, and how many are in each bucket of every partition.

    Args:
        buckets: The run's partitions.
        acknowledged, indeterminate, rejected: Copy numbers.
        uploads: Users and their uploads, where users make several; None: each makes one.

    Attributes:
        buckets: As given.
        people: Users and their uploads, where users make several; None: each makes one.
        acknowledged, indeterminate, rejected: As given.
    """

    def __init__(
        self,
        buckets: Buckets,
        *,
        acknowledged: BitMap,
        indeterminate: BitMap,
        rejected: BitMap,
        uploads: People | None = None,
    ) -> None:
        self.buckets = buckets
        self.people = uploads if uploads is not None and uploads.uploads is not None else None
        self.acknowledged = acknowledged
        self.indeterminate = indeterminate
        self.rejected = rejected
        self._sizes: dict[tuple[Group, str], Ints] = {}

    def sizes(self, group: Group, name: str) -> Ints:
        """Return how many of a group are in each bucket of a partition."""
        if (group, name) not in self._sizes:
            copies: BitMap = getattr(self, group)
            self._sizes[group, name] = bucket_sizes(self.buckets, copies, name)
        return self._sizes[group, name]

    def uploads(self, group: Group, name: str) -> Ints:
        """Return how many uploads of a group are in each bucket, by the buckets of their users."""
        assert self.people is not None and self.people.uploads is not None  # noqa: PT018
        made, of = self.people.uploads, self.people.of
        assert of is not None
        uploads: BitMap = getattr(made, group)
        if group == "indeterminate":
            uploads = uploads | made.open()
        total: Ints = np.zeros(size(name), dtype=np.int64)
        for chunk in in_chunks(uploads):
            total += np.bincount(self.buckets.column(of(chunk), name), minlength=size(name))
        return total

    def sent(self, name: str) -> Ints:
        """Return how many copies of any outcome are in each bucket of a partition."""
        total: Ints = (
            self.sizes("acknowledged", name)
            + self.sizes("indeterminate", name)
            + self.sizes("rejected", name)
        )
        return total

    def all_counted(self, tally: BucketCounts) -> bool:
        """Return whether, in every bucket, all users that can have arrived are counted."""
        expected = self.sizes("acknowledged", tally.name) + self.sizes("indeterminate", tally.name)
        return bool(np.array_equal(tally.counts, expected))


def bucket_sizes(buckets: Buckets, copies: BitMap, name: str) -> Ints:
    """Return how many of some copies are in each bucket of a partition."""
    total: Ints = np.zeros(size(name), dtype=np.int64)
    for chunk in in_chunks(copies):
        total += np.bincount(buckets.column(chunk, name), minlength=size(name))
    return total


def _within(
    buckets: Buckets, copies: BitMap, wanted: Mapping[str, npt.NDArray[np.bool_]]
) -> BitMap:
    """Return those of the copies that are in a wanted bucket of every partition."""
    found = BitMap()
    for chunk in in_chunks(copies):
        kept = chunk
        for name, those in wanted.items():
            kept = kept[those[buckets.column(kept, name)]]
        found.update(kept.astype(np.uint32))
    return found


def _share(sizes: Sequence[Ints], wanted: Sequence[npt.NDArray[np.bool_]]) -> float:
    """Estimate what share of some copies is in a wanted bucket of every partition."""
    total = int(sizes[0].sum())
    if not total:
        return 0.0
    shares = [count[those].sum() / total for count, those in zip(sizes, wanted, strict=True)]
    return float(math.prod(shares))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """What events by bucket in send order show, compared with users by bucket.

    Attributes:
        duplicated: Events beyond those that the counted users sent.
        missing: Events of counted users that are not counted.
        complete: Whether each bucket that lacks users has all events that were acknowledged; None
            if no bucket lacks any.
        hidden: Acknowledged events that others in their buckets can hide.
    """

    duplicated: int
    missing: int
    complete: bool | None
    hidden: int = 0


def compare_events(
    copies: SentCopies, users: BucketCounts, events: BucketCounts, events_per_copy: int
) -> EventCounts:
    """Compare events with users bucket by bucket: in sums, faults can cancel out (rule 3)."""
    if copies.people is not None:
        return _compare_uploads(copies, users, events, events_per_copy)
    known = copies.sizes("acknowledged", users.name)
    others = copies.sizes("indeterminate", users.name) + copies.sizes("rejected", users.name)
    # an unacknowledged user may have arrived with one event of several
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


def _compare_uploads(
    copies: SentCopies, users: BucketCounts, events: BucketCounts, each: int
) -> EventCounts:
    """Compare events with those sent, bucket by bucket, where users send different numbers."""
    taken = each * copies.uploads("acknowledged", users.name)
    unclear = each * copies.uploads("indeterminate", users.name)
    short = users.counts < copies.sizes("acknowledged", users.name)
    lacking = np.maximum(taken - events.counts, 0)
    # what a bucket lacks may be acknowledged events rather than unclear ones
    hidden = np.where(unclear > 0, np.clip(taken + unclear - events.counts, 0, taken), 0)
    return EventCounts(
        duplicated=int(np.maximum(events.counts - taken - unclear, 0).sum()),
        missing=int(lacking[~short].sum()),  # a lost user's events are lost with the user
        complete=bool((events.counts >= taken)[short].all()) if short.any() else None,
        hidden=int(hidden[~short].sum()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Localized:
    """What the counts by bucket show. Copy numbers ascend.

    Attributes:
        lost: Copies that are certainly missing; none if they are more than :data:`MOST_NAMED`.
        lost_suspects: How many more copies may be among the missing.
        lost_at_least: How many are missing in every explanation of the counts.
        lost_at_most: The most that are missing in any; None if that is unknown.
        recovered: Indeterminate copies that were certainly counted.
        unexpected: Rejected copies that were certainly counted.
        unexpected_at_least: Users counted that were refused, or never sent.
        windows: Stretches of send order from which users are missing.
        duplicated: Copies counted too often → by how many events.
        duplicated_at_least: Events counted too often, in every explanation.
        duplicated_suspects: How many more copies may be among those.
        duplicated_unnamed: Events counted too often that could not be attributed to a copy.
        partitions: Partitions that were queried.
        queries: Grouped queries sent, those for events included.
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
        """Whether every acknowledged copy is known to be counted or known to be missing."""
        return self.lost_at_most == self.lost_at_least and not self.trouble

    def proven_by(self, proof: Proof) -> Localized:
        """Return a version that names only proven losses, and no user that may be late (rule 7).

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
                trouble=f"{why}, so no user can be named",
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
class CopyEstimate:
    """What follows for single copies.

    Attributes:
        lost: Acknowledged copies that are certainly missing.
        suspects: How many acknowledged copies the counts leave undecided, at most.
        landed: Other copies that were certainly counted.
        lost_at_least: How many acknowledged copies are missing in every explanation of the counts.
        lost_at_most: The most that are missing in any, as far as single buckets show.
        too_many: Whether too many share their buckets with the missing to be told apart.
    """

    lost: BitMap
    suspects: int
    landed: BitMap
    lost_at_least: int
    lost_at_most: int
    too_many: bool = False

    @property
    def exact(self) -> bool:
        """Whether nothing is left undecided about acknowledged copies."""
        return not self.suspects


@dataclass(frozen=True, slots=True, kw_only=True)
class LossEstimate:
    """What follows about lost users from the partitions queried so far.

    Attributes:
        elimination: None if nothing explains the counts, or there are too many to name.
        at_least: Users that are certainly missing.
        unexpected: Users certainly counted that were refused, or never sent.
        windows: Stretches of send order from which users are missing.
    """

    elimination: CopyEstimate | None
    at_least: int
    unexpected: int
    windows: tuple[Window, ...]

    @property
    def done(self) -> bool:
        """Whether another partition would show nothing more."""
        return self.at_least > MOST_NAMED or (
            self.elimination is not None and self.elimination.exact
        )


def deduce_lost(copies: SentCopies, tallies: Sequence[BucketCounts]) -> LossEstimate:
    """Decide which users are missing.

    Refused copies are assumed to have had no effect as long as the counts allow it; otherwise they
    are candidates like indeterminate ones, and the elimination shows which of them were counted
    anyway. To take a lost copy's place, a refused one would have to share its bucket in every
    partition: with three of them, once in more than 10^8 pairs.
    """
    if all(copies.all_counted(tally) for tally in tallies):
        everybody = CopyEstimate(
            lost=BitMap(),
            suspects=0,
            landed=copies.indeterminate,
            lost_at_least=0,
            lost_at_most=0,
        )
        return LossEstimate(elimination=everybody, at_least=0, unexpected=0, windows=())
    known = [copies.sizes("acknowledged", tally.name) for tally in tallies]
    maybe = [copies.sizes("indeterminate", tally.name) for tally in tallies]
    observed = [tally.counts for tally in tallies]
    at_least = least_lost(known, observed)
    unexpected = least_unexpected(known, maybe, observed)
    outages: tuple[Window, ...] = ()
    for tally, sent in zip(tallies, known, strict=True):
        if tally.name == SEQUENCE:
            outages = windows(np.maximum(sent - tally.counts, 0), sent)
    elimination = None
    if at_least <= MOST_NAMED:
        if not unexpected:
            elimination = _eliminate(copies, copies.indeterminate, maybe, tallies)
        if elimination is None and copies.rejected:
            both = copies.indeterminate | copies.rejected
            sizes = [
                copies.sizes("rejected", tally.name) + others
                for tally, others in zip(tallies, maybe, strict=True)
            ]
            elimination = _eliminate(copies, both, sizes, tallies)
    if elimination is not None:
        at_least = max(at_least, elimination.lost_at_least)
    return LossEstimate(
        elimination=elimination, at_least=at_least, unexpected=unexpected, windows=outages
    )


def _eliminate(
    copies: SentCopies, maybe: BitMap, maybe_sizes: Sequence[Ints], tallies: Sequence[BucketCounts]
) -> CopyEstimate | None:
    """Decide about single copies; None if nothing explains the counts.

    A bucket that lacks no user clears all copies in it. So first, by counts alone and a few copies
    at a time, those that are in such a bucket of any partition are put aside. The others are
    examined in arrays, if they are few enough.

    Args:
        copies: What was sent.
        maybe: Copies that may have been counted besides the acknowledged ones.
        maybe_sizes: By partition, how many of those are in each bucket.
        tallies: The counts.
    """
    names = [tally.name for tally in tallies]
    known_sizes = [copies.sizes("acknowledged", name) for name in names]
    missing = [known - tally.counts for known, tally in zip(known_sizes, tallies, strict=True)]
    for lacking, known, others in zip(missing, known_sizes, maybe_sizes, strict=True):
        if (lacking > known).any() or (lacking < -others).any():
            return None
    unclear = [lacking > -others for lacking, others in zip(missing, maybe_sizes, strict=True)]
    most = _MOST_BYTES // (16 * (len(names) + 1))
    wanted = dict(zip(names, unclear, strict=True))
    too_many = most < len(copies.acknowledged) * _share(known_sizes, unclear) + len(maybe) * _share(
        maybe_sizes, unclear
    )
    if too_many:
        return _undecided(known_sizes, maybe_sizes, missing, unclear)
    here = _within(copies.buckets, copies.acknowledged, wanted)
    there = _within(copies.buckets, maybe, wanted)
    if len(here) + len(there) > most:
        return _undecided(known_sizes, maybe_sizes, missing, unclear)
    candidates = [array_of(here), array_of(there)]
    columns = [[copies.buckets.column(numbers, name) for name in names] for numbers in candidates]
    counted = []
    for place, name in enumerate(names):
        left = np.bincount(columns[1][place], minlength=size(name))
        # copies that were put aside were counted
        lacking = missing[place] + maybe_sizes[place] - left
        counted.append(np.bincount(columns[0][place], minlength=size(name)) - lacking)
    found = eliminate(columns[0], columns[1], counted)
    if found is None:
        return None
    return CopyEstimate(
        lost=BitMap(candidates[0][found.lost].astype(np.uint32)),
        suspects=int(found.suspects.size),
        landed=(maybe - there) | BitMap(candidates[1][found.landed].astype(np.uint32)),
        lost_at_least=found.lost_at_least,
        lost_at_most=found.lost_at_most,
    )


def _undecided(
    known: Sequence[Ints],
    maybe: Sequence[Ints],
    missing: Sequence[Ints],
    unclear: Sequence[npt.NDArray[np.bool_]],
) -> CopyEstimate:
    """Return the bounds that single buckets give, where too many copies are left to tell apart."""
    return CopyEstimate(
        lost=BitMap(),
        suspects=min(int(here[those].sum()) for here, those in zip(known, unclear, strict=True)),
        landed=BitMap(),
        lost_at_least=max(int(np.maximum(lacking, 0).sum()) for lacking in missing),
        lost_at_most=min(
            int(np.minimum(here, lacking + there).sum())
            for here, there, lacking in zip(known, maybe, missing, strict=True)
        ),
        too_many=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Users whose events were counted too often.

    Attributes:
        events: Copies that certainly have surplus events → how many.
        suspects: How many copies the counts leave undecided, at most.
        unnamed: Surplus events that could not be attributed to a copy.
    """

    events: Mapping[int, int]
    suspects: int
    unnamed: int


def deduce_duplicated(
    copies: SentCopies,
    uniques: Sequence[BucketCounts],
    totals: Sequence[BucketCounts],
    lost: Iterable[int],
    *,
    events_per_copy: int = 1,
) -> Duplicates | None:
    """Decide which users' events were counted too often; None if nothing explains the counts."""
    names = [tally.name for tally in totals]
    by_name = {tally.name: tally.counts for tally in uniques}
    if copies.people is None:
        extra = [tally.counts - events_per_copy * by_name[tally.name] for tally in totals]
    else:
        extra = [
            tally.counts - events_per_copy * copies.uploads("acknowledged", tally.name)
            for tally in totals
        ]
    if any((surplus < 0).any() for surplus in extra):
        return None
    countable = (copies.acknowledged | copies.indeterminate | copies.rejected) - BitMap(lost)
    doubled = [surplus > 0 for surplus in extra]
    most = _MOST_BYTES // (16 * (len(names) + 1))
    sizes = [copies.sent(name) for name in names]
    left = None
    if len(countable) * _share(sizes, doubled) <= most:
        left = _within(copies.buckets, countable, dict(zip(names, doubled, strict=True)))
    if left is None or len(left) > most:
        suspects = min(int(here[those].sum()) for here, those in zip(sizes, doubled, strict=True))
        unnamed = max(int(surplus.sum()) for surplus in extra)
        return Duplicates(events={}, suspects=suspects, unnamed=unnamed)
    numbers = array_of(left)
    found = attribute([copies.buckets.column(numbers, name) for name in names], extra)
    if found is None:
        return None
    users = numbers[found.users].tolist()
    return Duplicates(
        events=dict(zip(users, found.events.tolist(), strict=True)),
        suspects=int(found.suspects.size),
        unnamed=found.unnamed,
    )


def build_localized(
    copies: SentCopies,
    deduction: LossEstimate,
    extras: Duplicates | None,
    groups: Groups = _NO_GROUPS,
) -> Localized:
    """Combine what was decided into copy numbers and evidence.

    Args:
        copies: What was sent.
        deduction: Which copies are missing.
        extras: Which were counted too often; None if not queried, or nothing explains it.
        groups: What the counts by bucket rest on.
    """
    found, trouble = deduction.elimination, ""
    if deduction.at_least > MOST_NAMED:
        trouble = f"more than {MOST_NAMED:,} users are missing: windows only"
    elif found is None:
        trouble = (
            "no set of missing users explains the counts: a user was counted that was not "
            "sent, or the counts do not belong together"
        )
    elif found.too_many:
        trouble = (
            f"up to {found.suspects:,} users share their buckets with the missing, too many to "
            "tell apart: windows and counts only; more verify.partitions tell more apart"
        )
    lost = BitMap() if found is None else found.lost
    landed = BitMap() if found is None else found.landed
    duplicated = {} if extras is None else extras.events
    refused = landed & copies.rejected
    lost_at_most = found.lost_at_most if found else None
    unexpected = max(deduction.unexpected, len(refused))
    named = sum(duplicated.values())
    doubled = max(named + (extras.unnamed if extras else 0), groups.duplicated)
    return Localized(
        lost=tuple(lost),
        lost_suspects=found.suspects if found else 0,
        lost_at_least=deduction.at_least,
        lost_at_most=lost_at_most,
        recovered=len(landed) - len(refused),
        unexpected=tuple(refused),
        unexpected_at_least=unexpected,
        windows=deduction.windows,
        duplicated=duplicated,
        duplicated_at_least=doubled,
        duplicated_suspects=extras.suspects if extras and extras.unnamed else 0,
        duplicated_unnamed=doubled - named,
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
