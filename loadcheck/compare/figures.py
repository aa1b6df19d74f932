"""Which figures of a run are compared, and what a difference in each of them means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}
"""By name as in the results file."""
OF_STAGE = ("p50", "p99")
"""Of each stage of a load that has several, by the headline time of steps that copies run."""
VISIBLE = ("p50", "p95", "p99")
FEWEST_BEYOND = 10
"""A percentile is compared if at least this many samples lie beyond it."""

_TIME_FLOOR_MS = 0.1
_OWN_FLOOR_MS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        key: As thresholds name it: ``uploadEvents.response_time.p99``, ``error_rate``.
        group: What stands above its row: "uploadEvents response time".
        name: What stands in its row: "p99".
        unit: Of its values.
        better: Which direction is.
        about: Whose it is: a generator that does worse is no regression of the target.
        core: If this figure is inconclusive, so is the whole comparison.
        floor: A difference that is as good as none, in its unit, however small the base.
    """

    key: str
    group: str
    name: str
    unit: Literal["ms", "1/s", "ratio", "count"]
    better: Literal["less", "more"] = "less"
    about: Literal["target", "generator"] = "target"
    core: bool = False
    floor: float = 0.0

    def named(self) -> dict[str, str | bool]:
        """Return what files say of it whatever its values are."""
        return {
            "key": self.key,
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "better": self.better,
            "about": self.about,
            "core": self.core,
        }


def label(percentile: str) -> str:
    """Return the name of a percentile for people: p99.9 for p999."""
    return "p99.9" if percentile == "p999" else percentile


def time_of_step(step: str, time: str, percentile: str, *, core: bool = False) -> Figure:
    """Return a percentile of a step's response or service time."""
    return Figure(
        key=f"{step}.{time}.{label(percentile)}",
        group=f"{step} {time.replace('_', ' ')}",
        name=label(percentile),
        unit="ms",
        core=core,
        floor=_TIME_FLOOR_MS,
    )


def time_of_stage(stage: str, step: str, time: str, percentile: str) -> Figure:
    """Return the same of the copies that were due in one stage of the load."""
    whole = time_of_step(step, time, percentile)
    return replace(whole, key=f"{stage}: {whole.key}", group=f"{stage}: {whole.group}")


def errors_of_step(step: str) -> Figure:
    """Return the share of a step's attempts that failed."""
    return Figure(key=f"{step}.error_rate", group=f"{step} attempts", name="failed", unit="ratio")


def lateness(percentile: str) -> Figure:
    """Return a percentile of the lateness."""
    return Figure(
        key=f"lateness.{label(percentile)}",
        group="the generator",
        name=f"lateness {label(percentile)}",
        unit="ms",
        about="generator",
        floor=_OWN_FLOOR_MS,
    )


def visible(percentile: str) -> Figure:
    """Return a percentile of the time until a user is counted."""
    return Figure(
        key=f"visible.{percentile}",
        group="the count",
        name=f"visible {percentile}",
        unit="ms",
    )


RATE = Figure(key="rate", group="the load", name="reached", unit="1/s", better="more")
ERRORS = Figure(key="error_rate", group="the load", name="not acknowledged", unit="ratio")
SKIPPED = Figure(key="skipped", group="the load", name="skipped", unit="ratio")
COUNTS = {
    "lost": ("lost_at_least", "lost_at_most"),
    "duplicated": ("duplicated", "duplicated"),
    "unexpected": ("unexpected", "unexpected"),
    "missing_events": ("missing_events", "missing_events_at_most"),
}
"""What is counted exactly, and where its bounds stand in the results file."""


def counted(name: str) -> Figure:
    """Return a figure of :data:`COUNTS`."""
    return Figure(key=name, group="the count", name=name.replace("_", " "), unit="count")
