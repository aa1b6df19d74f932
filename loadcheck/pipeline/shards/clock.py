"""What another machine's monotonic clock reads, and how well that is known."""

from __future__ import annotations


class Offset:
    """The difference between a shard's monotonic clock and ours.

    Each round trip bounds it: the other clock was read after we sent and before we heard. The
    shortest one bounds it best, whatever the ways there and back took each. Clocks drift, so each
    bound widens with its age.

    Attributes:
        measured: Whether there was a round trip.
        count: Round trips so far.
        drift_ppm: How far the offset has moved since the first measurement, in parts per million
            of the time that has passed; 0 while that is within the error.
    """

    _DRIFT_PPM = 100
    """More than any quartz is off."""

    def __init__(self) -> None:
        self.count = 0
        self._best: tuple[int, int, int] | None = None  # when, offset, half the round trip
        self._first: tuple[int, int, int] | None = None

    @property
    def measured(self) -> bool:
        """Whether there was a round trip."""
        return self._best is not None

    def add(self, sent_ns: int, theirs_ns: int, heard_ns: int) -> None:
        """Take a round trip: when it began, what the shard read, and when it ended."""
        self.count += 1
        half = (heard_ns - sent_ns + 1) // 2
        found = (heard_ns, theirs_ns - (sent_ns + heard_ns) // 2, half)
        if self._best is None or half <= self.error_ns(heard_ns):
            self._best = found
        self._first = self._first or found

    def settle(self) -> None:
        """Measure drift from the best measurement so far."""
        self._first = self._best

    def error_ns(self, now_ns: int) -> int:
        """Return how far the offset may be off, at the most."""
        assert self._best is not None
        when, _, half = self._best
        return half + abs(now_ns - when) * self._DRIFT_PPM // 1_000_000

    def strayed_ns(self, now_ns: int) -> int:
        """Return how far an instant that was agreed on when it settled may be off by now."""
        assert self._best is not None
        assert self._first is not None
        return self._first[2] + abs(self._best[1] - self._first[1]) + self.error_ns(now_ns)

    def theirs(self, ours_ns: int) -> int:
        """Return what their clock reads when ours reads so."""
        assert self._best is not None
        return ours_ns + self._best[1]

    @property
    def drift_ppm(self) -> float:
        """How fast their clock runs away from ours, where that is more than the error."""
        assert self._best is not None
        assert self._first is not None
        passed = self._best[0] - self._first[0]
        moved = self._best[1] - self._first[1]
        if not passed or abs(moved) <= self._best[2] + self._first[2]:
            return 0.0
        return 1e6 * moved / passed
