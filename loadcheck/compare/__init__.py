"""Statistical comparison of results files."""

from loadcheck.compare.comparison import Stored, compare

__all__ = ["Stored", "compare"]
