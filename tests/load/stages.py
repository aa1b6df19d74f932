"""Stages of a load, for tests that do not care for their names."""

from __future__ import annotations

from loadcheck.scenario.model import Stage


def stage(duration_s: float, rate: float, end_rate: float, name: str = "") -> Stage:
    """Return a stage in which the rate goes from ``rate`` to ``end_rate``."""
    return Stage(name=name, duration_s=duration_s, rate=rate, end_rate=end_rate)
