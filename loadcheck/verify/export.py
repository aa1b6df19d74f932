"""Compares the events that a service hands out with those that were sent, one by one.

The archive is a ZIP of gzipped JSON lines, read as a stream: memory holds one line, a bitmap of the
copies seen, and what is wrong.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson
from pyroaring import BitMap

MOST_SHOWN: Final = 1000
"""So many of each kind are kept with their details; all are counted."""
_GZIP: Final = b"\x1f\x8b"

Expected = Callable[[int], Sequence[Mapping[str, Any]]]
"""Copy number → the events that it sent, each by name of field."""


class ExportError(Exception):
    """The archive cannot be read; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Altered:
    """A field that came out other than it went in."""

    copy: int
    field: str
    sent: Any
    found: Any


@dataclass(slots=True, kw_only=True)
class Compared:
    """What the comparison found.

    Attributes:
        events: Events of the run in the archive.
        lost: Acknowledged copies of which an event is missing.
        duplicated: Copy → events beyond those it sent.
        unexpected: Refused, unsent or unknown events, by the user id found.
        unexpected_count: How many there are.
        altered: Fields that came out other than they went in.
        altered_count: How many there are.
        recovered: Indeterminate copies that are in the archive.
    """

    events: int = 0
    lost: BitMap = field(default_factory=BitMap)
    duplicated: Counter[int] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    unexpected_count: int = 0
    altered: list[Altered] = field(default_factory=list)
    altered_count: int = 0
    recovered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReader:
    """How an exported event is read.

    Attributes:
        number: Reads the number of the copy that sent it; None if it is of no copy of ours.
        user: Reads whose it is, as far as that is known.
        fields: Name → reads the field.
        key: Name of the field that tells the events of a copy apart: the deduplication key.
    """

    number: Callable[[Mapping[str, Any]], int | None]
    user: Callable[[Mapping[str, Any]], Any]
    fields: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    key: str


class Comparison:
    """Takes one exported event after the other.

    Args:
        reader: How an event is read.
        expected: What a copy sent.
        acknowledged: Numbers of the copies that were taken.
        indeterminate: Numbers of those of which nobody knows.
        events_per_copy: Events that every copy sent.
    """

    def __init__(
        self,
        reader: EventReader,
        expected: Expected,
        *,
        acknowledged: BitMap,
        indeterminate: BitMap,
        events_per_copy: int = 1,
    ) -> None:
        self._reader = reader
        self._expected = expected
        self._key = reader.key
        self._acknowledged = acknowledged
        self._known = acknowledged | indeterminate
        self._indeterminate = indeterminate
        self._each = events_per_copy
        self._seen = [BitMap() for _ in range(events_per_copy)]
        self._found = Compared()

    def add(self, event: Mapping[str, Any]) -> None:
        """Compare one event."""
        found = self._found
        found.events += 1
        number = self._reader.number(event)
        if number is None or number not in self._known:
            self._unexpected(event)
            return
        read = {name: get(event) for name, get in self._reader.fields.items()}
        sent = self._expected(number)
        place = next(
            (at for at, one in enumerate(sent) if one.get(self._key) == read.get(self._key)), None
        )
        if place is None:
            # a copy that the pipeline made need not keep the deduplication key
            if any(self._same(one, read) for one in sent):
                found.duplicated[number] += 1
            else:
                self._unexpected(event)
            return
        if number in self._seen[place]:
            found.duplicated[number] += 1
            return
        self._seen[place].add(number)
        for name, value in sent[place].items():
            if read[name] != value:
                self._alter(number, name, value, read[name])

    def result(self) -> Compared:
        """Return what was found, once every event was added."""
        found = self._found
        complete = self._seen[0].copy()
        some = BitMap()
        for seen in self._seen:
            complete &= seen
            some |= seen
        found.lost = self._acknowledged - complete
        found.recovered = len(self._indeterminate & some)
        return found

    def _same(self, sent: Mapping[str, Any], read: Mapping[str, Any]) -> bool:
        return all(read[name] == value for name, value in sent.items() if name != self._key)

    def _unexpected(self, event: Mapping[str, Any]) -> None:
        self._found.unexpected_count += 1
        if len(self._found.unexpected) < MOST_SHOWN:
            self._found.unexpected.append(str(self._reader.user(event)))

    def _alter(self, number: int, name: str, sent: Any, found: Any) -> None:
        """Note a field; of an object each member that differs."""
        if isinstance(sent, dict) and isinstance(found, dict):
            for member in sorted(sent.keys() | found.keys()):
                if sent.get(member) != found.get(member):
                    self._alter(number, f"{name}/{member}", sent.get(member), found.get(member))
            return
        self._found.altered_count += 1
        if len(self._found.altered) < MOST_SHOWN:
            self._found.altered.append(Altered(copy=number, field=name, sent=sent, found=found))


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of every file in an archive.

    Raises:
        ExportError: It is damaged, or no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with cast("zipfile.ZipExtFile", archive.open(name)) as raw:
                    if raw.peek(2)[:2] != _GZIP:
                        yield from raw
                        continue
                    with gzip.open(raw) as file:
                        yield from file
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ExportError(f"the archive cannot be read: {error}") from None


def events(path: Path, marker: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events whose line holds a text; the others are not even parsed.

    Raises:
        ExportError: The archive is damaged, or a line is no JSON object.
    """
    for line in lines(path):
        if marker not in line:
            continue
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ExportError(f"a line of the archive is no JSON: {error.msg}") from None
        if not isinstance(event, dict):
            raise ExportError("a line of the archive is no JSON object")
        yield event
