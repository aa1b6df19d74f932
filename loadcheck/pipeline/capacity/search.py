"""Chooses the rates to probe: the highest that holds, in few probes. Pure: nothing runs here.

A geometric climb from the lowest rate until one does not hold, then bisection on the logarithmic
scale. What a target completed under overload shows where its capacity is, so the bisection begins
there. A verdict that was close, or unproven, is probed again while there are probes to spare, and
so is the upper end of the answer: a machine that was briefly busy with something else looks like a
slow target. The majority decides.
"""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_DIGITS = 3
_ROUNDING = 0.002
"""What rounding to three digits may add to the width of the answer's interval."""
_VOTES = 3


class ProbeVerdict(enum.Enum):
    """The verdict of a probe on its rate."""

    HELD = "held"
    BROKE = "broke"
    UNPROVEN = "unproven"
    """The generator could not deliver the load, or there is no evidence."""


class Ending(enum.Enum):
    """Why a search is over."""

    PRECISE = "precise"
    HIGHEST = "highest"
    LOWEST = "lowest"
    PROBES = "probes"
    BUDGET = "budget"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """The result of a probe, for the search.

    Attributes:
        rate: The probed rate, in copies per second.
        held: The verdict.
        close: Whether a repetition might well have another verdict.
        final: Whether no repetition can change the verdict: what is lost once is lost.
        carried: What the target completed per second while it was given more; None if it was not.
    """

    rate: float
    held: ProbeVerdict
    close: bool = False
    final: bool = False
    carried: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchGoal:
    """The goal of a search, and its limits.

    Attributes:
        lowest: Where the search begins; nothing below is tried.
        highest: Nothing above is tried.
        precision: Width of the answer's interval, as a share of it.
        probes: The most probes, repetitions included.
        climb: Factor from one rate of the climb to the next.
    """

    lowest: float
    highest: float
    precision: float
    probes: int
    climb: float = 3.0


class Search:
    """Chooses the rates to probe by the results of earlier probes.

    Args:
        aim: The goal.
        affordable: Returns whether the budget has room for a probe at a rate.

    Attributes:
        seen: Results of the probes, in order.
        ending: Why the search is over; None while it is not.
    """

    def __init__(
        self, aim: SearchGoal, affordable: Callable[[float], bool] = lambda _rate: True
    ) -> None:
        self._aim = aim
        self._affordable = affordable
        self.seen: list[ProbeResult] = []
        self.ending: Ending | None = None

    def next(self) -> float | None:
        """Return the rate to probe next; None when the search is over."""
        if self.ending is not None:
            return None
        found = self._again() or self._ahead()
        if isinstance(found, Ending):
            self.ending = found
        elif len(self.seen) >= self._aim.probes:
            self.ending = Ending.PROBES
        elif not self._affordable(found):
            self.ending = Ending.BUDGET
        else:
            return found
        return None

    def record(self, seen: ProbeResult) -> None:
        """Add the result of a probe."""
        self.seen.append(seen)

    def end(self, ending: Ending) -> None:
        """End the search as it stands, unless it is over already."""
        self.ending = self.ending or ending

    # what is known

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The highest rate that holds, and the lowest that does not; None where there is none."""
        verdicts = {rate: majority(self.votes(rate)) for rate in self._rates()}
        high = min(
            (rate for rate, held in verdicts.items() if held is not ProbeVerdict.HELD), default=None
        )
        below = [rate for rate, held in verdicts.items() if held is ProbeVerdict.HELD]
        low = max((rate for rate in below if high is None or rate < high), default=None)
        return low, high

    def votes(self, rate: float) -> list[ProbeResult]:
        """Return the results of all probes at a rate."""
        return [seen for seen in self.seen if seen.rate == rate]

    def _rates(self) -> set[float]:
        return {seen.rate for seen in self.seen}

    # what to probe

    def _again(self) -> float | None:
        """Return the last rate if its verdict is in doubt and a probe can be spared."""
        if not self.seen:
            return None
        last = self.seen[-1]
        votes = self.votes(last.rate)
        if len(votes) >= _VOTES:
            return None
        decided = [vote for vote in votes if vote.held is not ProbeVerdict.UNPROVEN]
        if not decided:
            doubtful = last.close
        elif len(decided) == 1:
            only = decided[0]
            doubtful = only.close and only.held is ProbeVerdict.BROKE and not only.final
        else:
            # one that held clearly outweighs one that may have been spoiled
            doubtful = decided[0].held is not decided[1].held and not any(
                vote.held is ProbeVerdict.HELD and not vote.close for vote in decided
            )
        left = self._aim.probes - len(self.seen)
        return last.rate if doubtful and left > self._needed() else None

    def _needed(self) -> int:
        """Return how many probes bisection still takes, the last verdict taken as it is."""
        low, high = self.bounds
        return 0 if low is None or high is None else _halvings(low, high, self._aim.precision)

    def _ahead(self) -> float | Ending:
        aim = self._aim
        low, high = self.bounds
        if not self.seen:
            return aim.lowest
        if low is None:
            return self._doubtful(high) or Ending.LOWEST
        if high is None:
            return (
                Ending.HIGHEST if low >= aim.highest else min(rounded(low * aim.climb), aim.highest)
            )
        if not _halvings(low, high, aim.precision):
            return self._doubtful(high, low) or Ending.PRECISE
        rate = rounded(self._between(low, high))
        return rate if low < rate < high else self._doubtful(high, low) or Ending.PRECISE

    def _doubtful(self, *ends: float | None) -> float | None:
        """Return an end of the answer that rests on one probe that may have met a bad moment."""
        if len(self.seen) >= self._aim.probes:
            return None
        for rate in ends:
            votes = [] if rate is None else self.votes(rate)
            decided = [vote for vote in votes if vote.held is not ProbeVerdict.UNPROVEN]
            if len(decided) == 1 and not decided[0].final:
                only = decided[0]
                if only.held is ProbeVerdict.BROKE or only.close:
                    return rate
        return None

    def _between(self, low: float, high: float) -> float:
        """Return where to split: around what was carried if that is known, else in the middle."""
        middle = math.sqrt(low * high)
        carried = [
            seen.carried
            for seen in self.seen
            if seen.carried is not None and majority(self.votes(seen.rate)) is not ProbeVerdict.HELD
        ]
        if not carried:
            return middle
        hint, width = statistics.median(carried), 1 + self._aim.precision
        for around in (rounded(hint / math.sqrt(width)), rounded(hint * math.sqrt(width))):
            if low < around < high:
                return around
        # the hint was wrong: move away from it in doubling steps, but never beyond the middle
        if low >= hint:
            passed = sum(rate >= hint for rate in self._rates() if rate <= low)
            return min(middle, low * math.pow(width, 2**passed))
        passed = sum(rate <= hint for rate in self._rates() if rate >= high)
        return max(middle, high / math.pow(width, 2**passed))


def majority(votes: Sequence[ProbeResult]) -> ProbeVerdict:
    """Return the verdict of all probes at one rate: that of the majority of those that have one.

    A tie counts as held. A final verdict is not outvoted.
    """
    if any(vote.final for vote in votes):
        return ProbeVerdict.BROKE
    said = [vote.held for vote in votes if vote.held is not ProbeVerdict.UNPROVEN]
    if not said:
        return ProbeVerdict.UNPROVEN
    return (
        ProbeVerdict.HELD if 2 * said.count(ProbeVerdict.HELD) >= len(said) else ProbeVerdict.BROKE
    )


def rounded(rate: float) -> float:
    """Return a rate rounded to three significant digits."""
    return float(f"{rate:.{_DIGITS}g}")


def _halvings(low: float, high: float, precision: float) -> int:
    """Return how often an interval must be halved until it is narrow enough."""
    ratio = math.log(high / low) / (math.log1p(precision) + _ROUNDING)
    return max(0, math.ceil(math.log2(ratio))) if ratio > 0 else 0
