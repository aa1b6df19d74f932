"""Runs beside runs: is the candidate worse than the base, and is that not noise?"""

from loadcheck.compare.comparison import SCHEMA, Stored, compare

__all__ = ["SCHEMA", "Stored", "compare"]
