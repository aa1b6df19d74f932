"""Latency histograms: HdrHistogram's buckets, filled many samples at a time.

Samples are kept in a small buffer and put into their buckets by one vector operation, at about a
tenth of the cost of recording each on its own. The buckets, their encoding and its readers are
those of the ``hdrhistogram`` package.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from loadcheck.measure import Recorded, Sparse, pack, unpack

LOWEST_US = 1
HIGHEST_US = 3_600_000_000

Places = npt.NDArray[np.int64]


class BucketLayout:
    """Which bucket holds which durations, in microseconds, at a number of significant digits.

    Attributes:
        digits: Significant digits.
        size: Number of buckets.
        lowest_us: The lowest whole value of each bucket.
        highest_us: The highest whole value of each bucket.
    """

    def __init__(self, digits: int) -> None:
        self.digits = digits
        hdr = self.histogram()
        self._mask = hdr.sub_bucket_mask
        self._half_bits = hdr.sub_bucket_half_count_magnitude
        self._half = hdr.sub_bucket_half_count
        self.size = int(hdr.counts_len)
        places = np.arange(self.size, dtype=np.int64)
        bucket = np.maximum((places >> self._half_bits) - 1, 0)
        within = np.where(places < 2 * self._half, places, (places & (self._half - 1)) + self._half)
        self.lowest_us = within << bucket
        self.highest_us = ((within + 1) << bucket) - 1

    def histogram(self) -> Any:
        """Return an empty HdrHistogram of this layout."""
        return HdrHistogram(LOWEST_US, HIGHEST_US, self.digits)

    def places(self, micros: Places) -> Places:
        """Return the index of the bucket that holds each value; none may be above the range."""
        bits = np.frexp((micros | self._mask).astype(np.float64))[1].astype(np.int64)
        bucket = bits - (self._half_bits + 1)
        places: Places = (bucket << self._half_bits) + (micros >> bucket)
        return places

    def coarser(self, other: BucketLayout) -> Places:
        """Return for each bucket the one of a layout with fewer digits that holds it whole."""
        return other.places(np.minimum(self.lowest_us, HIGHEST_US))


@cache
def layout(digits: int) -> BucketLayout:
    """Return the layout with this many significant digits."""
    return BucketLayout(digits)


_MOST_BYTES = 1 << 20  # a histogram of three digits with every bucket filled is below 250 kB
_COOKIES = struct.Struct(">ii")  # of the compressed form, and the length of what follows
_HEADER = struct.Struct(">iiiiqqd")  # cookie, length, offset, digits, lowest, highest, ratio


def decode_hdr(text: str, digits: int) -> Any:
    """Return an HdrHistogram from its V2 encoding, compressed and in base64.

    Its inflated size is checked before the library inflates it without bounds.

    Raises:
        ValueError: It is not such an encoding, or of another range or precision.
    """
    try:
        packed = base64.b64decode(text.encode("ascii"), validate=True)
        inflater = zlib.decompressobj()
        plain = inflater.decompress(packed[_COOKIES.size :], _MOST_BYTES)
        _, _, _, found, lowest, highest, _ = _HEADER.unpack_from(plain)
    except Exception as error:
        raise ValueError(f"not an HdrHistogram in V2 encoding: {error}") from error
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError("not an HdrHistogram in V2 encoding: too long, or truncated")
    if (found, lowest, highest) != (digits, LOWEST_US, HIGHEST_US):
        raise ValueError(f"an HdrHistogram of another range, or not of {digits} digits")
    try:
        return HdrHistogram.decode(text.encode("ascii"))
    except Exception as error:
        raise ValueError(f"not an HdrHistogram in V2 encoding: {error}") from error


SIGNIFICANT_DIGITS = 3

_BUFFERED = 1024
_NS_PER_US = 1000

Counts = npt.NDArray[np.uint64]
Durations = npt.NDArray[np.int64]


class Histogram(Recorded):
    """A distribution of durations, recorded in nanoseconds and kept in microseconds.

    Three significant digits between one microsecond and one hour. Longer samples are not silently
    dropped, as ``HdrHistogram.record_value`` would do: they are counted in :attr:`above_range`, and
    a percentile that falls there is reported as the true maximum.

    Args:
        feed: Called before anything is read, to hand samples that wait elsewhere to :meth:`add`.
    """

    __slots__ = ("_above_range", "_buffer", "_counts", "_feed", "_max_ns", "_min_ns")

    def __init__(self, feed: Callable[[], None] | None = None) -> None:
        # zeroed pages cost nothing until something is counted in them
        self._counts: Counts = np.zeros(layout(SIGNIFICANT_DIGITS).size, dtype=np.uint64)
        self._buffer = array("q")
        self._feed = feed
        self._above_range = 0
        self._min_ns = -1
        self._max_ns = 0

    def __getstate__(self) -> tuple[Sparse, int, int, int]:
        self._fold()
        return pack(self._counts[: self._used]), self._above_range, self._min_ns, self._max_ns

    def __setstate__(self, state: tuple[Sparse, int, int, int]) -> None:
        Histogram.__init__(self)
        packed, self._above_range, self._min_ns, self._max_ns = state
        unpack(packed, self._counts)

    def feed_from(self, feed: Callable[[], None]) -> Histogram:
        """Call ``feed`` before anything is read, from now on; return the histogram."""
        self._feed = feed
        return self

    def record(self, duration_ns: int) -> None:
        """Add one sample; a negative one counts as zero."""
        buffer = self._buffer
        buffer.append(duration_ns)
        if len(buffer) >= _BUFFERED:
            self._fold()

    def add(self, durations: Durations, also: Histogram | None = None) -> Places:
        """Add many samples at once.

        Args:
            durations: In nanoseconds; at least one.
            also: Another histogram to add them to, at a fraction of the cost of a second call.

        Returns:
            The bucket of each, at this histogram's precision; the last one for those above the
            range.
        """
        samples = np.maximum(durations, 0)
        low, high = int(samples.min()), int(samples.max())
        micros = (samples + _NS_PER_US // 2) // _NS_PER_US
        buckets = layout(SIGNIFICANT_DIGITS)
        if high <= HIGHEST_US * _NS_PER_US:
            inside = places = buckets.places(micros)
        else:
            places = buckets.places(np.minimum(micros, HIGHEST_US))
            inside = places[micros <= HIGHEST_US]
        above = places.size - inside.size
        self._enter(inside, above, low, high)
        if also is not None:
            also._enter(inside, above, low, high)  # noqa: SLF001  # of the same class
        return places

    def _enter(self, inside: Places, above: int, low_ns: int, high_ns: int) -> None:
        self._min_ns = low_ns if self._min_ns < 0 else min(self._min_ns, low_ns)
        self._max_ns = max(self._max_ns, high_ns)
        self._above_range += above
        np.add.at(self._counts, inside, np.uint64(1))

    def _fold(self) -> None:
        """Move waiting samples into their buckets."""
        if self._feed is not None:
            self._feed()
        if self._buffer:
            self.add(np.frombuffer(self._buffer, dtype=np.int64))
            self._buffer = array("q")  # the view has locked the old one against resizing

    @property
    def _used(self) -> int:
        """Number of buckets up to the longest sample's; most buckets are for longer ones."""
        longest_us = -(-self._max_ns // _NS_PER_US)
        return int(np.searchsorted(layout(SIGNIFICANT_DIGITS).lowest_us, longest_us, side="right"))

    @property
    def count(self) -> int:
        """Samples recorded, those above the range included."""
        self._fold()
        return int(self._counts.sum()) + self._above_range

    @property
    def above_range(self) -> int:
        """Samples longer than the range holds."""
        self._fold()
        return self._above_range

    @property
    def max_ns(self) -> int:
        """The longest sample, exact; 0 if there is none."""
        self._fold()
        return self._max_ns

    @property
    def min_ns(self) -> int:
        """The shortest sample, exact; 0 if there is none."""
        self._fold()
        return max(self._min_ns, 0)

    def counts(self) -> Counts:
        """Return a copy of the bucket counts, to be subtracted from later ones."""
        self._fold()
        return self._counts.copy()

    def gain(self, seen: Counts) -> Counts:
        """Return the counts gained since ``seen``, of the buckets in use, and update ``seen``.

        Args:
            seen: What :meth:`counts` returned earlier.
        """
        self._fold()
        now, before = self._counts[: self._used], seen[: self._used]
        gained = now - before
        before[:] = now
        return gained

    def percentile_ms(self, percentile: float) -> float | None:
        """Return the duration that ``percentile`` percent of the samples do not exceed, in ms.

        By nearest rank: the highest value of the bucket, but never above the true maximum.

        Args:
            percentile: 0 to 100.

        Returns:
            The duration; None if there is no sample.
        """
        return self.percentiles_ms([percentile])[0]

    def percentiles_ms(self, percentiles: Sequence[float]) -> list[float | None]:
        """Return several percentiles at once, as :meth:`percentile_ms` gives each."""
        self._fold()
        counts, above = self._counts[: self._used], self._above_range
        return percentiles_of(counts, percentiles, max_ns=self._max_ns, above_range=above)

    def encode(self) -> str:
        """Return the HdrHistogram V2 encoding, compressed and in base64; the unit is 1 µs."""
        self._fold()
        hdr = layout(SIGNIFICANT_DIGITS).histogram()
        np.ctypeslib.as_array(hdr.counts)[:] = self._counts
        hdr.total_count = int(self._counts.sum())
        hdr.min_value = max(self._min_ns, 0) // _NS_PER_US if hdr.total_count else 0
        hdr.max_value = min(-(-self._max_ns // _NS_PER_US), HIGHEST_US)
        return str(hdr.encode().decode("ascii"))

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Read what :meth:`encode` wrote; extremes are then known to the bucket's width.

        Raises:
            ValueError: The text is not a histogram in V2 encoding.
        """
        source = decode_hdr(text, SIGNIFICANT_DIGITS)
        histogram = cls()
        counts = np.ctypeslib.as_array(source.counts)
        if counts.size != histogram._counts.size:
            raise ValueError("an HdrHistogram of another range or precision")
        histogram._counts[:] = counts
        filled = np.flatnonzero(counts)
        if filled.size:
            low, high = int(filled[0]), int(filled[-1])
            histogram._min_ns = int(source.get_value_from_index(low)) * _NS_PER_US
            top = source.get_highest_equivalent_value(source.get_value_from_index(high))
            histogram._max_ns = int(top) * _NS_PER_US
        return histogram

    def __add__(self, other: Histogram) -> Histogram:
        merged = Histogram()
        for part in (self, other):
            part._fold()
            merged._counts += part._counts
            merged._above_range += part._above_range
            merged._max_ns = max(merged._max_ns, part._max_ns)
            if part._min_ns >= 0:
                unset = merged._min_ns < 0
                merged._min_ns = part._min_ns if unset else min(merged._min_ns, part._min_ns)
        return merged


def percentiles_of(
    counts: Counts, percentiles: Sequence[float], *, max_ns: int, above_range: int = 0
) -> list[float | None]:
    """Return percentiles of bucket counts in ms, as :meth:`Histogram.percentile_ms` does.

    Args:
        counts: Counts of the first buckets, or of all.
        percentiles: 0 to 100.
        max_ns: The longest sample.
        above_range: Samples longer than the range holds.
    """
    filled = np.flatnonzero(counts != 0)
    reached = np.cumsum(counts[filled])
    within = int(reached[-1]) if filled.size else 0
    total = within + above_range
    highest_us = layout(SIGNIFICANT_DIGITS).highest_us
    found: list[float | None] = []
    for percentile in percentiles:
        # rounded first, so that 99.9 % of 1000 is rank 999 in spite of binary fractions
        rank = max(1, math.ceil(round(percentile * total / 100, 6)))
        if rank > within:
            found.append(max_ns / 1e6 if total else None)
            continue
        index = int(filled[np.searchsorted(reached, rank)])
        found.append(min(int(highest_us[index]) * _NS_PER_US, max_ns) / 1e6)
    return found
