"""Names the lost, the duplicated and the unexpected, from the ledger and counts by bucket.

Outages: stretches of send order in which users are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from loadcheck.verify.bucket_counts import Tally
from loadcheck.verify.group_testing import (
    DuplicateAttribution,
    PeelingResult,
    attribute,
    eliminate,
    least_lost,
    least_unexpected,
)
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
_NOBODY: Ints = np.empty(0, dtype=np.int64)


class SentCopies:
    """The copies of a run by outcome, and their buckets in every partition.

    Args:
        buckets: The run's partitions.
        acknowledged, indeterminate, rejected: Copy numbers.
    """

    def __init__(
        self, buckets: Buckets, *, acknowledged: Ints, indeterminate: Ints, rejected: Ints
    ) -> None:
        self.buckets = buckets
        self.acknowledged = acknowledged
        self.indeterminate = indeterminate
        self.rejected = rejected
        self._columns: dict[tuple[str, str], Ints] = {}

    def columns(self, group: str, names: Sequence[str]) -> list[Ints]:
        """Return the buckets of a group of copies, partition by partition."""
        for name in names:
            if (group, name) not in self._columns:
                numbers: Ints = getattr(self, group)
                self._columns[group, name] = self.buckets.column(numbers, name)
        return [self._columns[group, name] for name in names]

    def sent(self, name: str) -> Ints:
        """Return how many copies of any outcome are in each bucket of a partition."""
        groups = ("acknowledged", "indeterminate", "rejected")
        columns = (self.columns(group, [name])[0] for group in groups)
        total: Ints = sum(
            (np.bincount(column, minlength=size(name)) for column in columns),
            start=np.zeros(size(name), dtype=np.int64),
        )
        return total


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

    @property
    def exact(self) -> bool:
        """Whether it is known of every acknowledged copy whether it was counted."""
        return self.lost_at_most == self.lost_at_least and not self.trouble

    def unproven(self) -> Localized:
        """Return it without the names of the missing: they may be late, and so innocent."""
        return replace(
            self,
            lost=(),
            lost_suspects=self.lost_suspects + len(self.lost),
            windows=(),
            trouble="no user sent later is visible either, so no loss is proven",
        )


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
    which of them were counted all the same.
    """
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
        if elimination is None and copies.rejected.size:
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
    countables: Ints = _NOBODY,
    *,
    partitions: int,
    queries: int,
    cost: int,
    trouble: str = "",
) -> Localized:
    """Put what was decided into copy numbers."""
    found = deduction.elimination
    lost = landed = _NOBODY
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
    return Localized(
        lost=tuple(lost.tolist()),
        lost_suspects=int(found.suspects.size) if found else 0,
        lost_at_least=deduction.at_least,
        lost_at_most=found.lost_at_most if found else None,
        recovered=int(landed.size - refused.size),
        unexpected=tuple(refused.tolist()),
        unexpected_at_least=max(deduction.unexpected, refused.size),
        windows=deduction.windows,
        duplicated=duplicated,
        duplicated_at_least=sum(duplicated.values()) + (extras.unnamed if extras else 0),
        duplicated_suspects=int(extras.suspects.size) if extras and extras.unnamed else 0,
        duplicated_unnamed=extras.unnamed if extras else 0,
        partitions=partitions,
        queries=queries,
        cost=cost,
        trouble=trouble,
    )
