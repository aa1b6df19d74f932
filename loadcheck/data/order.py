"""Which row of a file a copy takes: a pure function of the seed and the copy's number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Order = Literal["sequential", "shuffle", "random", "once"]
End = Literal["cycle", "stop", "error"]

BLOCK: Final = 128
"""Copies whose values are made at once: the load is held up for some 50 µs."""
_KEPT: Final = 8
_STEP: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
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
    found *= _MIX_1
    found ^= found >> np.uint64(27)
    found *= _MIX_2
    found ^= found >> np.uint64(31)
    return found


def blockwise(
    make: Callable[[Bits], Sequence[Any]], size: int = BLOCK, *, slot: int | None = None
) -> Callable[[Any], Any]:
    """Return a function of a copy's number that is computed for several copies at once.

    Args:
        make: Gives the values of copies, from their numbers.
        size: How many copies: a power of two.
        slot: Where the number stands in what the function is given; None: it is given the number.
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

    def of_frame(frame: Sequence[Any]) -> Any:
        number = frame[slot]  # type: ignore[index]
        place = number >> shift
        return (kept.get(place) or block(place))[number & within]

    return of if slot is None else of_frame


def permuted(numbers: Bits, size: int, keys: Bits) -> Bits:
    """Return what takes the place of numbers below ``size`` in keyed permutations.

    A Feistel network over a power of four, and cycle walking down to the size.

    Args:
        numbers: The numbers.
        size: How many there are.
        keys: For each number, which permutation.
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    found = numbers.copy()
    walking = np.arange(len(found))
    while walking.size:
        left, right, key = found[walking] >> half, found[walking] & mask, keys[walking]
        for turn in range(_ROUNDS):
            hashed = mixed(right + key, turn) >> np.uint64(32)
            left, right = right, left ^ (hashed & mask)
        found[walking] = left << half | right
        walking = walking[found[walking] >= size]
    return found


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

    def shuffled(numbers: Bits) -> list[int]:
        keys = mixed(numbers // size, key)
        found: list[int] = permuted(numbers % size, rows, keys).tolist()
        return found

    def in_order(numbers: Bits) -> list[int]:
        found: list[int] = (numbers % size).tolist()
        return found

    return {"random": drawn, "shuffle": shuffled}.get(order, in_order)
