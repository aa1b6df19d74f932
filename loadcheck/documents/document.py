"""A YAML or JSON document with the line of every value, read within bounds.

YAML is read as 1.2 with the core schema ("no" is a string, so is a date), JSON as JSON. What the
specification leaves to the parser is refused: duplicate keys, further documents, tags of one's own.
Size, depth and the number of nodes, aliases expanded, are bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from loadcheck.documents.builder import Array, Object, TreeError
from loadcheck.documents.files import UnreadableError, read_file
from loadcheck.documents.json import NotJsonError, compose_json
from loadcheck.documents.yaml import compose
from loadcheck.errors import Problem, WorkflowError

_LOOK: Final = "look at this line and the one before: indentation, quotes, brackets"
MAX_BYTES: Final = 10 * 1024 * 1024


class Document:
    """A document that was read.

    Attributes:
        name: The file or URL as messages name it.
        location: Absolute path or URL, which relative references start from.
        root: Its content: JSON values, whose objects and arrays know their lines.
    """

    def __init__(self, *, name: str, location: str, root: Any) -> None:
        self.name = name
        self.location = location
        self.root = root

    def line(self, path: Iterable[str | int]) -> int | None:
        """Return the line of the value at ``path``, or of the nearest one above that is there."""
        value, line = self.root, getattr(self.root, "line", None)
        for token in path:
            if isinstance(value, Object) and token in value:
                line = value.lines.get(str(token), line)
                value = value[str(token)]
            elif isinstance(value, Array) and isinstance(token, int) and token < len(value):
                line = value.lines[token]
                value = value[token]
            else:
                break
        return line


def read_document(path: Path, name: str) -> Document:
    """Read a file.

    Args:
        path: The file.
        name: The file as the user named it, for messages.

    Raises:
        WorkflowError: It cannot be read, is no YAML or JSON, or is beyond the bounds.
    """
    return parse_document(read_content(path, name), name=name, location=str(path.resolve()))


def read_content(path: Path, name: str) -> bytes:
    """Return the bytes of a document.

    Args:
        path: The file.
        name: The file as the user named it, for messages.

    Raises:
        WorkflowError: It cannot be read, or is too large.
    """
    try:
        return read_file(path, MAX_BYTES)
    except UnreadableError as error:
        remedy = error.remedy or "name a file that is there"
        raise WorkflowError(Problem(message=error.message, file=name, remedy=remedy)) from None


def parse_document(content: bytes, *, name: str, location: str) -> Document:
    """Read a document from its bytes.

    Raises:
        WorkflowError: It is no YAML or JSON, or is beyond the bounds.
    """
    if len(content) > MAX_BYTES:
        message = f"larger than {MAX_BYTES // 1024 // 1024} MB"
        remedy = "leave out what the workflow does not use"
        raise WorkflowError(Problem(message=message, file=name, line=1, remedy=remedy))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise WorkflowError(
            Problem(message="not UTF-8", file=name, line=line, remedy="save it as UTF-8")
        ) from None
    try:
        root = _root(text)
    except TreeError as error:
        remedy = error.remedy or _LOOK
        problem = Problem(message=error.message, file=name, line=error.line, remedy=remedy)
        raise WorkflowError(problem) from None
    return Document(name=name, location=location, root=root)


def _root(text: str) -> Any:
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return compose_json(text)
        except NotJsonError:
            pass  # a YAML document may begin so, too
    return compose(text)
