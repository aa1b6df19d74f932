"""JSON Schemas and examples of requests and answers, flattened into named fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from loadcheck.documents.document import MISSING, Document, format_pointer
from loadcheck.workflow.description.openapi import DescriptionError, OpenApiDescription

ANSWER: Final = "answer"
"""The place of a field in the body of an answer."""
_DEEPEST: Final = 6
_MOST_PARTS: Final = 200
"""Most parts of a schema that are read: it may refer to itself in many ways."""
_TYPES: Final = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (type(None), "null"),
    (Mapping, "object"),
    (Sequence, "array"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueKind:
    """What values a field may have.

    Attributes:
        types: Names of JSON types; empty if any is allowed.
        format: ``date-time``, ``uuid`` and the like; "" without one.
        pattern: Regular expression; "" without one.
        choices: The only values allowed (``enum``); empty if it is not restricted.
        sample: A value that the description shows; ``MISSING`` if it shows none.
        text: Its description, or else its title.
        shortest: Minimum length of a string.
        least: Minimum of a number; None without one.
    """

    types: frozenset[str] = frozenset()
    format: str = ""
    pattern: str = ""
    choices: tuple[Any, ...] = ()
    sample: Any = MISSING
    text: str = ""
    shortest: int = 0
    least: float | None = None

    def may_be(self, *names: str) -> bool:
        """Return whether values may be of one of these JSON types."""
        return not self.types or not self.types.isdisjoint(names)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """A value of a request or an answer.

    Attributes:
        place: ``body``, ``query``, ``path``, ``header``, ``cookie`` or :data:`ANSWER`.
        tokens: Its path in the body; elsewhere its name.
        kind: What values it may have.
        required: Whether a request must have it.
        shown: Whether the description shows an example of it.
    """

    place: str
    tokens: tuple[str, ...]
    kind: ValueKind
    required: bool = False
    shown: bool = False

    @property
    def name(self) -> str:
        """The last name in its path that is not an array index; "" if there is none."""
        return next((token for token in reversed(self.tokens) if not token.isdigit()), "")

    @property
    def at(self) -> str:
        """Its place as scenarios write it: ``body#/user/id``, ``query.id``."""
        if self.place == "body":
            return f"body#{format_pointer(self.tokens)}"
        return f"{self.place}.{self.tokens[-1]}"


Tree: TypeAlias = "Field | dict[str, Tree] | list[Tree]"
"""A request body whose leaves are fields."""


def leaves(tree: Tree) -> Iterator[Field]:
    """Yield the fields of a tree."""
    if isinstance(tree, Field):
        yield tree
    else:
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from leaves(part)


@dataclass(slots=True, kw_only=True)
class _Shape:
    """A schema merged with the schemas that it is composed of."""

    types: set[str] = field(default_factory=set)
    properties: dict[str, tuple[Any, Document]] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    items: tuple[Any, Document] | None = None
    first: Sequence[tuple[Any, Document]] = ()
    words: dict[str, Any] = field(default_factory=dict)


_WORDS: Final = (
    *("format", "pattern", "enum", "const", "default", "example", "examples", "description"),
    *("title", "minLength", "minimum", "minItems"),
)


class Schemas:
    """Reads the schemas of a description.

    Args:
        description: The OpenAPI document, which resolves references.
    """

    def __init__(self, description: OpenApiDescription) -> None:
        self._description = description
        self._parts = 0
        self._way: list[int] = []
        # keyed by id(): the description keeps all schemas alive
        self._shapes: dict[int, _Shape] = {}
        self._targets: dict[int, tuple[Any, Document]] = {}

    def tree(
        self, schema: Any, home: Document, place: str, example: Any = MISSING, *, required: bool
    ) -> Tree:
        """Return the fields of a value.

        Args:
            schema: Its schema.
            home: The document that contains the schema.
            place: The place of its fields: ``body`` or :data:`ANSWER`.
            example: An example of the whole value.
            required: Whether the value is required.
        """
        self._parts = 0
        return self._tree((schema, home), place, (), example, required=required)

    def kind(self, schema: Any, home: Document, example: Any = MISSING) -> ValueKind:
        """Return what values a parameter may have."""
        return _kind(self._shape((schema, home), 0), example)

    def _tree(
        self,
        source: tuple[Any, Document],
        place: str,
        tokens: tuple[str, ...],
        example: Any,
        *,
        required: bool,
    ) -> Tree:
        identity = self._identity(source)
        if identity in self._way:  # the schema contains itself: do not descend again
            return Field(place=place, tokens=tokens, kind=ValueKind(types=frozenset({"object"})))
        self._way.append(identity)
        try:
            return self._read(source, place, tokens, example, required=required)
        finally:
            self._way.pop()

    def _identity(self, source: tuple[Any, Document]) -> int:
        schema, _ = self._resolved(source)
        return id(schema) if isinstance(schema, dict) and schema else -self._parts - 1

    def _resolved(self, source: tuple[Any, Document]) -> tuple[Any, Document]:
        schema, home = source
        if not isinstance(schema, dict) or "$ref" not in schema:
            return source
        known = self._targets.get(id(schema))
        if known is None:
            try:
                known = self._description.resolve(schema, home)
            except (
                DescriptionError
            ):  # reported when the workflow is compiled, if a request needs it
                known = None, home
            self._targets[id(schema)] = known
        return known

    def _read(
        self,
        source: tuple[Any, Document],
        place: str,
        tokens: tuple[str, ...],
        example: Any,
        *,
        required: bool,
    ) -> Tree:
        shape = self._shape(source, 0)
        self._parts += 1
        deep = len(tokens) >= _DEEPEST or self._parts > _MOST_PARTS
        if example is MISSING:
            example = _sample(shape)
        given = example if isinstance(example, dict) else {}
        known = {
            name: part
            for name, part in shape.properties.items()
            if place == ANSWER or not _says(part[0], "readOnly")
        }
        names = [*known, *(name for name in given if name not in known)]
        if names and not deep:
            return {
                name: self._tree(
                    known.get(name, (None, source[1])),
                    place,
                    (*tokens, name),
                    given.get(name, MISSING),
                    required=required and (name in shape.required),
                )
                for name in names
            }
        items = shape.first[0] if shape.first else shape.items
        entries = example if isinstance(example, list) else []
        if (items or entries) and not deep:
            source = items or (None, source[1])
            one = entries[0] if entries else MISSING
            return [self._tree(source, place, (*tokens, "0"), one, required=required)]
        return Field(
            place=place,
            tokens=tokens,
            kind=_kind(shape, example),
            required=required,
            shown=example is not MISSING,
        )

    def _shape(self, source: tuple[Any, Document], depth: int) -> _Shape:
        """Return a schema with references resolved and the schemas it is composed of merged.

        Of alternatives (``oneOf``, ``anyOf``) only the first that is not null is used.
        """
        shape = _Shape()
        schema, home = self._resolved(source)
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return shape
        known = self._shapes.get(id(schema))
        if known is not None:
            return known
        parts = list(_list(schema, "allOf"))
        for word in ("oneOf", "anyOf"):
            parts += [part for part in _list(schema, word) if not _is_null(part)][:1]
        for part in parts:
            _merge(shape, self._shape((part, home), depth + 1))
        own = _Shape(words={word: schema[word] for word in _WORDS if word in schema})
        types = schema.get("type")
        own.types = {
            each
            for each in (types if isinstance(types, list) else [types])
            if isinstance(each, str)
        }
        properties = schema.get("properties")
        if isinstance(properties, dict):
            own.properties = {name: (part, home) for name, part in properties.items()}
        own.required = {name for name in _list(schema, "required") if isinstance(name, str)}
        if "items" in schema:
            own.items = (schema["items"], home)
        own.first = [(part, home) for part in _list(schema, "prefixItems")]
        _merge(shape, own)
        self._shapes[id(schema)] = shape
        return shape


def _merge(shape: _Shape, other: _Shape) -> None:
    shape.types |= other.types
    shape.properties |= other.properties
    shape.required |= other.required
    shape.items = other.items or shape.items
    shape.first = other.first or shape.first
    shape.words |= other.words


def _list(schema: Mapping[str, Any], word: str) -> list[Any]:
    found = schema.get(word)
    return found if isinstance(found, list) else []


def _says(schema: Any, word: str) -> bool:
    return isinstance(schema, dict) and schema.get(word) is True


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _sample(shape: _Shape) -> Any:
    words = shape.words
    for found in (words.get("example", MISSING), *_first(words.get("examples"))):
        if found is not MISSING:
            return found
    return words.get("const", MISSING)


def _first(examples: Any) -> Iterable[Any]:
    return examples[:1] if isinstance(examples, list) else ()


def _kind(shape: _Shape, example: Any) -> ValueKind:
    words = shape.words
    types = shape.types - {"null"}
    if not types and example is not MISSING and example is not None:
        types = {type_of(example)}
    sample = example if example is not MISSING else _sample(shape)
    choices = words.get("enum")
    least, shortest = words.get("minimum"), words.get("minLength")
    return ValueKind(
        types=frozenset(types),
        format=str(words.get("format", "")),
        pattern=str(words.get("pattern", "")),
        choices=tuple(choices) if isinstance(choices, list) else (),
        sample=sample if sample is not MISSING else words.get("default", MISSING),
        text=" ".join(str(words.get("description", words.get("title", ""))).split()),
        shortest=shortest if isinstance(shortest, int) else 0,
        least=least if isinstance(least, int | float) else None,
    )


def type_of(value: Any) -> str:
    """Return the JSON type of a value."""
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "string")
