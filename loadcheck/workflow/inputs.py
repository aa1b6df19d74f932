"""Workflow inputs: a JSON Schema, checked with its defaults applied (Arazzo, "Workflow Object")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from loadcheck.errors import did_you_mean
from loadcheck.workflow.pointer import look_up, parse_pointer
from loadcheck.workflow.values import MISSING

if TYPE_CHECKING:
    from loadcheck.workflow.problems import Path, Scribe

SECTION: Final = "Workflow Object, inputs"
_MAX_REFERENCES: Final = 20


def resolve_schema(raw: Any, root: Any) -> Any:
    """Follow the references that an inputs schema may be, within its document."""
    for _ in range(_MAX_REFERENCES):
        reference = raw.get("$ref") if isinstance(raw, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#"):
            return raw
        try:
            raw = look_up(root, parse_pointer(reference[1:]))
        except ValueError:
            return MISSING
    return MISSING


def declared_inputs(schema: Any) -> dict[str, bool]:
    """Return the names of the inputs and whether each is required."""
    if not isinstance(schema, Mapping):
        return {}
    properties = schema.get("properties")
    required = schema.get("required")
    names = dict.fromkeys(properties if isinstance(properties, Mapping) else (), False)
    for name in required if isinstance(required, list) else ():
        if isinstance(name, str):
            names[name] = True
    return names


def default_inputs(schema: Any) -> dict[str, Any]:
    """Return the inputs that have a default."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return {
        name: entry["default"]
        for name, entry in (properties.items() if isinstance(properties, Mapping) else ())
        if isinstance(entry, Mapping) and "default" in entry
    }


def check_inputs(schema: Any, values: Mapping[str, Any], scribe: Scribe, path: Path) -> None:
    """Report every input that is missing, unknown or does not fit its schema."""
    declared = declared_inputs(schema)
    for name, required in declared.items():
        if required and name not in values:
            scribe.error(
                path, f'the input "{name}" is required and has no value',
                f"give it one: inputs.{name} = …", SECTION,
            )  # fmt: skip
    for name in values:
        if name not in declared:
            remedy = did_you_mean(name, declared) or "the workflow declares none"
            scribe.error(path, f'there is no input "{name}"', remedy, SECTION)
    if not isinstance(schema, Mapping):
        return
    from jsonschema import Draft202012Validator  # noqa: PLC0415 -- slow to import

    properties = schema.get("properties")
    for name, value in values.items():
        entry = properties.get(name) if isinstance(properties, Mapping) else None
        if entry is None:
            continue
        validator = Draft202012Validator({**entry})
        for error in validator.iter_errors(value):
            scribe.error(
                (*path, "properties", name), f'the input "{name}": {error.message}', "", SECTION
            )
