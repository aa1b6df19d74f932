"""Values of a request or an input, as far as they are known before a copy runs.

A *value* is plain JSON whose leaves may also be :class:`Dynamic` (an expression evaluated for each
copy) or :class:`Template` (a string with such expressions embedded). The data of a copy is kept in
its *frame*, a list indexed by :class:`Slot`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, TypeAlias

import orjson

from loadcheck.data.order import BlockValues
from loadcheck.documents.document import MISSING, Missing

Frame: TypeAlias = list[Any]
Evaluate: TypeAlias = Callable[[Frame], Any]


class Slot:
    """Indexes into a frame; outputs of steps start at ``FREE``."""

    EXCHANGE: Final = 0
    NUMBER: Final = 1
    TIME: Final = 2
    QUERY: Final = 3
    BUCKETS: Final = 4  # the first of one slot for each partition
    COOKIES: Final = 20  # the copy's cookies, if they are kept
    USER: Final = 21  # the user's number, if it may differ from the copy's
    INPUTS: Final = 22
    WORKFLOWS: Final = 23
    OUTPUTS: Final = 24
    EVENTS: Final = 25  # number of events in the copy's request
    SERIES: Final = 26  # the copy's bytes from a series, while a request is rendered
    FREE: Final = 27


class Pattern(NamedTuple):
    """How a value is formatted that depends on one number in the frame only.

    Attributes:
        format: A printf-style format with one place for the number; its result consists of letters,
            digits and "-", so it needs no escaping anywhere.
        slot: Slot of the number.
        string: Whether the value is a string, which JSON puts in quotes.
    """

    format: str
    slot: int
    string: bool


class UnsendableError(Exception):
    """A request cannot be made: a value that it needs is missing or not allowed there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dynamic:
    """An expression whose value is known only when a copy runs.

    Attributes:
        text: The expression as written.
        evaluate: Returns its value in a frame, or ``MISSING``.
        uses: What it depends on: expressions of our own (``$copy.userId``), and steps, inputs and
            workflows, which in turn depend on more.
        optional: The member or parameter that holds it is left out if it has no value.
        pattern: How it is formatted, if it depends on one number in the frame only.
        json: Returns it as JSON, where that is faster than encoding the value.
        series: Returns it as JSON for many copies at once, with an error in place of a copy that
            cannot be sent.
        member: The name of the member, if it is a top-level member of the answer's body.
    """

    text: str
    evaluate: Evaluate
    uses: frozenset[str] = frozenset()
    optional: bool = False
    pattern: Pattern | None = None
    json: Callable[[Frame], bytes] | None = None
    series: BlockValues | None = None
    member: str | None = None

    def __str__(self) -> str:
        return self.text

    def require(self, frame: Frame) -> Any:
        """Return the value.

        Raises:
            UnsendableError: There is none.
        """
        value = self.evaluate(frame)
        if value is MISSING:
            raise UnsendableError(f"{self.text} has no value")
        return value


class FileContent(bytes):
    """The content of a file that a request carries.

    Attributes:
        name: Its file name.
        content_type: Its media type.
    """

    name: str
    content_type: str

    def __new__(cls, data: bytes, name: str, content_type: str) -> Self:
        """Return the content with its name and its type."""
        content = super().__new__(cls, data)
        content.name, content.content_type = name, content_type
        return content


@dataclass(frozen=True, slots=True)
class Constant:
    """A value inside a string that is already known."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class JsonStringPart:
    """An expression inside a string literal of a JSON text, where its value must be escaped."""

    dynamic: Dynamic


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A string with expressions embedded.

    Attributes:
        parts: Literal text, and values in between.
    """

    parts: tuple[str | Dynamic, ...]

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else f"{{{part}}}" for part in self.parts)

    def require(self, frame: Frame) -> str:
        """Return the text in a frame.

        Raises:
            UnsendableError: An expression in it has no value.
        """
        return "".join(
            part if isinstance(part, str) else as_text(part.require(frame)) for part in self.parts
        )


@dataclass(frozen=True, slots=True, eq=False)
class JsonTemplate:
    """A string that is JSON text, with expressions embedded.

    Attributes:
        parts: Literal text, and values in between; one outside a string literal is encoded as JSON.
    """

    parts: tuple[str | JsonStringPart | Dynamic, ...]

    def __str__(self) -> str:
        return "".join(
            part
            if isinstance(part, str)
            else f"{{{part.dynamic if isinstance(part, JsonStringPart) else part}}}"
            for part in self.parts
        )

    def require(self, frame: Frame) -> str:
        """Return the text in a frame.

        Raises:
            UnsendableError: An expression in it has no value.
        """
        return "".join(
            part
            if isinstance(part, str)
            else quote_json(part.dynamic.require(frame))
            if isinstance(part, JsonStringPart)
            else dump_json(part.require(frame)).decode()
            for part in self.parts
        )


@dataclass(frozen=True, slots=True, eq=False)
class Json:
    """A value that is written as JSON text in place of a string, in a parameter.

    Attributes:
        tree: The value.
    """

    tree: Any

    def __str__(self) -> str:
        return "JSON text"

    def require(self, frame: Frame) -> str:
        """Return the text in a frame.

        Raises:
            UnsendableError: An expression in it has no value.
        """
        return dump_json(evaluate(self.tree, frame)).decode()


def as_text(value: Any) -> str:
    """Return a JSON value as text inside a string: strings unchanged, other values as JSON.

    Raises:
        UnsendableError: It is a file.
    """
    return value if isinstance(value, str) else dump_json(value).decode()


def dump_json(value: Any) -> bytes:
    """Return a value as JSON.

    Raises:
        UnsendableError: It is a file, or holds one.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        raise UnsendableError("a file can be a part of a multipart form or a whole body") from None


def quote_json(value: Any) -> str:
    """Return a JSON value as escaped text for the inside of a JSON string literal."""
    return orjson.dumps(as_text(value)).decode()[1:-1]


def dynamics(value: Any) -> Iterator[Dynamic]:
    """Yield every expression in a value that has yet to be evaluated."""
    if isinstance(value, Dynamic):
        yield value
    elif isinstance(value, JsonStringPart):
        yield value.dynamic
    elif not isinstance(value, str | int | float | Missing | None):
        for part in _parts(value):
            yield from dynamics(part)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Json):
        return (value.tree,)
    if isinstance(value, dict):
        return value.values()
    return value.parts if isinstance(value, Template | JsonTemplate) else value


def uses_of(value: Any) -> frozenset[str]:
    """Return what a value depends on."""
    return frozenset().union(*(dynamic.uses for dynamic in dynamics(value)))


def evaluate(value: Any, frame: Frame) -> Any:
    """Return a value with every expression in it evaluated; optional ones are left out.

    Raises:
        UnsendableError: An expression that is not optional has no value.
    """
    if isinstance(value, Dynamic | Template | JsonTemplate | Json):
        return value.require(frame)
    if isinstance(value, dict):
        return {
            name: evaluate(member, frame)
            for name, member in value.items()
            if not is_absent(member, frame)
        }
    if isinstance(value, list):
        return [evaluate(member, frame) for member in value if not is_absent(member, frame)]
    return value


def is_absent(value: Any, frame: Frame) -> bool:
    """Return whether a member is to be left out of its object or array."""
    return isinstance(value, Dynamic) and value.optional and value.evaluate(frame) is MISSING


def as_dynamic(value: Any) -> Dynamic | None:
    """Return one dynamic value for a value that contains any; None if all of it is known."""
    if isinstance(value, Dynamic):
        return value
    uses = uses_of(value)
    if not uses and next(dynamics(value), None) is None:
        return None
    return Dynamic(text=str(value), evaluate=lambda frame: evaluate(value, frame), uses=uses)
