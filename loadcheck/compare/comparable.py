"""Whether runs can be compared at all, and what else differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

_MATTERS = (
    "workflow.id",
    "workflow.sha256",
    "load",
    "limits",
    "target.kind",
    "target.servers",
    "target.transport",
)
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something in which two runs differ.

    Attributes:
        file: The run that differs from the first one.
        key: What, as a dotted path.
        base: What it is in the first run; None if it is not there.
        candidate: What it is in the other.
        matters: Whether the runs cannot be compared for it.
    """

    file: str
    key: str
    base: Any
    candidate: Any
    matters: bool

    def __str__(self) -> str:
        return f"{self.key}: {_shown(self.base)} and {_shown(self.candidate)}"


def differences(first: Document, other: Document, file: str) -> list[Difference]:
    """Return in what a run differs from the first one, what matters first."""
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


def identity(document: Document) -> tuple[str, ...]:
    """Return what makes a run comparable: others that have the same differ in nothing of weight."""
    return tuple(sorted(f"{key}={value!r}" for key, value in facts(document) if _matters(key)))


def unfinished(document: Document) -> str:
    """Return why a run cannot stand for its load; "" if it can."""
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
    """Yield what describes a run, by dotted path."""
    scenario, workflow = document["scenario"], document["workflow"]
    yield from _flat("workflow", {key: workflow.get(key) for key in ("id", "sha256")})
    for section in ("load", "limits", "target", "inputs", "retry", "timeouts"):
        if section in scenario:
            yield from _flat(section, scenario[section])
    merged = document["run"].get("merged")
    if merged:  # so many times the load
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
    return any(key == path or key.startswith(f"{path}.") for path in _MATTERS)


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
