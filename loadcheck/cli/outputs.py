"""Stored documents of any kind, and the files that commands make of them."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson

from loadcheck.cli.overrides import Outputs
from loadcheck.cli.terminal import Concluded, has_color, print_result, width
from loadcheck.errors import Problem, ResultFileError, SaveError
from loadcheck.report import comparison, trend
from loadcheck.result import kind_of
from loadcheck.result.schema_others import SCHEMAS
from loadcheck.result.store import ResultFile, encoded, of_flow, read_any

_F = TypeVar("_F", bound=enum.StrEnum)


def read_document(path: Path) -> dict[str, Any]:
    """Return the document of a run, a capacity search, a comparison or a trend.

    Raises:
        ResultFileError: It is missing, truncated, of another kind, or of a later version.
    """
    return read_any(path, SCHEMAS)


def write_file(data: bytes, path: Path, *, of: Path | Sequence[Path], replace: bool) -> None:
    """Write a file atomically.

    Args:
        data: Its content.
        path: Path of the file.
        of: Files it was made from, which are not overwritten whatever ``replace`` is.
        replace: Overwrite another existing file.

    Raises:
        ResultFileError: It must not be written.
        SaveError: It cannot be written.
    """
    if any(is_same(path, each) for each in ([of] if isinstance(of, Path) else of)):
        message = "is the result itself, which is not written over"
        raise ResultFileError(
            Problem(file=str(path), message=message, remedy="choose another --output")
        )
    with ResultFile(path, replace=replace) as file:
        file.write(data)


def format_of(output: Path | None, formats: type[_F]) -> _F:
    """Return the format that a file's extension implies; text if it implies none of them."""
    kinds = {".json": "json", ".md": "markdown", ".html": "html"}
    kind = "" if output is None else kinds.get(output.suffix.lower(), "")
    return formats(kind if kind in list(formats) else "text")


def laid_out(document: Mapping[str, Any], kind: str, *, to_terminal: bool) -> bytes:
    """Return a comparison or a trend as json, html, markdown, or text coloured on a terminal."""
    if kind == "json":
        return encoded(document)
    if kind == "html":
        from loadcheck.report.html import page  # noqa: PLC0415

        return page(document)
    if kind == "markdown":
        from loadcheck.report.export import FORMATS  # noqa: PLC0415

        return FORMATS[kind_of(document)][kind](document).encode()
    shown = trend.text if kind_of(document) == "trend" else comparison.text
    return shown(document, color=to_terminal and has_color(sys.stdout), width=width()).encode()


def write_out(data: bytes, place: ResultFile | None) -> None:
    """Write to a claimed file, or else to standard output."""
    if place is not None:
        place.write(data)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class Reports:
    """The HTML page, the JUnit file and the Markdown summary that a command makes of its result.

    The files are claimed before anything is sent, so that problems with them are reported early.

    Args:
        outputs: Where they go.
        result: Where the result itself goes, if known.
        flow: The flow of a mix, which becomes part of the files' names; "" for none.

    Attributes:
        written: The files written.
        failed: Problems of the files that could not be written.

    Raises:
        ResultFileError: One of them must not be written.
    """

    def __init__(self, outputs: Outputs, result: Path | None, *, flow: str = "") -> None:
        self.written: list[Path] = []
        self.failed: list[Problem] = []
        self._outputs = outputs
        self._files: dict[str, ResultFile] = {}
        self._claims = ExitStack()
        taken = {} if result is None else {result.absolute(): "--output"}
        named = {"report": outputs.page, "junit": outputs.junit, "markdown": outputs.markdown}
        for name, given in named.items():
            if given is None:
                continue
            path = of_flow(given, flow) if flow else given
            option = f"--{name}"
            other = taken.setdefault(path.absolute(), option)
            if other != option:
                self._claims.close()
                message = f"is what both {other} and {option} name"
                problem = Problem(file=str(path), message=message, remedy="name two files")
                raise ResultFileError(problem)
            try:
                file = ResultFile(path, replace=outputs.force, option=option)
            except ResultFileError:
                self._claims.close()
                raise
            self._files[name] = self._claims.enter_context(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._claims.close()

    def conclude(self, done: Concluded) -> None:
        """Write all reports on the result of a command, and print it.

        Raises:
            ResultFileError: The result itself was not saved.
        """
        try:
            self.write(done.document)
        finally:
            print_result(done, self._outputs, self.written)

    def write(self, document: Mapping[str, Any]) -> None:
        """Write all reports; if one cannot be written, the others still are."""
        if not self._files:
            return
        from loadcheck.report.export import FORMATS  # noqa: PLC0415
        from loadcheck.report.html import page  # noqa: PLC0415

        # as read from the file, so that what is hidden there is hidden here
        saved = orjson.loads(encoded(document))
        for name, file in self._files.items():
            data = (
                page(saved) if name == "report" else FORMATS[kind_of(saved)][name](saved).encode()
            )
            try:
                file.write(data)
            except SaveError as error:
                self.failed += error.problems
            else:
                self.written.append(file.path)

    def check(self) -> None:
        """Raise the problems of files that could not be written, if any.

        Raises:
            SaveError: A file could not be written.
        """
        if self.failed:
            raise SaveError(self.failed)


def is_same(path: Path, other: Path) -> bool:
    """Return whether two paths are of one file; False if one does not exist."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


def spare(output: Path, inputs: Sequence[Path], used: str) -> None:
    """Refuse to overwrite a file that is merged or compared, even with ``--force``.

    Raises:
        ResultFileError: The output is one of the inputs.
    """
    if any(is_same(output, path) for path in inputs):
        message = f"is one of the results {used}, which are not written over"
        remedy = "choose another --output"
        raise ResultFileError(Problem(file=str(output), message=message, remedy=remedy))


@contextmanager
def error_naming(path: Path) -> Iterator[None]:
    """Add a file's name to the problems of its content.

    Raises:
        ResultFileError: What the block raised, with the name.
    """
    try:
        yield
    except ResultFileError as error:
        raise ResultFileError(
            problem if problem.file else changed(problem, file=str(path))
            for problem in error.problems
        ) from error
