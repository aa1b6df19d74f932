"""Compares the events that a service exports with those that were sent, one by one.

An export is JSON lines, a JSON array, CSV, or JSON answers with arrays of events, one per line;
plain, gzipped or in the files of a ZIP: the first bytes show which. It is read as a stream: memory
holds one event, or one answer, a bitmap of the copies seen, and the differences found.
"""

from __future__ import annotations

import csv
import gzip
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
from pyroaring import BitMap

MOST_SHOWN: Final = 1000
"""The most differences of a kind that are kept with their details; all are counted."""
_ZIP: Final = b"PK"
_GZIP: Final = b"\x1f\x8b"
_PIECE: Final = 1 << 18
_SHOWN: Final = 120
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[{}\[\]]', re.DOTALL)
"""A string, whose end may lie in the next piece, or a bracket."""
_BETWEEN: Final = b", \t\r\n"

_MOST_BYTES: Final = 32 << 20
"""Limit of an answer with arrays of events: read as a whole, it takes three times that memory."""
_OF_ERRORS: Final = frozenset({"", "result", "table", "error", "reference"})
"""Columns of a table that reports an error."""

Find = Callable[[Any], Sequence[Any]]
"""Answer → the values found in it."""
Expected = Callable[[int], Sequence[Mapping[str, Any]]]
"""Copy number → the events that it sent, each as field name → value."""


class ExportError(Exception):
    """The export cannot be read to its end; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Altered:
    """A field whose exported value differs from the one sent."""

    copy: int
    field: str
    sent: Any
    found: Any


@dataclass(slots=True, kw_only=True)
class Compared:
    """The differences between export and ledger.

    Attributes:
        events: Events of the run in the export.
        lost: Acknowledged copies with an event missing.
        duplicated: Copy → events beyond those it sent.
        unexpected: User ids of refused, unsent or unknown events, up to :data:`MOST_SHOWN`.
        unexpected_count: How many such events there are.
        altered: Fields whose value differs from the one sent, up to :data:`MOST_SHOWN`.
        altered_count: How many such fields there are.
        recovered: Indeterminate copies that are in the export.
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
        number: Reads the number of the copy that sent it; None if no copy of the run did.
        user: Reads the user id, as far as it is known.
        fields: Name → function that reads the field.
        key: Name of the field that distinguishes the events of a copy: the deduplication key.
        deduplicated: Whether a key that is exported twice was counted twice.
    """

    number: Callable[[Mapping[str, Any]], int | None]
    user: Callable[[Mapping[str, Any]], Any]
    fields: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    key: str
    deduplicated: bool = True


class ExportComparison:
    """Compares exported events with those sent, one at a time.

    Args:
        reader: How an event is read.
        expected: What a copy sent.
        acknowledged: Numbers of the acknowledged copies.
        indeterminate: Numbers of the indeterminate copies.
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
        self._others: set[tuple[int, Any]] = set()
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
            # a duplicate that the pipeline made need not keep the deduplication key
            if any(self._same(one, read) for one in sent):
                self._duplicate(number, read.get(self._key))
            else:
                self._unexpected(event)
            return
        if number in self._seen[place]:
            if self._reader.deduplicated:
                found.duplicated[number] += 1
            return
        self._seen[place].add(number)
        for name, value in sent[place].items():
            if read[name] != value:
                self._alter(number, name, value, read[name])

    def result(self) -> Compared:
        """Return the differences, once all events have been added."""
        found = self._found
        complete = self._seen[0].copy()
        some = BitMap()
        for seen in self._seen:
            complete &= seen
            some |= seen
        found.lost = self._acknowledged - complete
        found.recovered = len(self._indeterminate & some)
        return found

    def _duplicate(self, number: int, key: Any) -> None:
        """Count a duplicate under a key that was not sent; once per key if repeats do no harm."""
        if self._reader.deduplicated or (number, key) not in self._others:
            self._found.duplicated[number] += 1
        if not self._reader.deduplicated:
            self._others.add((number, key))

    def _same(self, sent: Mapping[str, Any], read: Mapping[str, Any]) -> bool:
        return all(read[name] == value for name, value in sent.items() if name != self._key)

    def _unexpected(self, event: Mapping[str, Any]) -> None:
        self._found.unexpected_count += 1
        if len(self._found.unexpected) < MOST_SHOWN:
            self._found.unexpected.append(str(self._reader.user(event)))

    def _alter(self, number: int, name: str, sent: Any, found: Any) -> None:
        """Note an altered field; of an object, each member that differs."""
        if isinstance(sent, dict) and isinstance(found, dict):
            for member in sorted(sent.keys() | found.keys()):
                if sent.get(member) != found.get(member):
                    self._alter(number, f"{name}/{member}", sent.get(member), found.get(member))
            return
        self._found.altered_count += 1
        if len(self._found.altered) < MOST_SHOWN:
            self._found.altered.append(Altered(copy=number, field=name, sent=sent, found=found))


class Readable(Protocol):
    """A file that is read piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; none at the end."""


@dataclass(slots=True, kw_only=True)
class ExportLayout:
    """The layout of events in an export; by default JSON objects, one per line or in an array.

    Attributes:
        csv: Whether events are rows of CSV; a header names the columns of each table.
        rows: Finds the arrays of events in an answer; a file may hold one answer per line.
        empty: Finds what marks an answer that has no such array because there are no events.
        errors: Find what marks an answer as incomplete.
        token: Reads the token of the next page.
        next: The token that the last answer held; None if it held none.
    """

    csv: bool = False
    rows: Find | None = None
    empty: Find | None = None
    errors: Sequence[Find] = ()
    token: Callable[[Any], Any] | None = None
    next: str | int | None = field(default=None, init=False)

    def events(self, path: Path, marker: bytes, *, alone: bool = False) -> Iterator[Any]:
        """Yield the events of a file; of JSON lines, only those that contain the marker.

        Args:
            path: The file.
            marker: The text; lines without it are not parsed.
            alone: Whether only such events were requested: any other line is an error.

        Raises:
            ExportError: The file is damaged, cut short, or not an export.
        """
        try:
            for file in _files(path):
                if self.csv:
                    yield from _table_rows(file)
                elif self.rows is not None:
                    yield from self._in_answers(file, self.rows)
                else:
                    yield from _marked(_lines(file), marker, alone=alone)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ExportError(f"the export cannot be read: {error}") from None

    def _in_answers(self, file: Any, rows: Find) -> Iterator[Any]:
        answer = self.next = None
        for answer in _answers(file):
            wrong = [each for find in self.errors for each in find(answer) if each]
            if wrong:
                raise ExportError(f"the export states that it is incomplete: {_value(wrong[0])}")
            arrays = rows(answer)
            known = arrays or (self.empty is not None and self.empty(answer))
            if not known or not all(isinstance(array, list) for array in arrays):
                raise ExportError(f"an answer has no events at export.rows: {_value(answer)}")
            for array in arrays:
                yield from array
        if answer is None:
            raise ExportError("the answer is empty, without as much as an array of no events")
        token = None if self.token is None else self.token(answer)
        if isinstance(token, str | int) and not isinstance(token, bool) and token != "":
            self.next = token


def _files(path: Path) -> Iterator[Any]:
    """Yield the contents of a file, unpacked: one binary file, or those of a ZIP."""
    with path.open("rb") as file:
        if file.peek(2)[:2] != _ZIP:
            yield from _unpacked(file)
            return
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    yield from _unpacked(member)


def _unpacked(file: Any) -> Iterator[Any]:
    if file.peek(2)[:2] != _GZIP:
        yield file
        return
    with gzip.open(file) as unpacked:
        yield from _unpacked(unpacked)


def _answers(file: Any) -> Iterator[Any]:
    """Yield the JSON documents of a file: one per line, or a single one of several lines."""
    while line := file.readline(_MOST_BYTES + 1):
        if not line.strip():
            continue
        try:
            answer = orjson.loads(line)
        except orjson.JSONDecodeError:
            line += file.read(max(0, _MOST_BYTES + 1 - len(line)))
            if len(line) > _MOST_BYTES:
                message = f"an answer of the export has more than {_MOST_BYTES >> 20} MB"
                raise ExportError(f"{message}: ask for smaller pages") from None
            answer = _json(line)
        yield answer


def _table_rows(file: Any) -> Iterator[dict[str, str]]:
    """Yield the rows of CSV as column name → value.

    As InfluxDB writes it: an empty line ends a table, lines that begin with "#" annotate its
    columns, and an error is a table of its own, with a column "error".
    """
    header: list[str] | None = None
    defaults: list[str] = []
    try:
        for row in csv.reader(_whole_lines(file), strict=True):
            if not any(row):
                header, defaults = None, []
            elif header is None and row[0].startswith("#"):
                defaults = row if row[0] == "#default" else defaults
            elif header is None:
                header = row
                if row[0].lstrip()[:1] in ("{", "[", "<"):
                    raise ExportError(f"the answer is not CSV: it begins with {_value(row)}")
            elif "error" in header and _OF_ERRORS.issuperset(header):
                raise ExportError(f"the export states that it is incomplete: {_value(row)}")
            elif len(row) != len(header):
                raise ExportError(f"a line of the export has not every column: {_value(row)}")
            else:
                event = dict(zip(header, row, strict=True))
                for name, default in zip(header, defaults, strict=False):
                    event[name] = event[name] or default
                yield event
    except (csv.Error, UnicodeDecodeError) as error:
        raise ExportError(f"the export is not CSV: {error}") from None


def _whole_lines(file: Any) -> Iterator[str]:
    for line in file:
        if not line.endswith(b"\n"):
            raise ExportError(f"the export ends within a line, it was cut: {_shown(line)}")
        yield line.decode("utf-8-sig")


def _marked(lines: Iterator[bytes], marker: bytes, *, alone: bool) -> Iterator[dict[str, Any]]:
    for line in lines:
        if marker in line:
            yield _object(line)
        elif alone:
            raise ExportError(f"the export holds what is not an event of the run: {_shown(line)}")


def _lines(file: Any) -> Iterator[bytes]:
    """Yield the JSON of every event, from lines or from an array."""
    first = file.peek(_SHOWN)
    begin = first.lstrip()[:1]
    if begin == b"[":
        yield from members(file)
        return
    if begin not in (b"", b"{"):
        raise ExportError(f"the answer is not an export, not JSON: it begins with {_shown(first)}")
    for line in file:
        if not line.endswith(b"}\n") or not line.startswith(b"{"):
            bare = line.strip()
            if not bare:
                continue
            if bare[:1] != b"{" or bare[-1:] != b"}":
                raise ExportError(f"a line of the export is not a JSON object: {_shown(bare)}")
            if not line.endswith(b"\n"):  # the last line, where an export was cut
                _object(bare)
        yield line


def members(file: Readable) -> Iterator[bytes]:
    """Yield the members of a JSON array; memory holds one of them and a piece of the file.

    Raises:
        ExportError: A member is not an object, or the array has no end.
    """
    held, at, begin, depth, ended = b"", 0, 0, 0, False
    while piece := file.read(_PIECE):
        held, at, begin = held[begin:] + piece, at - begin, 0
        for token in _TOKEN.finditer(held, at):
            kind = token[0][:1]
            if kind == b'"' and not token[1]:  # its end is in the next piece
                at = token.start()
                break
            at = token.end()
            if depth < 2:  # noqa: PLR2004
                _check_between(held[begin : token.start()])
                opening = b"{" if depth else b"["
                if ended or (kind != opening and (depth == 0 or kind != b"]")):
                    raise ExportError(
                        f"a member of the export is not a JSON object: {_shown(held)}"
                    )
                begin = at if depth == 0 or kind == b"]" else token.start()
            if kind in b"{[":
                depth += 1
            elif kind in b"}]":
                depth -= 1
                ended = depth == 0
                if depth == 1:
                    yield held[begin:at]
                    begin = at
        else:
            at = len(held)
    if not ended:
        raise ExportError("the export ends before its array does: it was cut")
    _check_between(held[begin:])


def _check_between(text: bytes) -> None:
    if text.strip(_BETWEEN):
        raise ExportError(f"the export is not JSON where it says {_shown(text)}")


def _shown(text: bytes) -> str:
    return repr(text.strip()[:_SHOWN].decode("utf-8", "replace"))


def _value(value: Any) -> str:
    return _shown(orjson.dumps(value))


def _json(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        message = f"a line of the export is not JSON ({error.msg}): {_shown(line)}"
        raise ExportError(message) from None


def _object(line: bytes) -> dict[str, Any]:
    event = _json(line)
    if not isinstance(event, dict):
        raise ExportError(f"a line of the export is not a JSON object: {_shown(line)}")
    return event
