"""Which row of a file a copy takes, and numbers drawn by the copy's number.

Each is a pure function of the seed and that number. What is drawn may be fixed: how long to think,
how often to come.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Kind = Literal["fixed", "uniform", "normal", "lognormal"]
KINDS: Final[dict[str, tuple[str, str]]] = {
    "normal": ("mean", "sd"),
    "lognormal": ("median", "p99"),
}
"""Distributions by two parameters that have names."""

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
        return self._quantiles()(share)

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
        key, quantile = key_of(seed, name), self._quantiles()

        def draw(number: int, turn: int) -> float:
            # splitmix64 (S. Vigna): a share above 0 and below 1
            bits = (number * _STEP + key + turn * _MIX_1) & _BITS_64
            bits = ((bits ^ bits >> 30) * _MIX_1) & _BITS_64
            bits = ((bits ^ bits >> 27) * _MIX_2) & _BITS_64
            return quantile((((bits ^ bits >> 31) >> 11) + 0.5) * 2**-53)

        return draw

    def _quantiles(self) -> Callable[[float], float]:
        """Return :meth:`quantile` with what is the same for all shares worked out before."""
        first, second, (least, most) = self.first, self.second, self.bounds
        normal, exp = _DEVIATES.inv_cdf, math.exp
        # a bound that cannot be met is not looked for: each draw would pay for it
        is_free = first >= 0 == least and most == math.inf
        if self.kind == "uniform":
            width = second - first
            if is_free:
                return lambda share: first + width * share
            return lambda share: min(max(first + width * share, least), most)
        if self.kind == "normal":
            return lambda share: min(max(first + second * normal(share), least), most)
        spread = math.log(second / first) / _Z_99
        if is_free:
            return lambda share: first * exp(spread * normal(share))
        return lambda share: min(max(first * exp(spread * normal(share)), least), most)

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


Order = Literal["sequential", "shuffle", "random", "once"]
End = Literal["cycle", "stop", "error"]

BLOCK: Final = 128
"""Copies whose values are made at once: the load is held up for some 50 µs."""
_KEPT: Final = 64
"""Blocks: uploads of sessions come back to numbers that others have passed."""
_FEW: Final = 16
"""Numbers that are permuted one by one: numpy takes as long for one as for a hundred."""
_ONE_CYCLE: Final = 64
"""Rows that are shuffled as one, at least: tables are made for each round of a file."""
_STEP: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB
_ALL_1, _ALL_2 = np.uint64(_MIX_1), np.uint64(_MIX_2)
_ROUNDS: Final = 4
_BITS_64: Final = 2**64 - 1

Bits = npt.NDArray[np.uint64]


def key_of(*words: object) -> int:
    """Return 64 bits that stand for some words."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def mixed(numbers: Bits, key: int) -> Bits:
    """Return 64 even bits for each number (splitmix64, S. Vigna)."""
    found = numbers * np.uint64(_STEP) + np.uint64(key & _BITS_64)
    found ^= found >> np.uint64(30)
    found *= _ALL_1
    found ^= found >> np.uint64(27)
    found *= _ALL_2
    found ^= found >> np.uint64(31)
    return found


class Series(NamedTuple):
    """Values that are made for several copies at once.

    Attributes:
        make: Gives the values of copies whose numbers follow each other.
        size: How many copies: a power of two, of which the first number is a multiple.
    """

    make: Callable[[Bits], Sequence[Any]]
    size: int = BLOCK

    def cut(self, size: int) -> Series:
        """Return the same values, so many at once: a power of two that is no more than now."""
        if size == self.size:
            return self
        last: tuple[int, Sequence[Any]] = (-1, ())

        def make(numbers: Bits) -> Sequence[Any]:
            nonlocal last
            first = int(numbers[0])
            begin = first - first % self.size
            if last[0] != begin:
                whole = np.arange(begin, begin + self.size, dtype=np.uint64)
                last = begin, self.make(whole)
            return last[1][first - begin : first - begin + size]

        return Series(make, size)


def blockwise(make: Callable[[Bits], Sequence[Any]], size: int = BLOCK) -> Callable[[int], Any]:
    """Return a function of a copy's number that is computed for several copies at once.

    Args:
        make: Gives the values of copies, from their numbers.
        size: How many copies: a power of two.
    """
    kept: dict[int, Sequence[Any]] = {}
    shift, within = size.bit_length() - 1, size - 1

    def block(place: int) -> Sequence[Any]:
        while len(kept) >= _KEPT:
            del kept[next(iter(kept))]
        first = place << shift
        made = kept[place] = make(np.arange(first, first + size, dtype=np.uint64))
        return made

    def of(number: int) -> Any:
        place = number >> shift
        return (kept.get(place) or block(place))[number & within]

    return of


def permuted(numbers: Bits, size: int, keys: Bits) -> Bits:
    """Return what takes the place of numbers below ``size`` in keyed permutations.

    A Feistel network over a power of four, and cycle walking down to the size.

    Args:
        numbers: The numbers.
        size: How many there are.
        keys: For each number, which permutation.
    """
    half = _half(size)
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    found = numbers.copy()
    walking = np.arange(len(found))
    while walking.size:
        left, right, key = found[walking] >> shift, found[walking] & mask, keys[walking]
        for turn in range(_ROUNDS):
            hashed = mixed(right + key, turn) >> np.uint64(32)
            left, right = right, left ^ (hashed & mask)
        found[walking] = left << shift | right
        walking = walking[found[walking] >= size]
    return found


def _half(size: int) -> int:
    """Return how many bits each half of a number below ``size`` has."""
    return max(1, ((size - 1).bit_length() + 1) // 2)


class _Permutation:
    """One keyed permutation, as :func:`permuted` has it, its rounds tabulated.

    Args:
        size: Of how many numbers.
        key: Which.
    """

    def __init__(self, size: int, key: int) -> None:
        self.key = key
        self._size, self._half = size, _half(size)
        halves = np.arange(1 << self._half, dtype=np.uint64) + np.uint64(key)
        mask = np.uint64((1 << self._half) - 1)
        self._rounds = [
            (mixed(halves, turn) >> np.uint64(32) & mask).astype(np.int64)
            for turn in range(_ROUNDS)
        ]
        self._lists = [each.tolist() for each in self._rounds]

    def of(self, numbers: npt.NDArray[np.int64]) -> list[int]:
        """Return what takes the place of some numbers."""
        half, mask = self._half, (1 << self._half) - 1
        found, walking = numbers.copy(), np.arange(len(numbers))
        while walking.size > _FEW:
            lefts, rights = found[walking] >> half, found[walking] & mask
            for row in self._rounds:
                lefts, rights = rights, lefts ^ row[rights]
            found[walking] = now = lefts << half | rights
            walking = walking[now >= self._size]
        listed: list[int] = found.tolist()
        for place in walking.tolist():
            number = listed[place]
            while True:
                left, right = number >> half, number & mask
                for each in self._lists:
                    left, right = right, left ^ each[right]
                number = left << half | right
                if number < self._size:
                    break
            listed[place] = number
        return listed


def rows_of(order: Order, rows: int, seed: int, name: str) -> Callable[[Bits], Sequence[int]]:
    """Return what gives the rows of copies from their numbers.

    Past the last row it starts again: a shuffle in another order each time.

    Args:
        order: How rows are taken.
        rows: How many there are, at least one.
        seed: The run's.
        name: The file's; two files are not taken in step.
    """
    key, size = key_of(seed, name, order), np.uint64(rows)

    def drawn(numbers: Bits) -> list[int]:
        return [bits * rows >> 64 for bits in mixed(numbers, key).tolist()]

    last: _Permutation | None = None

    def shuffled(numbers: Bits) -> list[int]:
        nonlocal last
        cycles = numbers // size
        first, end = (int(cycles[0]), int(cycles[-1])) if cycles.size else (0, 2)
        if rows < _ONE_CYCLE or end - first > 1 or (np.diff(cycles.view(np.int64)) < 0).any():
            shuffle: list[int] = permuted(numbers % size, rows, mixed(cycles, key)).tolist()
            return shuffle
        found: list[int] = []
        within, parted = (numbers % size).view(np.int64), int(np.searchsorted(cycles, end))
        for cycle, part in ((first, within[:parted]), (end, within[parted:])):
            if part.size:
                own = int(mixed(np.array([cycle], dtype=np.uint64), key)[0])
                if last is None or last.key != own:
                    last = _Permutation(rows, own)
                found += last.of(part)
        return found

    def in_order(numbers: Bits) -> list[int]:
        found: list[int] = (numbers % size).tolist()
        return found

    return {"random": drawn, "shuffle": shuffled}.get(order, in_order)
