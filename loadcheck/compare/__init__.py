"""Runs beside runs: is the candidate worse than the base, and is that not noise?"""

from loadcheck.compare.comparison import Stored, compare
from loadcheck.result.schema_comparison import SCHEMA

__all__ = ["SCHEMA", "Stored", "compare"]
