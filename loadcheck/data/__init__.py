"""What makes copies differ: rows of data files, and values drawn at random.

All of it is a pure function of the seed and the copy's number, so nothing need be stored to know
later what a copy sent.

Every upload has a number: the copy's, times the most uploads that a copy may make, plus the
upload's index within the copy. A user's number is that of the first upload made for that user, so
a returning user has the number of an earlier upload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadcheck.data.order import End, Order, Spread, blockwise, counter, key_of, mixed
from loadcheck.data.table import FileFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file, and how copies take its rows.

    Attributes:
        name: Its name in the scenario.
        path: The file.
        shown: The path as written in the scenario, for messages.
        layout: Its format.
        order: Which row a copy takes.
        end: What happens when every row has been taken.
    """

    name: str
    path: Path
    shown: str
    layout: FileFormat
    order: Order = "sequential"
    end: End = "cycle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variety:
    """What makes the copies of a run differ, apart from their user ids.

    Attributes:
        seed: The seed of random rows and drawn values.
        files: The data files, by name.
        values: The values of ``$values``, by name: tables to draw from, or plain JSON.
    """

    seed: int = 0
    files: Mapping[str, DataFile] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


Ints = npt.NDArray[np.int64]

_SHIFT = np.uint64(11)
_SCALE = 2.0**-53


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """The sessions of a scenario.

    Attributes:
        uploads: How many uploads a copy makes under its user id.
        gap: The wait between two uploads of a copy, in seconds.
        returning: The share of copies, 0 to 1, that reuse the user id of an earlier copy.
    """

    uploads: Spread = field(default_factory=lambda: Spread(first=1.0))
    gap: Spread = field(default_factory=lambda: Spread(first=0.0))
    returning: float = 0.0

    @property
    def most(self) -> int:
        """The most uploads that a copy may make."""
        if self.uploads.kind == "uniform":
            return round(self.uploads.second)
        return round(self.uploads.first if self.uploads.kind == "fixed" else self.uploads.bounds[1])


class Visits:
    """The uploads of a run, by their numbers.

    Args:
        sessions: The scenario's sessions.
        seed: The run's seed.

    Attributes:
        most: The most uploads that a copy may make.
    """

    def __init__(self, sessions: Sessions, seed: int) -> None:
        self.most = sessions.most
        self._returning = sessions.returning
        self._draw = sessions.uploads.whole(seed, "sessions.uploads")
        self._keys = [key_of(seed, "sessions.returning", word) for word in ("whether", "who")]
        self.gap = sessions.gap.of(seed, "sessions.gap")
        self.uploads = counter(self._draw)
        """Returns how many uploads a copy makes, given the copy's number."""
        self._user = blockwise(lambda numbers: self.users(numbers.astype(np.int64)).tolist())

    def user(self, upload: int) -> int:
        """Return the number of an upload's user."""
        if not self._returning:
            return upload - upload % self.most
        found: int = self._user(upload)
        return found

    def users(self, uploads: Ints) -> Ints:
        """Return the user numbers of many uploads."""
        found = uploads // self.most
        back = np.arange(found.size) if self._returning else np.arange(0)
        while back.size:
            numbers = found[back].astype(np.uint64)
            shares = (mixed(numbers, self._keys[0]) >> _SHIFT).astype(np.float64) * _SCALE
            back = back[(shares < self._returning) & (numbers > 0)]
            numbers = found[back].astype(np.uint64)
            # every earlier copy is equally likely, and may be a returning one itself: follow it
            places = (mixed(numbers, self._keys[1]) >> _SHIFT).astype(np.float64) * _SCALE
            found[back] = (places * numbers).astype(np.int64)
        found *= self.most
        return found

    def of_copies(self, copies: Ints) -> Ints:
        """Return the numbers of all uploads of some copies; ascending if the copies are."""
        if self.most == 1:
            return copies
        counts = self._draw(copies.astype(np.uint64))
        firsts = np.repeat(copies * self.most - np.cumsum(counts) + counts, counts)
        return firsts + np.arange(firsts.size)
