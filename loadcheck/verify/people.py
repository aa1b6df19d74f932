"""The users behind a ledger of copies, where a user may return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from loadcheck.data import Visits
from loadcheck.measure import Ledger, bitmap, in_chunks
from loadcheck.measure.record import Record
from loadcheck.verify import EventBounds, SentCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Users and uploads by outcome, both by the numbers of uploads.

    Attributes:
        ledger: The users: acknowledged if at least one of their uploads was, rejected if none can
            have arrived.
        uploads: The uploads; None where each user makes one, so that they are the same.
        of: Returns the users of uploads; None where they are the same.
    """

    ledger: Ledger
    uploads: Ledger | None = None
    of: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]] | None = None

    @classmethod
    def behind(cls, ledger: Ledger, uploads: Ledger, visits: Visits | None) -> People:
        """Return the users behind the copies of a ledger.

        Args:
            ledger: The copies.
            uploads: Their uploads, where they make several.
            visits: The users of the copies; None: each copy has a user of its own.
        """
        if visits is None:
            return cls(ledger=ledger)
        made = ledger if visits.most == 1 else uploads
        users = Ledger()
        users.started = users_of(made.started, visits)
        users.acknowledged = users_of(made.acknowledged, visits)
        unclear = users_of(made.indeterminate | made.open(), visits)
        users.indeterminate = unclear - users.acknowledged
        refused = users_of(made.rejected, visits)
        users.rejected = refused - users.acknowledged - users.indeterminate
        # reserved: no other user may have such a number
        skipped = (bitmap(part * visits.most) for part in in_chunks(ledger.skipped))
        users.skipped = BitMap().union(*skipped) if visits.most > 1 else ledger.skipped
        return cls(ledger=users, uploads=made, of=visits.users)

    def counts(self, sent: SentCounts) -> SentCounts:
        """Return the numbers of users, and the bounds of their events.

        Args:
            sent: The numbers of copies.
        """
        users, made, each = self.ledger, self.uploads, sent.events_per_copy
        if made is None:
            return sent
        unclear = len(made.indeterminate) + len(made.open())
        return SentCounts(
            started=len(users.started),
            acknowledged=len(users.acknowledged),
            indeterminate=len(users.indeterminate),
            rejected=len(users.rejected),
            events_per_copy=each,
            sent_again=sent.sent_again,
            events=EventBounds(
                acknowledged=each * len(made.acknowledged),
                indeterminate=each * unclear,
                rejected=each * len(made.rejected),
            ),
        )


class Arrivals:
    """Counts users while copies are being sent; a look costs only what is new since the last.

    Args:
        visits: The users of the copies.
    """

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self._seen = {name: BitMap() for name in _LOOKED_AT}
        self._users = {name: BitMap() for name in _LOOKED_AT}

    def look(self, record: Record) -> tuple[int, int, int]:
        """Return users acknowledged, users that can have arrived, and how far numbers have come."""
        most = self._visits.most
        made = record.ledger if most == 1 else record.uploads
        for name, seen in self._seen.items():
            now: BitMap = getattr(made, name)
            self._users[name] |= users_of(now - seen, self._visits)
            self._seen[name] = now.copy()
        begun = (record.started_at_most + record.skipped) * most
        possible = self._users["started"].union_cardinality(self._users["indeterminate"])
        return len(self._users["acknowledged"]), possible, begun


# what a lost generator may have started is indeterminate only
_LOOKED_AT: Final = ("started", "acknowledged", "indeterminate")


def users_of(uploads: BitMap, visits: Visits) -> BitMap:
    """Return the users of some uploads."""
    return BitMap().union(*(bitmap(visits.users(part)) for part in in_chunks(uploads)))
