"""What makes copies differ: rows of data files, and values that are drawn.

All of it is a pure function of the seed and the copy's number: nothing is stored to know later what
a copy sent.

Every upload has a number: the copy's, times the most uploads that a copy may make, plus its place
among them. The number of a user is that of the first upload that is made for it; so a user who
comes back has the number of an earlier upload. All of it follows from the number and the seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.data.order import End, Order, Spread, blockwise, counter, key_of, mixed
from loadcheck.data.table import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file, and how copies take its rows.

    Attributes:
        name: What the scenario calls it.
        path: Where it is.
        shown: As the scenario has it, for messages.
        layout: How it is read.
        order: Which row a copy takes.
        end: What happens when every row has been taken.
    """

    name: str
    path: Path
    shown: str
    layout: Layout
    order: Order = "sequential"
    end: End = "cycle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variety:
    """What makes the copies of a run differ, beside who they are. Pure data.

    Attributes:
        seed: Of rows taken at random and values drawn.
        files: The data files, by name.
        values: What ``$values`` gives, by name: tables that are drawn, or plain JSON.
    """

    seed: int = 0
    files: Mapping[str, DataFile] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


Ints = npt.NDArray[np.int64]

_SHIFT = np.uint64(11)
_SCALE = 2.0**-53


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """How copies come, as a scenario has it.

    Attributes:
        uploads: How many uploads a copy makes under its user id.
        gap: How long it waits between them, seconds.
        returning: The share of copies that take the user id of an earlier one.
    """

    uploads: Spread = field(default_factory=lambda: Spread(first=1.0))
    gap: Spread = field(default_factory=lambda: Spread(first=0.0))
    returning: float = 0.0

    @property
    def most(self) -> int:
        """The most uploads of a copy."""
        if self.uploads.kind == "uniform":
            return round(self.uploads.second)
        return round(self.uploads.first if self.uploads.kind == "fixed" else self.uploads.bounds[1])


class Visits:
    """The uploads of a run, by their numbers.

    Args:
        sessions: How copies come.
        seed: The run's.

    Attributes:
        most: The most uploads of a copy.
    """

    def __init__(self, sessions: Sessions, seed: int) -> None:
        self.most = sessions.most
        self._returning = sessions.returning
        self._draw = sessions.uploads.whole(seed, "sessions.uploads")
        self._keys = [key_of(seed, "sessions.returning", word) for word in ("whether", "who")]
        self.gap = sessions.gap.of(seed, "sessions.gap")
        self.uploads = counter(self._draw)
        """Gives how many uploads a copy makes, by the copy's number."""
        self._user = blockwise(lambda numbers: self.users(numbers.astype(np.int64)).tolist())

    def user(self, upload: int) -> int:
        """Return the number of an upload's user."""
        if not self._returning:
            return upload - upload % self.most
        found: int = self._user(upload)
        return found

    def users(self, uploads: Ints) -> Ints:
        """Return the numbers of the users of many uploads."""
        found = uploads // self.most
        back = np.arange(found.size) if self._returning else np.arange(0)
        while back.size:
            numbers = found[back].astype(np.uint64)
            shares = (mixed(numbers, self._keys[0]) >> _SHIFT).astype(np.float64) * _SCALE
            back = back[(shares < self._returning) & (numbers > 0)]
            numbers = found[back].astype(np.uint64)
            # any of the earlier ones is as likely; whose that is has to be followed in turn
            places = (mixed(numbers, self._keys[1]) >> _SHIFT).astype(np.float64) * _SCALE
            found[back] = (places * numbers).astype(np.int64)
        found *= self.most
        return found

    def of_copies(self, copies: Ints) -> Ints:
        """Return the numbers of all uploads of some copies, ascending if those do."""
        if self.most == 1:
            return copies
        counts = self._draw(copies.astype(np.uint64))
        firsts = np.repeat(copies * self.most - np.cumsum(counts) + counts, counts)
        return firsts + np.arange(firsts.size)
