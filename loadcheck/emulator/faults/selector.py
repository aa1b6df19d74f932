"""Which subjects a fault hits: a pure function of their order, the time and a seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadcheck.emulator.config import Selection


class Selector:
    """Decides for one subject after the other.

    Only subjects inside the time window are counted: ``{ after = "2s", count = 5 }`` hits the
    first five after two seconds.
    """

    __slots__ = ("_chance", "_numbers", "_seen", "_selection")

    def __init__(self, selection: Selection, seed: int) -> None:
        self._selection = selection
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._seen = 0
        self._numbers: range | frozenset[int] | None = None
        if selection.count is not None:
            if selection.among is None:
                self._numbers = range(selection.first, selection.first + selection.count)
            else:
                chosen = self._chance.sample(range(selection.among), selection.count)
                self._numbers = frozenset(chosen)

    def picks(self, elapsed_ms: float) -> bool:
        """Return whether the next subject is hit, so long after the windows' origin."""
        if self.window_start_ms(elapsed_ms) is None:
            return False
        number = self._seen
        self._seen += 1
        if self._numbers is not None:
            return number in self._numbers
        rate = self._selection.rate
        return rate is None or self._chance.random() < rate

    def window_start_ms(self, elapsed_ms: float) -> float | None:
        """Return when the window around ``elapsed_ms`` began, or None if none is open."""
        selection = self._selection
        since = elapsed_ms - selection.after_ms
        if since < 0:
            return None
        if selection.lasting_ms is None:
            return selection.after_ms
        if selection.every_ms:
            since %= selection.every_ms
        return elapsed_ms - since if since < selection.lasting_ms else None

    def window_left_ms(self, elapsed_ms: float) -> float | None:
        """Return how long the open window still lasts: None if none is open, or it never ends."""
        start = self.window_start_ms(elapsed_ms)
        lasting = self._selection.lasting_ms
        return None if start is None or lasting is None else start + lasting - elapsed_ms
