"""Which figures are compared, which runs are comparable, and which differences matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from loadcheck.result import Document

_MATTERS = (
    "workflow.id",
    "workflow.sha256",
    "load",
    "limits",
    "target.kind",
    "target.servers",
    "target.transport",
)
_SENDERS = ("load.workers", "load.prefixes")
"""Who sends the load, which is the same to the target: a pod's name differs from run to run."""
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something in which two runs differ.

    Attributes:
        file: The run that differs from the first one.
        key: Dotted path.
        base: Value in the first run; None if absent.
        candidate: Value in the other run; None if absent.
        matters: Whether it makes the runs incomparable.
    """

    file: str
    key: str
    base: Any
    candidate: Any
    matters: bool

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.base)} and {_shown(self.candidate)}"


def differences(first: Document, other: Document, file: str) -> list[Difference]:
    """Return the differences of a run from the first one, those that matter first."""
    left, right = dict(facts(first)), dict(facts(other))
    found = []
    for key in [*left, *(key for key in right if key not in left)]:
        base, candidate = left.get(key, _ABSENT), right.get(key, _ABSENT)
        if base != candidate:
            found.append(
                Difference(
                    file=file,
                    key=key,
                    base=None if base is _ABSENT else base,
                    candidate=None if candidate is _ABSENT else candidate,
                    matters=_matters(key),
                )
            )
    return sorted(found, key=lambda one: not one.matters)


def identity(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the facts that must be equal for runs to be comparable.

    Args:
        values: All facts of a run, by dotted path.
    """
    return tuple(sorted(f"{key}={value!r}" for key, value in values.items() if _matters(key)))


def unfinished(document: Document) -> str:
    """Return why a run did not complete as planned; "" if it did."""
    run = document["run"]
    if run["phase"] != "complete":
        return f"was killed: it got as far as {run['phase']}"
    if run["interrupted"]:
        return "was interrupted"
    if run.get("aborted"):
        return f"was stopped early by the threshold {run['aborted']['threshold']}"
    if run["error"]:
        return f"ended early: {run['error']}"
    return ""


def facts(document: Document) -> Iterator[tuple[str, Any]]:
    """Yield the facts that describe a run, by dotted path."""
    scenario, workflow = document["scenario"], document["workflow"]
    yield from _flat("workflow", {key: workflow.get(key) for key in ("id", "sha256")})
    for section in ("load", "limits", "target", "inputs", "retry", "timeouts"):
        if section in scenario:
            yield from _flat(section, scenario[section])
    merged = document["run"].get("merged")
    if merged:  # the load was sent this many times
        yield "load.merged", len(merged)
    yield "scenario", scenario.get("name")
    environment = document["environment"]
    for key in ("loadcheck", "python", "system", "machine", "cpus"):
        if key in environment:
            yield f"environment.{key}", environment[key]


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{path}.{key}", item)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _flat(f"{path}.{index}", item)
    else:
        yield path, value


def _matters(key: str) -> bool:
    return key not in _SENDERS and any(
        key == path or key.startswith(f"{path}.") for path in _MATTERS
    )


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}
"""Percentiles by their names in the results file."""
OF_STAGE = ("p50", "p99")
"""Percentiles of each stage, if there are several: of the headline time of per-copy steps."""
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
        group: Heading above its row: "uploadEvents response time".
        name: Name in its row: "p99".
        unit: Unit of its values.
        better: Which direction is better.
        about: Whose figure it is: a worse generator is not a regression of the target.
        core: If this figure is inconclusive, so is the whole comparison.
        floor: Differences up to this count as none, in its unit, however small the base.
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
        """Return the attributes that files store besides its values."""
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
    """Return the displayed name of a percentile: p99.9 for p999."""
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
    """Return a percentile of a step's time over the copies due in one stage of the load."""
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
"""Figures with proven bounds, and the keys of these bounds in the results file."""


def counted(name: str) -> Figure:
    """Return a figure of :data:`COUNTS`."""
    return Figure(key=name, group="the count", name=name.replace("_", " "), unit="count")
