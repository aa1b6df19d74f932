"""Which row of a file a copy takes, and random numbers that depend on the copy.

Both are pure functions of the seed and the copy's number.
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
"""Distributions → the names of their two parameters."""

_DEVIATES: Final = NormalDist()
_Z_99: Final = 2.3263478740408408
_STEPS: Final = 4096
"""How many quantiles the mean of a distribution is computed from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A fixed number, or a distribution.

    Attributes:
        kind: Which one.
        first: The number if fixed; else, in the order of :data:`Kind`, minimum, mean or median.
        second: Likewise maximum, standard deviation or 99th percentile.
        bounds: Numbers drawn outside them are replaced by the nearer one.
    """

    kind: Kind = "fixed"
    first: float
    second: float = 0.0
    bounds: tuple[float, float] = (0.0, math.inf)

    def quantile(self, share: float) -> float:
        """Return the quantile of a share above 0 and below 1."""
        if self.kind == "fixed":
            return self.first
        return self._quantiles()(share)

    @property
    def mean(self) -> float:
        """The mean of the numbers drawn."""
        if self.kind == "fixed":
            return self.first
        return math.fsum(self.quantile((i + 0.5) / _STEPS) for i in range(_STEPS)) / _STEPS

    def of(self, seed: int, name: str) -> Callable[[int, int], float]:
        """Return a function that draws a number for a copy's number and a turn of that copy.

        Args:
            seed: The run's seed.
            name: What the numbers are for: different names draw independently.
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
        """Return :meth:`quantile` as a function, with everything that is constant precomputed."""
        first, second, (least, most) = self.first, self.second, self.bounds
        normal, exp = _DEVIATES.inv_cdf, math.exp
        # bounds that cannot be exceeded are not checked: every draw would pay for it
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
        """Return a function that draws whole numbers for many copies at once."""
        key = key_of(seed, name)

        def draw(numbers: Bits) -> npt.NDArray[np.int64]:
            if self.kind == "fixed":
                return np.full(len(numbers), round(self.first), dtype=np.int64)
            shares = (mixed(numbers, key) >> np.uint64(11)).tolist()
            found = [round(self.quantile((share + 0.5) / 2**53)) for share in shares]
            return np.array(found, dtype=np.int64)

        return draw


def counter(draw: Callable[[Bits], npt.NDArray[np.int64]]) -> Callable[[int], int]:
    """Return a function of one copy's number from one that draws for many copies at once."""
    of: Callable[[int], int] = blockwise(lambda numbers: draw(numbers).tolist())
    return of


Order = Literal["sequential", "shuffle", "random", "once"]
End = Literal["cycle", "stop", "error"]

BLOCK: Final = 128
"""Copies whose values are computed at once: this delays the load by some 50 µs."""
_KEPT: Final = 64
"""Blocks kept in memory: uploads of sessions return to numbers that other copies have passed."""
_FEW: Final = 16
"""Up to this many numbers are permuted one by one: numpy takes as long for one as for a hundred."""
_ONE_CYCLE: Final = 64
"""Files of fewer rows are shuffled without tables, which would be rebuilt for every cycle."""
_STEP: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB
_ALL_1, _ALL_2 = np.uint64(_MIX_1), np.uint64(_MIX_2)
_ROUNDS: Final = 4
_BITS_64: Final = 2**64 - 1

Bits = npt.NDArray[np.uint64]


def key_of(*words: object) -> int:
    """Return a 64-bit hash of some words."""
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def mixed(numbers: Bits, key: int) -> Bits:
    """Return a uniform 64-bit hash of each number (splitmix64, S. Vigna)."""
    found = numbers * np.uint64(_STEP) + np.uint64(key & _BITS_64)
    found ^= found >> np.uint64(30)
    found *= _ALL_1
    found ^= found >> np.uint64(27)
    found *= _ALL_2
    found ^= found >> np.uint64(31)
    return found


class BlockValues(NamedTuple):
    """Values that are computed for several copies at once.

    Attributes:
        make: Returns the values of ``size`` copies with consecutive numbers.
        size: How many copies: a power of two; the first number is a multiple of it.
    """

    make: Callable[[Bits], Sequence[Any]]
    size: int = BLOCK

    def cut(self, size: int) -> BlockValues:
        """Return the same values, made ``size`` at once: a power of two, at most ``self.size``."""
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

        return BlockValues(make, size)


def blockwise(make: Callable[[Bits], Sequence[Any]], size: int = BLOCK) -> Callable[[int], Any]:
    """Return a function of a copy's number whose values are computed for several copies at once.

    Args:
        make: Returns the values of copies, given their numbers.
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
    """Return the images of numbers under keyed permutations of 0 to ``size`` - 1.

    A Feistel network over a power of four, with cycle walking down to ``size``.

    Args:
        numbers: The numbers, below ``size``.
        size: How many numbers are permuted.
        keys: For each number, the key of its permutation.
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
    """One keyed permutation of :func:`permuted`, with its rounds tabulated.

    Args:
        size: How many numbers are permuted.
        key: The key.
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
        """Return the images of some numbers."""
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
    """Return a function from copies' numbers to the numbers of their rows, from 0.

    After the last row it starts again; a shuffle then uses a different order.

    Args:
        order: How rows are taken.
        rows: How many rows the file has, at least one.
        seed: The run's seed.
        name: The file's name: rows of different files are taken independently.
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
