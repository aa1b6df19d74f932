"""Identifies missing users from counts by bucket alone.

Each user is in one bucket of every partition, and for every bucket we know how many users were
acknowledged and how many the service counts. What is unknown: for each acknowledged user whether it
was lost, for each user without a clear answer whether it landed. In a bucket the difference is
``lost - landed``, so

- if it is as low as it can be, none of its acknowledged users was lost and all others landed;
- if it is as high as it can be, all of its acknowledged users were lost and no other landed.

Users decided this way are taken out of the other partitions, until nothing more follows. This is
sound for exact counts: a user is named only if it is provably missing. It is quantitative group
testing by peeling; with a few times more buckets than losses it decides everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeelingResult:
    """What follows from the counts; all arrays hold positions in the arrays given.

    Attributes:
        lost: Acknowledged users that are certainly missing.
        suspects: Acknowledged users that the counts leave undecided.
        landed: Users without a clear answer that were certainly counted.
        open: Users without a clear answer that the counts leave undecided.
        lost_at_least: How many acknowledged users are missing in every explanation of the counts.
        lost_at_most: The most that are missing in any, as far as single buckets show.
    """

    lost: Ints
    suspects: Ints
    landed: Ints
    open: Ints
    lost_at_least: int
    lost_at_most: int

    @property
    def exact(self) -> bool:
        """Whether nothing is left undecided about acknowledged users."""
        return self.suspects.size == 0


def eliminate(
    known: Sequence[Ints], maybe: Sequence[Ints], observed: Sequence[Ints]
) -> PeelingResult | None:
    """Decide which users were lost and which landed, as far as the counts show it.

    Args:
        known: By partition, the bucket of every acknowledged user.
        maybe: By partition, the bucket of every user that may have been counted as well.
        observed: By partition, how many users the service counts in each bucket.

    Returns:
        What was decided; None if no assignment explains the counts: they do not belong together,
        or a user was counted that is in neither group.
    """
    alive = [np.arange(known[0].size), np.arange(maybe[0].size)]
    columns = [list(known), list(maybe)]
    sizes = [counts.size for counts in observed]
    rest = [
        np.bincount(bucket, minlength=counts.size) - counts
        for bucket, counts in zip(known, observed, strict=True)
    ]
    lost: list[Ints] = []
    landed: list[Ints] = []
    changed = True
    while changed:
        changed = False
        for place, size in enumerate(sizes):
            here, there = columns[0][place], columns[1][place]
            most = np.bincount(here, minlength=size)
            least = -np.bincount(there, minlength=size)
            difference = rest[place]
            if np.any(difference > most) or np.any(difference < least):
                return None
            low = difference == least
            high = (difference == most) & ~low
            if not (low | high)[here].any() and not (low | high)[there].any():
                continue
            changed = True
            missing, counted = high[here], low[there]
            lost.append(alive[0][missing])
            landed.append(alive[1][counted])
            for other, length in enumerate(sizes):
                rest[other] = (
                    rest[other]
                    - np.bincount(columns[0][other][missing], minlength=length)
                    + np.bincount(columns[1][other][counted], minlength=length)
                )
            for group, bucket in enumerate((here, there)):
                kept = ~(low | high)[bucket]
                alive[group] = alive[group][kept]
                columns[group] = [column[kept] for column in columns[group]]
    named = np.sort(_joined(lost))
    return PeelingResult(
        lost=named,
        suspects=alive[0],
        landed=np.sort(_joined(landed)),
        open=alive[1],
        lost_at_least=named.size + max(int(np.maximum(d, 0).sum()) for d in rest),
        lost_at_most=named.size + _most(columns[0], columns[1], rest),
    )


def least_lost(known: Sequence[Ints], observed: Sequence[Ints]) -> int:
    """Return how many acknowledged users are certainly missing, whatever others were counted.

    A user that was counted on top can hide a lost one only in its own bucket.

    Args:
        known: By partition, how many acknowledged users there are in each bucket.
        observed: By partition, how many the service counts there.
    """
    return max(
        int(np.maximum(users - counts, 0).sum())
        for users, counts in zip(known, observed, strict=True)
    )


def least_unexpected(known: Sequence[Ints], maybe: Sequence[Ints], observed: Sequence[Ints]) -> int:
    """Return how many users in neither group were certainly counted.

    Args:
        known: By partition, how many acknowledged users there are in each bucket.
        maybe: How many may have been counted as well.
        observed: How many the service counts there.
    """
    return max(
        int(np.maximum(counts - here - there, 0).sum())
        for here, there, counts in zip(known, maybe, observed, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateAttribution:
    """The users that surplus events belong to.

    Attributes:
        users: Positions of users that certainly have surplus events.
        events: How many surplus events each of them has.
        suspects: Positions of users that the counts leave undecided.
        unnamed: Surplus events that could not be attributed to a user.
    """

    users: Ints
    events: Ints
    suspects: Ints
    unnamed: int


def attribute(users: Sequence[Ints], extra: Sequence[Ints]) -> DuplicateAttribution | None:
    """Find the users to whom surplus events belong.

    A bucket without a surplus clears its users; a bucket with one user left assigns it the whole
    surplus. A user may have any number of surplus events.

    Args:
        users: By partition, the bucket of every user that may have been counted.
        extra: By partition, the surplus of events in each bucket.

    Returns:
        The users found; None if no assignment explains the counts.
    """
    alive = np.arange(users[0].size)
    columns = list(users)
    rest = [surplus.astype(np.int64) for surplus in extra]
    found: list[Ints] = []
    amounts: list[Ints] = []
    changed = True
    while changed:
        changed = False
        for place, surplus in enumerate(rest):
            here = columns[place]
            present = np.bincount(here, minlength=surplus.size)
            if np.any(surplus < 0) or np.any(surplus[present == 0] > 0):
                return None
            decided = ((surplus == 0) | (present == 1))[here]
            if not decided.any():
                continue
            changed = True
            guilty = decided & (surplus[here] > 0)
            amount = surplus[here[guilty]]
            found.append(alive[guilty])
            amounts.append(amount)
            for other, column in enumerate(columns):
                length = rest[other].size
                taken = np.bincount(column[guilty], weights=amount, minlength=length)
                rest[other] = rest[other] - taken.astype(np.int64)
            alive = alive[~decided]
            columns = [column[~decided] for column in columns]
    named = _joined(found)
    order = np.argsort(named, kind="stable")
    return DuplicateAttribution(
        users=named[order],
        events=_joined(amounts)[order],
        suspects=alive,
        unnamed=max(int(surplus.sum()) for surplus in rest),
    )


def _most(known: list[Ints], maybe: list[Ints], rest: list[Ints]) -> int:
    return min(
        int(
            np.minimum(
                np.bincount(here, minlength=difference.size),
                difference + np.bincount(there, minlength=difference.size),
            ).sum()
        )
        for here, there, difference in zip(known, maybe, rest, strict=True)
    )


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
