"""Writes results so that a reader sees the old file or the new one, and reads them back.

What a results file holds in encodings that its schema cannot check.

A file may have been edited by hand. What cannot be read is told by its place in the document; the
file's name is added by who knows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from loadcheck.errors import Problem, ResultFileError
from loadcheck.escaping import printable_json
from loadcheck.measure import Histogram
from loadcheck.measure import intervals as measured
from loadcheck.measure.intervals import Matrix
from loadcheck.result import schema_capacity as capacity
from loadcheck.result.schema import SCHEMA, problems
from loadcheck.result.versions import CURRENT, upgraded

_MAX_FILE_BYTES = 1 << 30
_KIND = re.compile(r"loadcheck\.(\w+)/\d+")
_KINDS = {"capacity": "capacity search"}
_VERSION = re.compile(r"loadcheck\.result/(\d+)")


Check = Callable[[Any], Sequence[tuple[str, str]]]
"""Returns where a document departs from its schema: dotted path and message."""


def default_name(scenario: str, started: datetime, run_id: str) -> str:
    """Return ``<scenario>-<UTC time>-<run id>.json``; names sort by time within a scenario."""
    return f"{scenario}-{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{run_id}.json"


class ResultFile:
    """One results file, written again and again while a run goes on.

    Attributes:
        path: Where it stands.
    """

    def __init__(self, path: Path, *, replace: bool = False) -> None:
        """Claim the place.

        Raises:
            ResultFileError: The directory cannot be made or written, or a file is there already
                and ``replace`` is false.
        """
        self.path = path
        self._beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writable = os.access(path.parent, os.W_OK | os.X_OK)
        except OSError as error:
            raise _unusable(path, f"cannot be written: {_reason(error)}", _ELSEWHERE) from error
        if path.is_dir() or not writable:
            what = "is a directory" if path.is_dir() else "is in a directory that cannot be written"
            raise _unusable(path, what, _ELSEWHERE)
        if path.exists() and not replace:
            raise _unusable(path, "exists already", "choose another --output, or add --force")

    def save(self, document: dict[str, Any], *, durable: bool = True) -> None:
        """Put a document in the file's place in one step.

        Args:
            document: The whole results document.
            durable: Wait until it would outlive a power cut, not only this process.

        Raises:
            ResultFileError: The disk is full, or the file cannot be written.
        """
        option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        self.write(printable_json(orjson.dumps(document, option=option)), durable=durable)

    def write(self, data: bytes, *, durable: bool = True) -> None:
        """Put bytes in the file's place in one step.

        Args:
            data: All that the file is to hold.
            durable: Wait until it would outlive a power cut, not only this process.

        Raises:
            ResultFileError: The disk is full, or the file cannot be written.
        """
        try:
            with self._beside.open("wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            self._beside.replace(self.path)
        except OSError as error:
            self._beside.unlink(missing_ok=True)
            raise _unusable(self.path, f"cannot be written: {_reason(error)}", "") from error


def read(path: Path) -> dict[str, Any]:
    """Return the results document of a run, checked as far as its readers rely on it.

    What an earlier version has written is returned in the shape of the present one.

    Raises:
        ResultFileError: It is missing, truncated, of something else, or of a later version.
    """
    return _checked(path, _parsed(path))


def read_any(path: Path, others: Mapping[str, Check] | None = None) -> dict[str, Any]:
    """Return the document of a run, of a capacity search or of another kind, as ``schema`` says.

    Args:
        path: Where it stands.
        others: Further kinds, by the value of ``schema``, with what is wrong with a document.

    Raises:
        ResultFileError: It is missing, truncated, of something else, or of a later version.
    """
    checks = {capacity.SCHEMA: capacity.problems, **(others or {})}
    document = _parsed(path)
    check = checks.get(document.get("schema", "")) if isinstance(document, dict) else None
    if check is not None:
        return _conforming(path, document, check(document))
    return _checked(path, document)


def _parsed(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise _unusable(path, f"is {size:,} bytes long", "a results file is below 1 GiB")
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read: {_reason(error)}", "") from error
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        line = data[: error.pos].count(b"\n") + 1
        remedy = (
            "the file is empty" if not data.strip() else "it may be truncated or edited by hand"
        )
        problem = Problem(
            file=str(path), line=line, message=f"is not JSON: {error.msg}", remedy=remedy
        )
        raise ResultFileError(problem) from error


def _checked(path: Path, document: Any) -> dict[str, Any]:
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        match = _VERSION.fullmatch(found) if isinstance(found, str) else None
        if match and int(match[1]) < CURRENT:
            document = upgraded(document, int(match[1]))
            return _conforming(path, document, problems(document))
        if match:
            raise _unusable(
                path,
                f'has the schema "{found}"',
                f'this version of loadcheck reads up to "{SCHEMA}"; a later one wrote the file',
                key="schema",
            )
        other = _KIND.fullmatch(found) if isinstance(found, str) else None
        if other:
            raise _unusable(
                path,
                f"is the file of a {_KINDS.get(other[1], other[1])}, not of a run",
                "loadcheck show reads it",
                key="schema",
            )
        raise _unusable(
            path,
            "is not a loadcheck results file",
            f'expected an object with "schema": "{SCHEMA}"',
            key="schema",
        )
    assert isinstance(document, dict)
    return _conforming(path, document, problems(document))


def _conforming(
    path: Path, document: dict[str, Any], wrong: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    if wrong:
        raise ResultFileError(
            Problem(file=str(path), key=key, message=message, remedy="was it edited by hand?")
            for key, message in wrong
        )
    return document


_ELSEWHERE = "choose another place with --output"


def _unusable(path: Path, message: str, remedy: str, key: str = "") -> ResultFileError:
    return ResultFileError(Problem(file=str(path), key=key, message=message, remedy=remedy))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def histogram(times: Mapping[str, Any], key: str) -> Histogram:
    """Return a histogram from its section.

    Raises:
        ResultFileError: The encoding is broken.
    """
    try:
        return Histogram.decode(times["hdr"])
    except ValueError as error:
        raise _broken(f"{key}.hdr", str(error)) from error


def intervals(texts: Sequence[str | None], key: str) -> Matrix:
    """Return the bucket counts of a column of histograms, a row for each.

    Raises:
        ResultFileError: An encoding is broken.
    """
    try:
        return measured.decode(texts)
    except ValueError as error:
        raise _broken(key, str(error)) from error


def columns(section: Mapping[str, Any], key: str) -> dict[str, list[Any]]:
    """Return the columns of a section, all of the same length.

    Raises:
        ResultFileError: They are not.
    """
    found = {name: list(column) for name, column in section.items() if isinstance(column, list)}
    lengths = {name: len(column) for name, column in found.items()}
    usual = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != usual:
            raise _broken(f"{key}.{name}", f"has {length} values where others have {usual}")
    return found


def instant(text: str, key: str) -> datetime:
    """Return an instant; UTC if it does not say.

    Raises:
        ResultFileError: It is not in ISO 8601.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise _broken(key, f'"{text}" is not an instant in ISO 8601') from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _broken(key: str, message: str) -> ResultFileError:
    return ResultFileError(Problem(key=key, message=message, remedy="was it edited by hand?"))
