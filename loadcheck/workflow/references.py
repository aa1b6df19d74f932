"""Reference Objects of OpenAPI: ``$ref`` within a document and to other files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

from loadcheck.errors import WorkflowError
from loadcheck.workflow.pointer import look_up, parse_pointer
from loadcheck.workflow.values import MISSING

if TYPE_CHECKING:
    from loadcheck.workflow.document import Document

Load: TypeAlias = "Callable[[str, Document], Document]"
"""Reads the document at a URL that is relative to another document."""

MAX_FILES: Final = 200
_MAX_STEPS: Final = 20


class ReferenceProblemError(ValueError):
    """A reference leads nowhere."""


class References:
    """Follows references, reading each file once.

    Args:
        load: Reads a file.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._files: dict[tuple[str, str], Document] = {}

    def resolve(self, value: Any, home: Document) -> tuple[Any, Document]:
        """Return what a value stands for, and the document that it is in.

        Args:
            value: A Reference Object, or anything else, which stands for itself.
            home: The document that the value is in.

        Raises:
            ReferenceProblemError: A reference leads nowhere, or round in a circle.
        """
        for _ in range(_MAX_STEPS):
            reference = value.get("$ref") if isinstance(value, dict) else None
            if not isinstance(reference, str):
                return value, home
            file, _, pointer = reference.partition("#")
            home = self._open(file, home) if file else home
            try:
                value = look_up(home.root, parse_pointer(unquote(pointer)))
            except ValueError:
                value = MISSING
            if value is MISSING:
                raise ReferenceProblemError(f'the reference "{reference}" leads nowhere')
        raise ReferenceProblemError("references go round in a circle")

    def _open(self, file: str, home: Document) -> Document:
        known = self._files.get((home.location, file))
        if known is not None:
            return known
        if len(self._files) >= MAX_FILES:
            raise ReferenceProblemError(f"references lead to more than {MAX_FILES} files")
        try:
            opened = self._load(file, home)
        except WorkflowError as error:
            raise ReferenceProblemError(f'the reference to "{file}": {error}') from None
        self._files[home.location, file] = opened
        return opened
