"""The histograms of a result by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TIMES = ("response_time", "service_time", "failed", "throttled")

Document = Mapping[str, Any]


def histograms(document: Document) -> dict[str, Mapping[str, Any]]:
    """Return the histograms that hold samples, ``uploadEvents.response_time`` and the like.

    The headline comes first: the response time of the step whose outcome is a copy's, or its
    service time if it has no due time of its own.
    """
    steps = document.get("steps", {})
    ingest = document["workflow"].get("ingest")
    ordered = sorted(steps, key=lambda name: name != ingest)
    found = {f"{name}.{kind}": steps[name][kind] for name in ordered for kind in _TIMES}
    if "generator" in document:
        found["lateness"] = document["generator"]["lateness"]
    return {name: times for name, times in found.items() if times and times["count"]}
