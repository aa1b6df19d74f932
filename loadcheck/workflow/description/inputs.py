"""The inputs of a workflow as its JSON Schema declares them (Arazzo 1.0.1, "Workflow Object")."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from loadcheck.documents.pointer import MISSING, look_up, parse_pointer
from loadcheck.documents.problems import DocumentReporter, Path

SECTION: Final = "Workflow Object"


_MAX_DEPTH: Final = 20

_DRAFT = "expected a JSON Schema of draft 2020-12"


class InputSchema:
    """The schema of a workflow's inputs.

    Args:
        raw: The schema; anything but an object declares nothing.
        root: The document that its references lead into.
    """

    def __init__(self, raw: Any, root: Any) -> None:
        inliner = _Inliner(root, raw)
        schema = inliner.inlined(raw)
        self._lost = inliner.lost
        self._schema: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
        properties = self._schema.get("properties")
        self._properties = properties if isinstance(properties, Mapping) else {}

    @property
    def declared(self) -> dict[str, bool]:
        """The inputs, each with whether it is required."""
        names = dict.fromkeys(self._properties, False)
        required = self._schema.get("required")
        for name in required if isinstance(required, list) else ():
            if isinstance(name, str):
                names[name] = True
        return names

    @property
    def defaults(self) -> dict[str, Any]:
        """The inputs that have a default, with it."""
        return {
            name: entry["default"]
            for name, entry in self._properties.items()
            if isinstance(entry, Mapping) and "default" in entry
        }

    def misfits(self, name: str, value: Any) -> list[str]:
        """Say in what an input does not fit its schema."""
        validator = self._validators.get(name)
        return (
            [] if validator is None else [error.message for error in validator.iter_errors(value)]
        )

    def fits(self, name: str, value: Any) -> bool:
        """Say whether an input fits its schema."""
        validator = self._validators.get(name)
        return validator is None or bool(validator.is_valid(value))

    @cached_property
    def _validators(self) -> dict[str, Any]:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 -- slow

        if self._fault is not None:
            return {}
        return {
            name: Draft202012Validator(entry)
            for name, entry in self._properties.items()
            if isinstance(entry, Mapping | bool)
        }

    @cached_property
    def _fault(self) -> tuple[Path, str] | None:
        """Where the schema itself is wrong, and in what."""
        from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 -- slow

        try:
            # check formats too, so that an invalid pattern is reported
            Draft202012Validator.check_schema(
                self._schema, format_checker=Draft202012Validator.FORMAT_CHECKER
            )
        except SchemaError as error:
            return tuple(error.path), error.message
        return None

    def check_schema(self, scribe: DocumentReporter, path: Path) -> None:
        """Report what is wrong with the schema itself."""
        for below, reference in self._lost:
            message = f'the reference "{reference}" leads nowhere within the document'
            scribe.error((*path, *below), message, "", SECTION)
        if self._fault is not None:
            below, message = self._fault
            scribe.error((*path, *below), f"no valid JSON Schema: {message}", _DRAFT, SECTION)
        for name, value in self.defaults.items():
            for message in self.misfits(name, value):
                place = (*path, "properties", name, "default")
                scribe.warn(place, f"the default does not fit: {message}", "", SECTION)


class _Inliner:
    """Replaces references by what they mean.

    Args:
        root: The document.
        schema: The schema as it stands there: some expect references to start from it.

    Attributes:
        lost: References that lead nowhere within the document, each with its place in the schema.
    """

    def __init__(self, root: Any, schema: Any) -> None:
        self._roots = (root, schema)
        self.lost: list[tuple[Path, str]] = []

    def inlined(self, schema: Any, path: Path = (), depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            return {}
        if isinstance(schema, list):
            return [self.inlined(item, (*path, at), depth) for at, item in enumerate(schema)]
        if not isinstance(schema, Mapping):
            return schema
        reference = schema.get("$ref")
        if isinstance(reference, str):
            found = self._find(reference)
            if found is MISSING:
                self.lost.append(((*path, "$ref"), reference))
                found = {}
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            inner = self.inlined(found, path, depth + 1)
            return {**inner, **rest} if isinstance(inner, Mapping) else inner
        return {name: self.inlined(value, (*path, name), depth) for name, value in schema.items()}

    def _find(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return MISSING
        try:
            pointer = parse_pointer(reference[1:])
        except ValueError:
            return MISSING
        found = (look_up(root, pointer) for root in self._roots)
        return next((value for value in found if value is not MISSING), MISSING)
