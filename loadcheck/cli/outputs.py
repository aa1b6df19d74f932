"""Files that commands make of a result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path


def place(data: bytes, path: Path, *, of: Path, replace: bool) -> None:
    """Write a file in one step.

    Args:
        data: What it holds.
        path: Where it goes.
        of: The result it was made of, which is not written over whatever ``replace`` says.
        replace: Write over another file that is there.

    Raises:
        ResultFileError: It cannot be written, or must not be.
    """
    from loadcheck.errors import Problem, ResultFileError  # noqa: PLC0415  # keeps --help quick
    from loadcheck.result import ResultFile  # noqa: PLC0415

    if path.exists() and path.samefile(of):
        message = "is the result itself, which is not written over"
        raise ResultFileError(
            Problem(file=str(path), message=message, remedy="choose another --output")
        )
    ResultFile(path, replace=replace).write(data)


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
