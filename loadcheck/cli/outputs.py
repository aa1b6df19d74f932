"""Stored documents of any kind, and the files that commands make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path
from typing import Any


def stored(path: Path) -> dict[str, Any]:
    """Return the document of a run, a capacity search or a comparison.

    Raises:
        ResultFileError: It is missing, truncated, of something else, or of a later version.
    """
    from loadcheck.compare import SCHEMA  # noqa: PLC0415  # imports here keep --help quick
    from loadcheck.result import read_any  # noqa: PLC0415
    from loadcheck.result.schema_comparison import problems  # noqa: PLC0415

    return read_any(path, {SCHEMA: problems})


def kind_of(document: Mapping[str, Any]) -> str:
    """Return "result", "capacity" or "comparison"."""
    return str(document["schema"]).removeprefix("loadcheck.").partition("/")[0]


def place(data: bytes, path: Path, *, of: Path, replace: bool) -> None:
    """Write a file in one step.

    Args:
        data: What it holds.
        path: Where it goes.
        of: The result it was made of, which is not written over whatever ``replace`` says.
        replace: Write over another file that is there.

    Raises:
        ResultFileError: It must not be written.
        SaveError: It cannot be written.
    """
    from loadcheck.errors import Problem, ResultFileError  # noqa: PLC0415  # keeps --help quick
    from loadcheck.result import ResultFile  # noqa: PLC0415

    if is_same(path, of):
        message = "is the result itself, which is not written over"
        raise ResultFileError(
            Problem(file=str(path), message=message, remedy="choose another --output")
        )
    with ResultFile(path, replace=replace) as file:
        file.write(data)


def is_same(path: Path, other: Path) -> bool:
    """Tell whether two names are of one file; False if one is of none."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add a file's name to what is said of its content.

    Raises:
        ResultFileError: What the block raised, with the name.
    """
    from loadcheck.errors import ResultFileError  # noqa: PLC0415  # keeps --help quick

    try:
        yield
    except ResultFileError as error:
        raise ResultFileError(
            problem if problem.file else changed(problem, file=str(path))
            for problem in error.problems
        ) from error
