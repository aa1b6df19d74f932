"""Estimates the random variation of a figure of one run: a block bootstrap over its intervals.

What a service does in one second resembles what it did in the second before, so neither requests
nor intervals are independent. Whole blocks of neighbouring intervals are drawn instead (circular
block bootstrap, D. N. Politis and J. P. Romano 1992), separately within each stage, since the load
of a stage is not random. All draws are summed at once by matrix products.

Few long blocks are drawn and Student's distribution is used with as many degrees of freedom as they
leave (after R. Ibragimov and U. K. Müller 2010). The variance that is hidden by correlation between
neighbouring blocks is added as for an autoregressive process of first order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from loadcheck.measure.histogram import BucketLayout

DRAWS = 500
"""The error of a standard deviation estimated from this many draws is 3 %."""
FEWEST_INTERVALS = 4
"""With fewer intervals their random variation is unknown."""

_BLOCKS = 6
_CAUTION = 0.5
"""Standard errors added to an estimated correlation, because an underestimate makes an interval too
narrow. Calibrated by tests/benchmarks/compare.py."""
_HIGHEST_CORRELATION = 0.95
_LEAST_SHARE = 0.25
"""The least share of a correlation that few intervals are taken to show."""
_EXACT_IN_SINGLE = 1 << 24

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomVariation:
    """The random variation of a figure of one run.

    Attributes:
        observed_sd: Its standard deviation over the draws.
        correlation: Its estimated correlation between neighbouring intervals.
        number: How many intervals that was estimated from.
        stages: Number of intervals and block length of each stage with more than one interval.
        degrees_of_freedom: Degrees of freedom.
    """

    observed_sd: float
    correlation: float
    number: int
    stages: tuple[tuple[int, int], ...]
    degrees_of_freedom: int

    def deviation(self, *others: RandomVariation) -> float:
        """Return the standard deviation by which the figure would differ from run to run.

        A correlation found from few values is too low by about (1 + 3 rho) / n (F. H. C. Marriott
        and J. A. Pope 1954): this is corrected, and a part of its standard error is added.

        Args:
            others: Spreads assumed to have the same correlation, which is then estimated from all.
        """
        alike = (self, *others)
        number = sum(each.number for each in alike)
        rho = sum(each.correlation * each.number for each in alike) / number
        short = len(alike) / number
        rho = (rho + short) / max(1 - 3 * short, _LEAST_SHARE) + _CAUTION / math.sqrt(number)
        rho = min(max(rho, 0.0), _HIGHEST_CORRELATION)
        inflation = sum(
            size * autocorrelation_inflation(rho, size, length) for size, length in self.stages
        )
        return self.observed_sd * math.sqrt(inflation / sum(size for size, _ in self.stages))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How often each interval is taken in each draw.

    Attributes:
        weights: One row per draw, one column per interval.
        strata: The stage of each interval; those of a stage are neighbours.
        lengths: Block length of each stage.
        degrees_of_freedom: Degrees of freedom that the blocks leave.
    """

    weights: Weights
    strata: Ints
    lengths: tuple[int, ...]
    degrees_of_freedom: int

    def of_stage(self, stage: int) -> Draws | None:
        """Return the same draws of one stage alone; None if it has too few intervals."""
        inside = self.strata == stage
        size, length = int(inside.sum()), self.lengths[stage]
        if size < FEWEST_INTERVALS:
            return None
        return Draws(
            weights=self.weights[:, inside],
            strata=np.zeros(size, dtype=np.int64),
            lengths=(length,),
            degrees_of_freedom=-(-size // length) - 1,
        )

    def spread(self, drawn: Floats, level: Floats) -> RandomVariation | None:
        """Return the random variation of a figure.

        Args:
            drawn: The figure in each draw.
            level: The figure, or one that moves with it, in each interval; NaN where unknown.

        Returns:
            None if the figure is not known in all draws, or in no interval.
        """
        number = int(np.isfinite(level).sum())
        if not np.isfinite(drawn).all() or not number:
            return None
        sizes = np.bincount(self.strata).tolist()
        stages = zip(sizes, self.lengths, strict=True)
        return RandomVariation(
            observed_sd=float(drawn.std(ddof=1)),
            correlation=correlation(level, self.strata),
            number=number,
            stages=tuple((size, length) for size, length in stages if size > 1),
            degrees_of_freedom=self.degrees_of_freedom,
        )


def draw(strata: Ints, random: np.random.Generator, draws: int = DRAWS) -> Draws | None:
    """Draw blocks of intervals with replacement.

    Args:
        strata: The stage of each interval, numbered from 0; those of a stage are neighbours.
        random: Random generator.
        draws: Number of draws.

    Returns:
        None if there are too few intervals, in all or per stage.
    """
    if strata.size < FEWEST_INTERVALS:
        return None
    weights: Weights = np.zeros((draws, strata.size), dtype=np.float32)
    blocks, lengths = 0, []
    stages = int(strata.max()) + 1
    for stage in range(stages):
        inside = np.flatnonzero(strata == stage)
        size = inside.size
        length = max(1, -(-size // _BLOCKS))
        number = -(-size // length)
        starts = random.integers(0, size, (draws, number, 1))
        taken = ((starts + np.arange(length)) % size).reshape(draws, -1)[:, :size]
        flat = (np.arange(draws)[:, None] * size + taken).reshape(-1)
        weights[:, inside] = np.bincount(flat, minlength=draws * size).reshape(draws, size)
        blocks += number
        lengths.append(length)
    freedom = blocks - stages
    if freedom < 1:
        return None
    return Draws(weights=weights, strata=strata, lengths=tuple(lengths), degrees_of_freedom=freedom)


def correlation(level: Floats, strata: Ints) -> float:
    """Return the correlation of neighbouring intervals, each with those of its own stage."""
    centred = np.zeros(level.size)
    for stage in range(int(strata.max()) + 1):
        inside = (strata == stage) & np.isfinite(level)
        if inside.any():
            centred[inside] = level[inside] - level[inside].mean()
    spread = float((centred**2).sum())
    neighbours = strata[:-1] == strata[1:]
    return float((centred[:-1] * centred[1:])[neighbours].sum()) / spread if spread else 0.0


def autocorrelation_inflation(rho: float, size: int, length: int) -> float:
    """Return the factor by which the variance of a mean exceeds what its blocks show.

    Args:
        rho: Correlation of neighbouring intervals.
        size: Number of intervals.
        length: Length of a block.
    """
    whole, block = _variance_of_mean(rho, size), _variance_of_mean(rho, length)
    return whole * size / (length * (block - whole)) if size > length else 1.0


def _variance_of_mean(rho: float, size: int) -> float:
    lags = np.arange(1, size)
    return float(1 + 2 * ((1 - lags / size) * rho**lags).sum()) / size


def percentiles(
    counts: Counts, buckets: BucketLayout, wanted: tuple[float, ...], weights: Weights | None = None
) -> Floats:
    """Return percentiles of histograms, in microseconds.

    Args:
        counts: Bucket counts, one row per interval.
        buckets: Layout of the buckets.
        wanted: Percentiles, 0 to 100.
        weights: How often to take each interval, one row per way to merge them; None for each
            interval alone.

    Returns:
        One row per way, one column per percentile, interpolated within its bucket; NaN without
        samples.
    """
    filled = np.flatnonzero(counts.any(axis=0))
    rows = counts.shape[0] if weights is None else weights.shape[0]
    result = np.full((rows, len(wanted)), np.nan)
    if not filled.size:
        return result
    dense = counts[:, filled]
    single = 2 * int(dense.sum()) < _EXACT_IN_SINGLE
    merged: npt.NDArray[np.floating] = dense.astype(np.float32 if single else np.float64)
    if weights is not None:
        merged = weights.astype(merged.dtype, copy=False) @ merged
    running = np.cumsum(merged, axis=1)
    totals = running[:, -1]
    each = np.arange(rows)
    low = buckets.lowest_us[filled]
    width = (buckets.highest_us - buckets.lowest_us + 1)[filled]
    for column, percentile in enumerate(wanted):
        rank = totals * (percentile / 100)
        place = np.minimum((running < rank[:, None]).sum(axis=1), filled.size - 1)
        within = merged[each, place]
        before = running[each, place] - within
        share = np.divide(rank - before, within, out=np.zeros_like(rank), where=within > 0)
        value = low[place] + np.clip(share, 0, 1) * width[place]
        result[:, column] = np.where(totals > 0, value, np.nan)
    return result


def two_sided(confidence: float, freedom: float) -> float:
    """Return how many standard errors an interval reaches to either side.

    G. W. Hill, "Algorithm 396: Student's t-quantiles" (1970): exact for one and two degrees of
    freedom, to five digits and more for others, whole or not.

    Args:
        confidence: Above 0, below 1.
        freedom: Degrees of freedom, at least 1.
    """
    outside = 1 - confidence
    if freedom < 2:  # noqa: PLR2004
        # there is no simple formula between one and two: take the wider interval
        return 1 / math.tan(outside * math.pi / 2)
    if freedom == 2:  # noqa: PLR2004
        return math.sqrt(2 / (outside * (2 - outside)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    x = d * outside
    y = x ** (2 / freedom)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(outside / 2)
        y = x * x
        if freedom < 5:  # noqa: PLR2004
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = (
            (
                1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3)
                + 0.5 / (freedom + 4)
            )
            * y
            - 1
        ) * (freedom + 1) / (freedom + 2) + 1 / y
    return math.sqrt(freedom * y)
