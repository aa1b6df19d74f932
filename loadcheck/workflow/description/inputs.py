"""The inputs of a workflow as its JSON Schema declares them (Arazzo 1.0.1, "Workflow Object")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote

from loadcheck.documents.document import MISSING, look_up, parse_pointer
from loadcheck.documents.reader import DocumentReporter, Path

SECTION: Final = "Workflow Object"


_MAX_DEPTH: Final = 20
_MAX_NODES: Final = 50_000
"""Most values of a schema once its references are inlined: they can multiply at each level."""


class DeclaredInputs(dict[str, bool]):
    """The inputs that a workflow declares: name → whether it is required.

    Args:
        names: The inputs declared by name.
        patterns: Patterns that the names of further inputs may match.
    """

    def __init__(self, names: Mapping[str, bool], patterns: Iterable[re.Pattern[str]] = ()) -> None:
        super().__init__(names)
        self._patterns = tuple(patterns)

    def accepts(self, name: str) -> bool:
        """Return whether an input may have this name, declared or not."""
        return name in self or any(pattern.search(name) for pattern in self._patterns)


_DRAFT = "expected a JSON Schema of draft 2020-12"


class InputSchema:
    """The schema of a workflow's inputs.

    Args:
        raw: The schema; anything but an object declares nothing.
        root: The root of the document, in which its references are resolved.
    """

    def __init__(self, raw: Any, root: Any) -> None:
        inliner = _Inliner(root, raw)
        schema = inliner.inlined(raw)
        self._lost = inliner.lost
        self._schema: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        self._composed = False
        self._open: list[re.Pattern[str]] = []
        self._collect(self._schema, binding=True)

    def _collect(self, schema: Any, *, binding: bool, depth: int = 0) -> None:
        """Collect the properties of a schema and of the schemas that it is composed of.

        A branch (``anyOf``, ``if``, …) only contributes names: its rules are not ``binding``.
        """
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            return
        properties = schema.get("properties")
        for name, entry in properties.items() if isinstance(properties, Mapping) else ():
            rule = entry if binding else True
            known = self._properties.get(name, True)
            both = known is not True and rule is not True
            merged = {"allOf": [known, rule]} if both else rule if known is True else known
            self._properties[name] = merged
        required = schema.get("required")
        for name in required if binding and isinstance(required, list) else ():
            if isinstance(name, str) and name not in self._required:
                self._required.append(name)
        self._collect_open(schema)
        for inner in _listed(schema.get("allOf")):
            self._composed = True
            self._collect(inner, binding=binding, depth=depth + 1)
        dependent = schema.get("dependentSchemas")
        branches = [
            *(inner for word in ("anyOf", "oneOf") for inner in _listed(schema.get(word))),
            *(schema[word] for word in ("if", "then", "else") if word in schema),
            *(dependent.values() if isinstance(dependent, Mapping) else ()),
        ]
        for inner in branches:
            self._composed = True
            self._collect(inner, binding=False, depth=depth + 1)

    def _collect_open(self, schema: Mapping[str, Any]) -> None:
        """Collect patterns for the inputs that a schema allows besides those it names."""
        if schema.get("additionalProperties", False) is not False:
            self._open.append(re.compile(""))
        patterns = schema.get("patternProperties")
        for pattern in patterns if isinstance(patterns, Mapping) else ():
            with suppress(re.error):
                self._open.append(re.compile(pattern))
        if self._open:
            self._composed = True

    @property
    def declared(self) -> DeclaredInputs:
        """The inputs, each with whether it is required."""
        names = dict.fromkeys(self._properties, False) | dict.fromkeys(self._required, True)
        return DeclaredInputs(names, self._open)

    @property
    def secret(self) -> frozenset[str]:
        """The inputs whose value is to be hidden: ``format: password`` (Arazzo 1.1)."""
        return frozenset(name for name, entry in self._properties.items() if _is_password(entry))

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of inputs: name → value, for those that have one."""
        found = {name: _default(entry) for name, entry in self._properties.items()}
        return {name: value for name, value in found.items() if value is not MISSING}

    def misfits(self, name: str, value: Any) -> list[str]:
        """Return how an input violates its schema; empty if it does not."""
        validator = self._validators.get(name)
        return (
            [] if validator is None else [error.message for error in validator.iter_errors(value)]
        )

    def fits(self, name: str, value: Any) -> bool:
        """Return whether an input fits its schema."""
        validator = self._validators.get(name)
        return validator is None or bool(validator.is_valid(value))

    def misfits_together(self, values: Mapping[str, Any]) -> list[str]:
        """Return how all inputs together violate a composed schema; empty if they do not."""
        if not self._composed or self._fault is not None:
            return []
        from jsonschema import Draft202012Validator  # noqa: PLC0415 -- slow

        return [error.message for error in Draft202012Validator(self._schema).iter_errors(values)]

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
        """Path and message of an error in the schema itself; None if it is valid."""
        from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 -- slow

        try:
            # check formats too, so that an invalid pattern is reported
            Draft202012Validator.check_schema(
                self._schema, format_checker=Draft202012Validator.FORMAT_CHECKER
            )
        except SchemaError as error:
            return tuple(error.path), error.message
        return None

    def check_schema(self, reporter: DocumentReporter, path: Path) -> None:
        """Report what is wrong with the schema itself."""
        for below, reference in self._lost:
            message = f'the reference "{reference}" leads nowhere within the document'
            reporter.error((*path, *below), message, "references begin with #/", SECTION)
        if self._fault is not None:
            below, message = self._fault
            reporter.error((*path, *below), f"no valid JSON Schema: {message}", _DRAFT, SECTION)
        for name, value in self.defaults.items():
            for message in self.misfits(name, value):
                place = (*path, "properties", name, "default")
                remedy = "change it, or the schema beside it"
                reporter.warn(place, f"the default does not fit: {message}", remedy, SECTION)


def _listed(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, list) else ()


def _default(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return MISSING
    inner = (_default(part) for part in _listed(entry.get("allOf")))
    first = next((value for value in inner if value is not MISSING), MISSING)
    return entry.get("default", first)


def _is_password(entry: Any) -> bool:
    if not isinstance(entry, Mapping):
        return False
    return entry.get("format") == "password" or any(map(_is_password, _listed(entry.get("allOf"))))


class _Inliner:
    """Replaces references by the schemas that they refer to.

    Args:
        root: The root of the document.
        schema: The schema, as a second root: some documents have references relative to it.

    Attributes:
        lost: References that do not resolve within the document, each after its path in the schema.
    """

    def __init__(self, root: Any, schema: Any) -> None:
        self._roots = (root, schema)
        self._nodes = 0
        self.lost: list[tuple[Path, str]] = []

    def inlined(self, schema: Any, path: Path = (), depth: int = 0) -> Any:
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
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
        if reference[1:] and not reference.startswith("#/"):
            return next(
                (found for root in self._roots for found in _anchored(root, reference[1:])), MISSING
            )
        try:
            pointer = parse_pointer(unquote(reference[1:]))
        except ValueError:
            return MISSING
        found = (look_up(root, pointer) for root in self._roots)
        return next((value for value in found if value is not MISSING), MISSING)


def _anchored(value: Any, name: str) -> Iterator[Any]:
    """Yield the schemas with a given ``$anchor`` (JSON Schema 2020-12, section 8.2.2)."""
    if isinstance(value, Mapping):
        if value.get("$anchor") == name:
            yield value
        for member in value.values():
            yield from _anchored(member, name)
    elif isinstance(value, list):
        for item in value:
            yield from _anchored(item, name)
