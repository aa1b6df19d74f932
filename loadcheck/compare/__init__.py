"""Statistical comparison of results files."""

from loadcheck.compare.comparison import Stored, compare
from loadcheck.result.schema_comparison import SCHEMA

__all__ = ["SCHEMA", "Stored", "compare"]
