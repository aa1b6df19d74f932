"""What a results file holds in encodings that its schema cannot check.

A file may have been edited by hand. What cannot be read is told by its place in the document; the
file's name is added by who knows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from loadcheck.errors import Problem, ResultFileError
from loadcheck.measure import Histogram
from loadcheck.measure import intervals as measured
from loadcheck.measure.intervals import Matrix


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
