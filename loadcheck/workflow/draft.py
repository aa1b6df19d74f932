"""A step's request before it is compiled, as the overlay changes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from loadcheck.workflow.overlay import Edit, parse_place, put
from loadcheck.workflow.templates import json_tree
from loadcheck.workflow.values import MISSING, Json, JsonText, Text

if TYPE_CHECKING:
    from loadcheck.workflow.exchange import Origin
    from loadcheck.workflow.openapi import Operation


class RequestError(ValueError):
    """A request cannot be compiled from what the document says."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A request before it is compiled.

    Attributes:
        index: Index of the step in the plan.
        operation: What the description says.
        origin: Where it goes.
        base: Path prefix of the server.
        values: Place and name of a parameter → its value.
        body: The payload, ``MISSING`` if there is none.
        content_type: Its media type.
        noted: Run-wide expressions of our own whose values it holds.
    """

    index: int
    operation: Operation
    origin: Origin
    base: str
    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    body: Any = MISSING
    content_type: str = ""
    noted: frozenset[str] = frozenset()

    def edited(self, edits: Iterable[tuple[Edit, Any]]) -> Draft:
        """Return the request with edits applied, in order.

        Args:
            edits: Edits, each with its value resolved.

        Raises:
            RequestError: The place of an edit is not in this request.
        """
        draft = replace(self, values=dict(self.values))
        for edit, value in edits:
            try:
                _edit(draft, edit, value)
            except ValueError as error:
                raise RequestError(f"{edit.at}: {error}") from None
        return draft

    def lacking(self) -> Iterator[str]:
        """Name what the description requires and the request does not have."""
        headers = {name.lower() for where, name in self.values if where == "header"}
        for (where, name), parameter in self.operation.parameters.items():
            given = name.lower() in headers if where == "header" else (where, name) in self.values
            if parameter.required and not given and where != "path":
                yield f'the {where} parameter "{name}"'
        if self.operation.body_required and self.body is MISSING:
            yield "a body"


def _edit(draft: Draft, edit: Edit, value: Any) -> None:
    where, name, pointer = parse_place(edit.at)
    if where == "body":
        tree = None if draft.body is MISSING else _tree(draft.body)
        draft.body = put(tree, pointer or (), value)
        return
    key = (where, name)
    if where == "header":
        key = next((known for known in draft.values if _same_header(known, name)), key)
    if pointer is None:
        draft.values[key] = value
    else:
        old = draft.values.get(key)
        draft.values[key] = Json(put(None if old is None else _tree(old), pointer, value))


def _tree(value: Any) -> Any:
    """Return a parameter or a payload that is JSON text as the value that it stands for."""
    if isinstance(value, Json):
        return value.tree
    if isinstance(value, str | JsonText):
        try:
            return json_tree(value)
        except ValueError:
            raise RequestError("it is no JSON text") from None
    if isinstance(value, Text):
        raise RequestError("it is no JSON text")
    return value


def _same_header(key: tuple[str, str], name: str) -> bool:
    return key[0] == "header" and key[1].lower() == name.lower()
