"""The results file: its schema, writing it without loss, and reading it.

This module has the building blocks of the JSON Schemas of all files of loadcheck, and the check of
a document against them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
"""A results document, or a part of one, as it is read."""
Shape = dict[str, Any]

OUTCOMES = ("started", "skipped", "acknowledged", "rejected", "indeterminate")
"""Outcomes of copies and of uploads, as counted in results and kept in the ledger."""

_MAX_PROBLEMS = 10
_LONGEST, _END = 200, 80
"""Maximum length of a message, and of its end that is kept when it is shortened."""


def kind_of(document: Mapping[str, Any]) -> str:
    """Return "result", "capacity", "comparison" or "trend"."""
    return str(document["schema"]).removeprefix("loadcheck.").partition("/")[0]


def open_object(description: str, properties: dict[str, Shape]) -> Shape:
    """Return the schema of an object that may have more properties: later versions add some.

    Args:
        description: What it is.
        properties: Schemas by name; a name followed by "?" is optional.
    """
    return {
        "type": "object",
        "description": description,
        "properties": {name.removesuffix("?"): shape for name, shape in properties.items()},
        "required": [name for name in properties if not name.endswith("?")],
    }


def closed_object(description: str, **properties: Shape) -> Shape:
    """Return the schema of an object that has no other properties than these."""
    return open_object(description, properties) | {"additionalProperties": False}


def list_of(description: str, items: Shape) -> Shape:
    """Return the schema of a list."""
    return {"type": "array", "description": description, "items": items}


def number(description: str) -> Shape:
    """Return the schema of a number of any sign."""
    return {"type": "number", "description": description}


def amount(description: str) -> Shape:
    """Return the schema of a non-negative number."""
    return {"type": "number", "minimum": 0, "description": description}


def count(description: str) -> Shape:
    """Return the schema of a non-negative integer."""
    return {"type": "integer", "minimum": 0, "description": description}


def text(description: str) -> Shape:
    """Return the schema of a string."""
    return {"type": "string", "description": description}


def flag(description: str) -> Shape:
    """Return the schema of a boolean."""
    return {"type": "boolean", "description": description}


def maybe(shape: Shape) -> Shape:
    """Return a schema that also allows null."""
    return {**shape, "type": [shape["type"], "null"]}


def choice(description: str, *words: str | None) -> Shape:
    """Return the schema of a choice of words."""
    return {"enum": list(words), "description": description}


VERDICT: Shape = choice("No evidence is unknown.", "pass", "fail", "unknown")


def object_of(description: str, values: Shape | None = None) -> Shape:
    """Return the schema of an object with any names, and with values of one shape if given."""
    more = {} if values is None else {"additionalProperties": values}
    return {"type": "object", "description": description, **more}


def schema_of(title: str, shape: Shape) -> Shape:
    """Return a shape as a complete JSON Schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **shape}


PERCENTILES: Mapping[str, float] = {
    "p50_ms": 50,
    "p90_ms": 90,
    "p95_ms": 95,
    "p99_ms": 99,
    "p999_ms": 99.9,
    "max_ms": 100,
}
"""The percentiles that are stored with every histogram, by key."""


def histogram() -> dict[str, Shape]:
    """Return the properties of a histogram."""
    names = ("median", "90th percentile", "95th percentile", "99th percentile")
    shown = zip(PERCENTILES, (*names, "99.9th percentile", "maximum"), strict=True)
    return {
        "count": count("Samples."),
        **{
            key: maybe(amount(f"The {name}, in milliseconds; null without samples"))
            for key, name in shown
        },
        "above_range": count("Samples longer than the histogram's hour; in count and max."),
        "hdr": text("HdrHistogram V2 encoding, compressed, base64; the unit is 1 µs."),
    }


def outcomes() -> dict[str, Shape]:
    """Return the properties that count copies by outcome."""
    return {
        "started": count("Begun for certain: of a lost worker those that it reported."),
        "skipped": count("Due, but not sent: too many in flight, or the generator paused."),
        "acknowledged": count("The service said yes."),
        "rejected": count("Certainly without effect."),
        "indeterminate": count(
            "May or may not have taken effect; those that a lost worker may have sent included."
        ),
    }


def finding() -> dict[str, Shape]:
    """Return the properties of a finding."""
    return {
        "check": text("Name of the check."),
        "verdict": VERDICT,
        "summary": text("A sentence with the numbers."),
        "evidence": {"type": "object"},
    }


def labels() -> Shape:
    """Return the schema of a run's labels."""
    return object_of("Labels of the run, given or taken from git and CI.", {"type": "string"})


def violations(document: Any, schema: Shape) -> list[tuple[str, str]]:
    """Return where a document departs from a schema: dotted path and message, at most ten."""
    from jsonschema_rs import Draft202012Validator  # noqa: PLC0415  # keeps --help quick

    missing: list[tuple[str, str]] = []
    if isinstance(document, Mapping):
        # reported here: the validator copies the whole document into each such problem
        wanted = schema.get("required", ())
        missing = [("", f'"{n}" is a required property') for n in wanted if n not in document]
        schema = {**schema, "required": []}
    errors = itertools.islice(Draft202012Validator(schema).iter_errors(document), _MAX_PROBLEMS)
    found = sorted(
        (".".join(str(part) for part in error.instance_path), _shortened(error.message))
        for error in errors
    )
    return [*missing, *found][:_MAX_PROBLEMS]


def _shortened(message: str) -> str:
    """Return a message, with its middle left out if it is too long."""
    if len(message) <= _LONGEST:
        return message
    return f"{message[: _LONGEST - _END]}…{message[-_END:]}"
