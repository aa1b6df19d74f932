"""From a file to a document that knows its lines, or to the one problem that prevents it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from loadcheck.errors import Problem, ScenarioError, did_you_mean
from loadcheck.scenario.positions import MAX_DEPTH, TooDeepError, locate
from loadcheck.scenario.tree import dotted, grow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from loadcheck.scenario.positions import Repeat
    from loadcheck.scenario.tree import Node

MAX_BYTES = 1_000_000
"""The largest scenario file that is read: far beyond any written by hand."""

_WHERE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_UNQUOTED = re.compile(r"""=\s*[^\s"'\[{#]""")


def read(path: Path, file: str) -> Node:
    """Read the TOML document at ``path``.

    Args:
        path: Where it is.
        file: What the user called it, for messages.

    Raises:
        ScenarioError: It cannot be read, is not UTF-8, not TOML, too large or nested too deeply.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {(error.strerror or 'no reason given').lower()}"
        remedy = nearest_file(path) if isinstance(error, FileNotFoundError) else ""
        raise ScenarioError(Problem(message=message, file=file, remedy=remedy)) from None
    if len(content) > MAX_BYTES:
        raise ScenarioError(
            Problem(
                message="is too large", file=file, remedy=f"expected at most {MAX_BYTES:,} bytes"
            )
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = len(before) - (before.rfind(b"\n") + 1) + 1
        raise ScenarioError(
            Problem(
                message=f"is not UTF-8: byte 0x{content[error.start]:02X} in column {column}",
                file=file,
                line=before.count(b"\n") + 1,
                remedy="save the file as UTF-8",
            )
        ) from None
    return parse(text, file)


def is_file(path: Path) -> bool:
    """Return whether ``path`` is a file that the user may see; a name too long for one is not."""
    try:
        return path.is_file()
    except OSError:
        return False


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a remedy that names the one of ``names`` nearest to ``name``, "" if none is near."""
    remedy = did_you_mean(name, names)
    return remedy if remedy.startswith("did you mean") else ""


def nearest_file(path: Path) -> str:
    """Return a remedy that names the file beside ``path`` with the nearest name, "" if none is."""
    try:
        beside = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]
    except OSError:
        return ""
    return nearest(path.name, beside)


def parse(text: str, file: str) -> Node:
    """Parse a TOML document.

    Raises:
        ScenarioError: It is not TOML, or nested too deeply.
    """
    try:
        positions = locate(text)
    except TooDeepError as error:
        remedy = f"expected at most {MAX_DEPTH} levels"
        problem = Problem(message="nested too deeply", file=file, line=error.line, remedy=remedy)
        raise ScenarioError(problem) from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(_syntax_problem(text, file, str(error), positions.repeat)) from None
    except ValueError:  # int() refuses thousands of digits
        problem = Problem(message="is not TOML: a number of thousands of digits", file=file)
        raise ScenarioError(problem) from None
    return grow(document, file=file, lines=positions.lines)


def _syntax_problem(text: str, file: str, error: str, repeat: Repeat | None) -> Problem:
    lines = text.split("\n")
    where = _WHERE.search(error)
    line, column = len(lines), len(lines[-1]) + 1
    if where and where["line"]:
        line, column = int(where["line"]), int(where["column"])
    if repeat and repeat.line <= line:
        return Problem(
            message="is given twice",
            file=file,
            line=repeat.line,
            key=dotted(repeat.path),
            remedy=f"it already stands in line {repeat.first_line}",
        )
    reason = _WHERE.sub("", error)
    reason = reason[:1].lower() + reason[1:]
    return Problem(
        message=f"is not TOML: {reason}, column {column}",
        file=file,
        line=line,
        remedy="text stands in quotes" if _is_bare_word(reason, lines[line - 1]) else "",
    )


def _is_bare_word(reason: str, line: str) -> bool:
    expected = reason.startswith(("invalid value", "expected newline"))
    return expected and _UNQUOTED.search(line) is not None
