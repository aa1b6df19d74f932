"""Compares a figure of base and candidate: difference, interval, one word."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from loadcheck.compare.bootstrap import two_sided
from loadcheck.compare.evidence import Bounds, Evidence, Measured, Share, Unknown
from loadcheck.compare.figures import Figure
from loadcheck.result.schema_others import Change

CONFIDENCE = 0.95
MOST_RUNS = 20
"""The most runs per side that are ever advised."""
_FEWEST_RUNS = 2
_TELLING = math.log(2)
"""An interval that reaches beyond half or twice the ratio of the sides is not shown."""

Method = Literal["intervals", "runs", "exact", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureComparison:
    """The comparison of one figure.

    Attributes:
        figure: The figure.
        base: Its value in the base: of several runs the mean, or of proven bounds the worst; None
            if unknown.
        candidate: Its value in the candidate, likewise.
        low: Lower end of the interval of the difference; None if unknown.
        high: Upper end.
        margin: Differences up to this count as none.
        method: Source of the interval: the intervals of single runs, the differences between
            runs, a proof, or nothing.
        word: The judgement.
        why: Why there is no interval; "" if there is.
        runs_needed: How many runs per side would settle an unsure figure; above :data:`MOST_RUNS`
            if too many to advise; None if unknown.
    """

    figure: Figure
    base: float | None
    candidate: float | None
    low: float | None = None
    high: float | None = None
    margin: float = 0.0
    method: Method = "none"
    word: Change = Change.UNSURE
    why: str = ""
    runs_needed: int | None = None

    @property
    def difference(self) -> float | None:
        """Candidate less base."""
        if self.base is None or self.candidate is None:
            return None
        return self.candidate - self.base

    def relative(self, difference: float | None) -> float | None:
        """Return a difference as a share of the base; None if the base is 0 or unknown."""
        return difference / self.base if difference is not None and self.base else None


def judge(
    figure: Figure, base: Sequence[Evidence], candidate: Sequence[Evidence], tolerance: float
) -> FigureComparison:
    """Compare a figure.

    Args:
        figure: The figure.
        base: The evidence of each run of the base.
        candidate: The evidence of each run of the candidate.
        tolerance: Differences up to this share of the base count as none.
    """
    everything = [*base, *candidate]
    for one in everything:
        if isinstance(one, Unknown):
            return _unknown(figure, base, candidate, one.trouble)
    for kind, compare in _COMPARED:
        left = [one for one in base if isinstance(one, kind)]
        right = [one for one in candidate if isinstance(one, kind)]
        if len(left) + len(right) == len(everything):
            return compare(figure, left, right, tolerance)
    return _unknown(figure, base, candidate, "the runs report it in different ways")


def _unknown(
    figure: Figure, base: Sequence[Evidence], candidate: Sequence[Evidence], why: str
) -> FigureComparison:
    sides = []
    for side in (base, candidate):
        values = [one.value for one in side if isinstance(one, Measured)]
        sides.append(_mean(values) if len(values) == len(side) else None)
    return FigureComparison(figure=figure, base=sides[0], candidate=sides[1], why=why)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


# figures that differ from run to run


def _measured(
    figure: Figure, base: Sequence[Measured], candidate: Sequence[Measured], tolerance: float
) -> FigureComparison:
    """Compare by the variation between runs or, with one run per side, within them."""
    logarithmic = all(one.logarithmic and one.value > 0 for one in (*base, *candidate))
    sides = [
        np.array([math.log(one.value) if logarithmic else one.value for one in side])
        for side in (base, candidate)
    ]
    means = [float(side.mean()) for side in sides]
    values = [
        side[0].value if len(side) == 1 else math.exp(mean) if logarithmic else mean
        for side, mean in zip((base, candidate), means, strict=True)
    ]
    judged = FigureComparison(figure=figure, base=values[0], candidate=values[1])
    several = len(base) > 1 or len(candidate) > 1
    left, right = base[0].spread, candidate[0].spread
    if several:
        deviation, freedom = _between(sides, (base, candidate))
    elif left is not None and right is not None:
        variances = [_square(left.deviation(right)), _square(right.deviation(left))]
        deviation = math.sqrt(sum(variances))
        freedom = _welch(variances, [left.degrees_of_freedom, right.degrees_of_freedom])
    else:
        return _without(judged, base[0].trouble or candidate[0].trouble or "nothing varied")
    if not math.isfinite(deviation):
        return _without(judged, "too large to compare")
    reach = two_sided(CONFIDENCE, freedom) * deviation
    low, high = means[1] - means[0] - reach, means[1] - means[0] + reach
    if logarithmic:
        low, high = (values[0] * math.expm1(min(end, _ENDLESS)) for end in (low, high))
    # a part of each side may be the generator's own delay: the true difference may be that much
    # lower or higher
    own = [max(one.generator_delay for one in side) for side in (base, candidate)]
    worded = _worded(
        judged,
        low=max(low - own[1], -values[0]),
        high=high + own[0],
        margin=max(tolerance * abs(values[0]), figure.floor),
        method="runs" if several else "intervals",
    )
    if worded.word is not Change.UNSURE or not several or not logarithmic:
        return worded
    within = deviation / math.sqrt(1 / len(base) + 1 / len(candidate))
    needed = runs_needed(within, math.log1p(worded.margin / abs(values[0])))
    worded = replace(worded, runs_needed=needed)
    if reach <= _TELLING:
        return worded
    # an interval from a small part to a large multiple of the base tells nothing else
    about = f"about {needed}" if needed <= MOST_RUNS else f"over {MOST_RUNS}"
    why = f"needs {about} runs"
    return replace(worded, low=None, high=None, method="none", why=why)


def runs_needed(deviation: float, margin: float) -> int:
    """Return how many runs per side make an interval reach no further than a margin.

    Args:
        deviation: Standard deviation between runs of one side.
        margin: In the same unit.

    Returns:
        One more than :data:`MOST_RUNS` if that many do not suffice.
    """
    for number in range(_FEWEST_RUNS, MOST_RUNS + 1):
        reach = two_sided(CONFIDENCE, 2 * number - 2) * deviation * math.sqrt(2 / number)
        if reach <= margin:
            return number
    return MOST_RUNS + 1


def _between(
    sides: Sequence[np.ndarray[tuple[int], np.dtype[np.float64]]],
    runs: Sequence[Sequence[Measured]],
) -> tuple[float, float]:
    """Return the standard deviation of the difference of two means, and its degrees of freedom.

    The variance between runs is that of both sides together (or each side's own, with three runs
    or more of both), and never less than what single runs show by themselves.
    """
    within = []
    for side in runs:
        known = [_square(one.spread.deviation()) for one in side if one.spread is not None]
        within.append(_mean(known) if known else 0.0)
    squares = [float(((side - side.mean()) ** 2).sum()) for side in sides]
    if all(side.size >= _SEVERAL for side in sides):
        variances = [
            max(square / (side.size - 1), least) / side.size
            for square, side, least in zip(squares, sides, within, strict=True)
        ]
        return math.sqrt(sum(variances)), _welch(variances, [side.size - 1 for side in sides])
    freedom = sum(side.size - 1 for side in sides)
    pooled = max(sum(squares) / freedom, *within)
    return math.sqrt(pooled * sum(1 / side.size for side in sides)), freedom


_SEVERAL = 3


def _square(value: float) -> float:
    """Return the square, which is infinite where ``**`` would raise."""
    return float(value) * float(value)


def _welch(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of variances (B. L. Welch 1947)."""
    below = sum(
        _square(variance) / freedom for variance, freedom in zip(variances, freedoms, strict=True)
    )
    return max(1.0, _square(sum(variances)) / below) if below else float(min(freedoms))


_ENDLESS = 700.0
"""exp() overflows a float beyond this."""


# shares


def _shares(
    figure: Figure, base: Sequence[Share], candidate: Sequence[Share], tolerance: float
) -> FigureComparison:
    """Compare by Wilson's intervals of each side, put together as R. G. Newcombe (1998) does."""
    # a side without hits does not show how bursty they would be: take the burstiest run
    burst = min(one.effective / one.trials for one in (*base, *candidate))
    (left, left_low, left_high), (right, right_low, right_high) = (
        _wilson(side, burst) for side in (base, candidate)
    )
    judged = FigureComparison(figure=figure, base=left, candidate=right)
    apart = right - left
    several = len(base) > 1 or len(candidate) > 1
    if left == right == 0:
        # no failure on either side: there is nothing to compare
        low, high = -left_high, right_high
        return _worded(judged, low=low, high=high, margin=max(-low, high), method=_method(several))
    return _worded(
        judged,
        low=apart - math.hypot(right - right_low, left_high - left),
        high=apart + math.hypot(right_high - right, left - left_low),
        margin=tolerance * left,
        same=max(tolerance * left, _NO_SHARE),
        method=_method(several),
    )


def _method(several: bool) -> Method:
    return "runs" if several else "intervals"


def _wilson(side: Sequence[Share], burst: float) -> tuple[float, float, float]:
    """Return the share of all runs of a side together, and its interval (E. B. Wilson 1927)."""
    hits, trials = sum(one.hits for one in side), sum(one.trials for one in side)
    share = hits / trials
    effective = sum(one.effective for one in side) if hits else max(1.0, trials * burst)
    if len(side) > 1 and 0 < share < 1:
        scatter = sum(
            _square(one.hits - one.trials * share) / (one.trials * share * (1 - share))
            for one in side
        ) / (len(side) - 1)
        effective = min(effective, trials / max(scatter, 1.0))
    z = two_sided(CONFIDENCE, _LARGE)
    centre = (share + z * z / (2 * effective)) / (1 + z * z / effective)
    half = (
        z
        / (1 + z * z / effective)
        * math.sqrt(share * (1 - share) / effective + z * z / (4 * _square(effective)))
    )
    return share, max(0.0, centre - half), min(1.0, centre + half)


_LARGE = 1e6
_NO_SHARE = 0.001
"""Shares that certainly differ by at most 0.1 percentage points count as the same."""


# what is proven


def _bounds(
    figure: Figure, base: Sequence[Bounds], candidate: Sequence[Bounds], tolerance: float
) -> FigureComparison:
    """Compare the worst runs of both sides by their proven bounds."""
    sides = [
        Bounds(lower=max(one.lower for one in side), upper=max(one.upper for one in side))
        for side in (base, candidate)
    ]
    left, right = sides
    exact = figure.unit == "count"
    judged = FigureComparison(
        figure=figure,
        base=left.lower if exact else left.upper,
        candidate=right.lower if exact else right.upper,
    )
    return _worded(
        judged,
        low=right.lower - left.upper,
        high=right.upper - left.lower,
        margin=0.0 if exact else tolerance * left.upper,
        method="exact",
    )


# words


def _without(judged: FigureComparison, why: str) -> FigureComparison:
    return FigureComparison(
        figure=judged.figure, base=judged.base, candidate=judged.candidate, why=why
    )


def _worded(
    judged: FigureComparison,
    *,
    low: float,
    high: float,
    margin: float,
    method: Method,
    same: float | None = None,
) -> FigureComparison:
    if not (math.isfinite(low) and math.isfinite(high)):
        return _without(judged, "the interval has no bounds")
    sign = 1 if judged.figure.better == "less" else -1
    least, most = (low, high) if sign > 0 else (-high, -low)
    if least > margin:
        word = Change.WORSE
    elif most < -margin:
        word = Change.BETTER
    elif max(-least, most) <= (margin if same is None else same):
        word = Change.SAME
    else:
        word = Change.UNSURE
    return FigureComparison(
        figure=judged.figure,
        base=judged.base,
        candidate=judged.candidate,
        low=low,
        high=high,
        margin=margin,
        method=method,
        word=word,
    )


_COMPARED: Sequence[tuple[type[Evidence], Callable[..., FigureComparison]]] = (
    (Measured, _measured),
    (Share, _shares),
    (Bounds, _bounds),
)
