"""Makes of the results files of earlier versions what this one writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from loadcheck.result.schema import SCHEMA

Document = dict[str, Any]

NAME, _, _number = SCHEMA.partition("/")
CURRENT = int(_number)


def upgraded(document: Mapping[str, Any], version: int) -> Document:
    """Return a document of an earlier version in the shape of the present one.

    What an earlier version did not record is absent or null; nothing is made up.

    Args:
        document: It is not changed.
        version: Its own; not later than the present one.

    Raises:
        KeyError: There never was such a version.
    """
    result = dict(document)
    for step in range(version, CURRENT):
        result = _STEPS[step](result)
    return {**result, "schema": SCHEMA}


def _to_1(document: Document) -> Document:
    """Version 1 has stages and intervals, which cannot be had from what came before it.

    Files from before it knew less of the generator and of each observation. An answer was then
    taken to reflect the state of the instant at which it was asked for.
    """
    result = dict(document)
    generator = document.get("generator")
    if isinstance(generator, dict):
        unknown = dict.fromkeys(("dispatch_lag", "loop_lag", "gc_pauses"), _no_samples())
        result["generator"] = {**unknown, "watched_s": 0.0, **generator}
    seen = document.get("consistency")
    if isinstance(seen, dict):
        observations = _each(
            seen.get("observations"), lambda one: {"acknowledged": None, "as_of_s": one["asked_s"]}
        )
        result["consistency"] = {**seen, "observations": observations}
    if "thresholds" in document:
        result["thresholds"] = _each(document["thresholds"], lambda _: {"own_delay_ms": None})
    return result


def _each(items: Any, missing: Callable[[Document], Document]) -> Any:
    """Return a list's objects with what they lack; what is something else stays as it is."""
    if not isinstance(items, list):
        return items
    try:
        return [{**missing(item), **item} for item in items]
    except (KeyError, TypeError):
        return items


def _no_samples() -> Document:
    """Return the histogram of something that was not measured."""
    from loadcheck.measure import Histogram  # noqa: PLC0415  # few files need it

    percentiles = dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"))
    return {"count": 0, **percentiles, "above_range": 0, "hdr": Histogram().encode()}


_STEPS: Mapping[int, Callable[[Document], Document]] = {0: _to_1}
