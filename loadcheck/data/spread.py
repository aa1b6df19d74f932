"""A number that is fixed, or drawn by the copy's number: how long to think, how often to come."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from loadcheck.data.order import Bits, blockwise, key_of, mixed

Kind = Literal["fixed", "uniform", "normal", "lognormal"]
KINDS: Final[dict[str, tuple[str, str]]] = {
    "normal": ("mean", "sd"),
    "lognormal": ("median", "p99"),
}
"""Distributions by two parameters that have names."""

_STEP: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB
_MASK: Final = 2**64 - 1
_DEVIATES: Final = NormalDist()
_Z_99: Final = 2.3263478740408408
_STEPS: Final = 4096
"""So many quantiles of a distribution make its mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A fixed number, or a distribution.

    Attributes:
        kind: Which.
        first: The number; the least; the mean; the median.
        second: The most; the standard deviation; the 99th percentile.
        bounds: What is drawn beyond them is taken for the nearer one.
    """

    kind: Kind = "fixed"
    first: float
    second: float = 0.0
    bounds: tuple[float, float] = (0.0, math.inf)

    def quantile(self, share: float) -> float:
        """Return what is not exceeded by a share of all that is drawn, above 0 and below 1."""
        if self.kind == "fixed":
            return self.first
        if self.kind == "uniform":
            found = self.first + (self.second - self.first) * share
        elif self.kind == "normal":
            found = self.first + self.second * _DEVIATES.inv_cdf(share)
        else:
            spread = math.log(self.second / self.first) / _Z_99
            found = self.first * math.exp(spread * _DEVIATES.inv_cdf(share))
        least, most = self.bounds
        return min(max(found, least), most)

    @property
    def mean(self) -> float:
        """The mean of what is drawn."""
        if self.kind == "fixed":
            return self.first
        return math.fsum(self.quantile((i + 0.5) / _STEPS) for i in range(_STEPS)) / _STEPS

    def of(self, seed: int, name: str) -> Callable[[int, int], float]:
        """Return what draws from a copy's number and how often it has drawn before.

        Args:
            seed: The run's.
            name: What is drawn; two are not drawn in step.
        """
        if self.kind == "fixed":
            return lambda _number, _turn: self.first
        key, quantile = key_of(seed, name), self.quantile

        def draw(number: int, turn: int) -> float:
            return quantile(_share(number * _STEP + key + turn * _MIX_1))

        return draw

    def whole(self, seed: int, name: str) -> Callable[[Bits], npt.NDArray[np.int64]]:
        """Return what draws whole numbers, for many copies at once."""
        key = key_of(seed, name)

        def draw(numbers: Bits) -> npt.NDArray[np.int64]:
            if self.kind == "fixed":
                return np.full(len(numbers), round(self.first), dtype=np.int64)
            shares = (mixed(numbers, key) >> np.uint64(11)).tolist()
            found = [round(self.quantile((share + 0.5) / 2**53)) for share in shares]
            return np.array(found, dtype=np.int64)

        return draw


def counter(draw: Callable[[Bits], npt.NDArray[np.int64]]) -> Callable[[int], int]:
    """Return what gives one copy's whole number, of those that are drawn for many at once."""
    of: Callable[[int], int] = blockwise(lambda numbers: draw(numbers).tolist())
    return of


def _share(bits: int) -> float:
    """Return a share above 0 and below 1 (splitmix64, S. Vigna)."""
    bits &= _MASK
    bits = ((bits ^ bits >> 30) * _MIX_1) & _MASK
    bits = ((bits ^ bits >> 27) * _MIX_2) & _MASK
    return (((bits ^ bits >> 31) >> 11) + 0.5) / 2**53
