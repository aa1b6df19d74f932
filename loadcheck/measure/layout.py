"""The buckets of an HdrHistogram, for whole arrays of values at once."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

LOWEST_US = 1
HIGHEST_US = 3_600_000_000

Places = npt.NDArray[np.int64]


class Layout:
    """Which bucket holds which durations, in microseconds, at a number of significant digits.

    Attributes:
        digits: Significant digits.
        size: Number of buckets.
        lowest_us: The lowest whole value of each bucket.
        highest_us: The highest.
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
        """Return the index of the bucket that holds each value; none is above the range."""
        bits = np.frexp((micros | self._mask).astype(np.float64))[1].astype(np.int64)
        bucket = bits - (self._half_bits + 1)
        places: Places = (bucket << self._half_bits) + (micros >> bucket)
        return places

    def coarser(self, other: Layout) -> Places:
        """Return for each bucket the one of a layout with fewer digits that holds it whole."""
        return other.places(np.minimum(self.lowest_us, HIGHEST_US))


@cache
def layout(digits: int) -> Layout:
    """Return the layout of so many significant digits."""
    return Layout(digits)
