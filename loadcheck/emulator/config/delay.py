"""A delay: a duration, or a table that describes a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from loadcheck.emulator.config.model import DelayDistribution

if TYPE_CHECKING:
    from loadcheck.emulator.config.reader import Reader


def read_delay(top: Reader, key: str, default: DelayDistribution) -> DelayDistribution:
    """Read a delay: ``"2s"``, ``{ min, max }`` (uniform) or ``{ median, p99 }`` (heavy-tailed)."""
    if key not in top.table:
        return default
    if not isinstance(top.table[key], Mapping):
        return DelayDistribution("fixed", top.duration_ms(key, default.first_ms))
    table = top.sub(key)
    if table is None or not table.table.keys() & {"min", "max", "median", "p99"}:
        top.problem(key, "an empty table", "expected { min, max } or { median, p99 }")
        return default
    if "median" in table.table:
        table.only({"median", "p99"})
        median, p99 = table.duration_ms("median", 1.0), table.duration_ms("p99", 1.0)
        if not 0 < median <= p99:
            top.problem(key, "p99 is below the median, or the median is 0", "expected more")
            return default
        return DelayDistribution("lognormal", median, p99)
    table.only({"min", "max"})
    low, high = table.duration_ms("min", 0.0), table.duration_ms("max", 0.0)
    if high < low:
        top.problem(key, "max is below min", "expected max of at least min")
    return DelayDistribution("uniform", low, high)
