"""Data files, read row by row without holding them in memory.

A file is scanned once: every row is checked, and the offset of every few rows is recorded. A row is
then found by its number with one read of a block of rows.
"""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import io
import os
import stat
import tempfile
import weakref
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from loadcheck.data.cells import CELL_TYPES, CellType, misfits
from loadcheck.documents.files import note, reason_of

_CHUNK_BYTES: Final = 1 << 21
_BLOCK_BYTES: Final = 512
"""About this much is read to get one row."""
_MOST_ROWS_IN_BLOCK: Final = 16
_HELD_BYTES: Final = 4 * 1024 * 1024
"""Up to this file size, the cells of the columns in use are held in memory, encoded as JSON."""
_HASHED_BYTES: Final = 32 * 1024 * 1024
_LONGEST_ROW_BYTES: Final = 16 * 1024 * 1024
_LARGEST_JSON_BYTES: Final = 256 * 1024 * 1024
_LARGEST_UNPACKED_BYTES: Final = 32 * 1024**3
_NEWLINE: Final = 10
_RETURN: Final = 13
_QUOTE: Final = 34
_BOM: Final = b"\xef\xbb\xbf"

KINDS: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
"""Suffix of a file → its format."""

Positions = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


class DataError(Exception):
    """A data file cannot be used.

    Attributes:
        message: What is wrong, in a few words.
        remedy: What to do; "" if the message says it all.
        line: The line of the file, from 1; None if the file as a whole is wrong.
    """

    def __init__(self, message: str, remedy: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.line = line


class Column(NamedTuple):
    """A column of a data file.

    Attributes:
        value: Returns the JSON value of a row's cell.
        json: Returns the same value encoded as JSON.
        held: All of its cells encoded as JSON; None if the file is too large to hold them.
    """

    value: Callable[[Any], Any]
    json: Callable[[Any], bytes]
    held: Sequence[bytes] | None = None


class DataTable(Protocol):
    """The rows of a data file.

    Attributes:
        names: Its columns, in order.
        rows: How many rows it has.
    """

    names: tuple[str, ...]
    rows: int

    def read(self, indexes: Iterable[int]) -> Sequence[Any]:
        """Return the rows with these numbers, from 0, as the functions of a column take them.

        Raises:
            DataError: The file has changed since it was scanned.
        """

    def column(self, name: str) -> Column:
        """Return a column by its name."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The format of a file.

    Attributes:
        kind: "csv", "tsv", "jsonl" or "json".
        packed: Whether it is compressed with gzip.
        separator: The character between the cells of a row.
        types: Pairs of a column and the type of its cells; other columns hold strings.
    """

    kind: str
    packed: bool
    separator: str = ","
    types: tuple[tuple[str, str], ...] = ()


def layout_of(
    name: str, separator: str | None = None, types: Mapping[str, str] | None = None
) -> FileFormat | None:
    """Return the layout of a file, judged by its name; None if its suffix is unknown."""
    packed = name.lower().endswith(".gz")
    kind = KINDS.get(Path(name.lower().removesuffix(".gz")).suffix)
    if kind is None:
        return None
    between = separator or ("\t" if kind == "tsv" else ",")
    return FileFormat(kind, packed, between, tuple(sorted((types or {}).items())))


def fingerprint(path: Path) -> str:
    """Return a fingerprint of a file: its length and a hash of its content.

    Of a large file only evenly spaced pieces are hashed.

    Raises:
        DataError: It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            if size <= _HASHED_BYTES:
                digest = hashlib.file_digest(opened, "sha256")
            else:
                pieces = _HASHED_BYTES // _CHUNK_BYTES
                for piece in range(pieces):
                    begin = (size - _CHUNK_BYTES) * piece // (pieces - 1)
                    digest.update(os.pread(opened.fileno(), _CHUNK_BYTES, begin))
    except OSError as error:
        raise DataError(f"cannot be read: {reason_of(error)}") from None
    return f"{size}:{digest.hexdigest()[:32]}"


def open_table(path: Path, layout: FileFormat) -> DataTable:
    """Scan a file and return its rows; an unchanged file is not scanned again.

    Raises:
        DataError: It cannot be read, or a row is malformed; names the line.
    """
    note(path)
    try:
        known = path.stat()
    except OSError as error:
        raise DataError(f"cannot be read: {reason_of(error)}") from None
    if not stat.S_ISREG(known.st_mode):
        raise DataError("is not a file", "name a file")
    return _scanned(path, layout, (known.st_ino, known.st_size, known.st_mtime_ns))


@functools.lru_cache(maxsize=16)
def _scanned(path: Path, layout: FileFormat, _version: tuple[int, int, int]) -> DataTable:
    """Scan a file; cached, because a run compiles its scenario several times."""
    try:
        descriptor = _descriptor(path, layout)
        if layout.kind in {"jsonl", "json"}:
            return _JsonTable(descriptor, lines=layout.kind == "jsonl")
        return _CsvTable(descriptor, layout)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"is not a whole gzip file: {error}", "pack it again") from None
    except OSError as error:
        raise DataError(f"cannot be read: {reason_of(error)}") from None


def _descriptor(path: Path, layout: FileFormat) -> int:
    """Return a descriptor of the decompressed rows that allows reads at any offset."""
    if not layout.packed and layout.kind != "json":
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with tempfile.TemporaryFile() as plain:
        with gzip.open(path) if layout.packed else path.open("rb") as opened:
            if layout.kind == "json":
                plain.writelines(_json_lines(opened.read(_LARGEST_JSON_BYTES + 1)))
            else:
                _copy(opened, plain)
        plain.flush()
        return os.dup(plain.fileno())


def _copy(packed: Any, plain: Any) -> None:
    size = 0
    while piece := packed.read(_CHUNK_BYTES):
        size += len(piece)
        if size > _LARGEST_UNPACKED_BYTES:
            raise DataError("unpacks to more than 32 GB", "take a part of it")
        plain.write(piece)


def _json_lines(content: bytes) -> Iterator[bytes]:
    if len(content) > _LARGEST_JSON_BYTES:
        raise DataError(
            f"holds more than {_LARGEST_JSON_BYTES:,} bytes", "write it as JSON lines: .jsonl"
        )
    try:
        rows = orjson.loads(content.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise DataError(f"is not JSON: {error.msg}", "", error.lineno) from None
    if not isinstance(rows, list):
        raise DataError("is not an array of objects", "expected [{…}, {…}]")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"entry {number:,} is not an object", "expected [{…}, {…}]")
        yield orjson.dumps(row) + b"\n"


class _Blocks:
    """The offsets of the rows of a file.

    Attributes:
        rows: How many rows there are.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self.rows = 0
        self._each = 0
        self._starts = array("Q")
        self._end = 0
        self._last = -1
        self._block: Sequence[Any] = ()
        self._cells: dict[str, Sequence[bytes]] = {}

    def add(self, begin: int, ends: Positions) -> None:
        """Record consecutive rows.

        Args:
            begin: The offset at which the first begins.
            ends: The offset at which each ends, after its newline.
        """
        if not ends.size:
            return
        if not self._each:
            average = (int(ends[-1]) - begin) / ends.size
            self._each = max(1, min(_MOST_ROWS_IN_BLOCK, int(_BLOCK_BYTES / average)))
        begins = np.concatenate((np.array([begin], dtype=np.int64), ends[:-1]))
        first = -self.rows % self._each
        self._starts.frombytes(begins[first :: self._each].astype(np.uint64).tobytes())
        self.rows += int(ends.size)
        # the last row may lack its newline
        self._end = min(int(ends[-1]), os.fstat(self.descriptor).st_size)

    def held(
        self, name: str, column: Column, read: Callable[[Iterable[int]], Sequence[Any]]
    ) -> Column:
        """Return a column, with all of its cells held if the file is small."""
        if self._end > _HELD_BYTES:
            return column
        if name not in self._cells:
            # most columns have few distinct cells: hold each only once
            known: dict[bytes, bytes] = {}
            cells = map(column.json, read(range(self.rows)))
            self._cells[name] = [known.setdefault(cell, cell) for cell in cells]
        return column._replace(held=self._cells[name])

    def read(self, indexes: Iterable[int], split: Callable[[bytes], Sequence[Any]]) -> list[Any]:
        """Return the rows with these numbers, from 0; ``split`` splits a block into rows."""
        each, last, block = self._each, self._last, self._block
        found = []
        for index in indexes:
            place = index // each
            if place != last:
                block, last = split(self._bytes(place)), place
                self._block, self._last = block, last
            try:
                found.append(block[index - place * each])
            except IndexError:
                raise DataError("has changed since the run began") from None
        return found

    def _bytes(self, place: int) -> bytes:
        begin = self._starts[place]
        last = place + 1 >= len(self._starts)
        end = self._end if last else self._starts[place + 1]
        data = os.pread(self.descriptor, end - begin, begin)
        if len(data) != end - begin:
            raise DataError("has become shorter since the run began")
        return data


def _scan(descriptor: int, records: Callable[[bytes, int], int]) -> tuple[int, bool] | None:
    """Pass a file to ``records`` in pieces that begin with a row.

    Args:
        descriptor: The file.
        records: Records the complete rows of a piece and returns their length in bytes; its second
            argument is the offset of the piece in the file.

    Returns:
        The offset of a row that does not end, and whether the file ends within it (otherwise the
        row is too long); None if every row ends.
    """
    at, rest, ended = 0, b"", False
    while not ended:
        chunk = os.pread(descriptor, _CHUNK_BYTES, at + len(rest))
        ended = not chunk
        data = rest + chunk
        if ended and data and not data.endswith(b"\n"):
            data += b"\n"
        if not at and data.startswith(_BOM):
            at, data = len(_BOM), data[len(_BOM) :]
        used = records(data, at) if data else 0
        rest = data[used:]
        at += used
        if rest and (ended or len(rest) > _LONGEST_ROW_BYTES):
            return at, ended
    return None


class _CsvTable:
    """Rows of cells: CSV (RFC 4180) and TSV."""

    def __init__(self, descriptor: int, layout: FileFormat) -> None:
        self._blocks = _Blocks(descriptor)
        self._separator = layout.separator.encode()
        self._types: Mapping[str, str] = dict(layout.types)
        self.names: tuple[str, ...] = ()
        self._typed: list[tuple[int, CellType]] = []
        self._scan()
        self.rows = self._blocks.rows

    def read(self, indexes: Iterable[int]) -> list[list[bytes]]:
        separator = self._separator
        return [
            row.split(separator) if isinstance(row, bytes) else row
            for row in self._blocks.read(indexes, self._split)
        ]

    def column(self, name: str) -> Column:
        place = self.names.index(name)
        kind = CELL_TYPES[self._types.get(name, "string")]
        value, json = kind.value, kind.json
        column = Column(lambda row: value(row[place]), lambda row: json(row[place]))
        return self._blocks.held(name, column, self.read)

    def _split(self, data: bytes) -> Sequence[bytes | list[bytes]]:
        if b'"' not in data:
            plain = data.replace(b"\r\n", b"\n") if b"\r" in data else data
            return plain.split(b"\n")
        text = io.StringIO(data.decode(), newline="")
        return [
            [cell.encode() for cell in cells]
            for cells in csv.reader(text, delimiter=self._separator.decode())
        ]

    def _scan(self) -> None:
        rest_at = _scan(self._blocks.descriptor, self._records)
        if rest_at is not None:
            at, ended = rest_at
            message = "a quote is opened here and never closed" if ended else "the row is endless"
            raise DataError(message, 'a quote inside a cell is doubled: ""', self._line(at))
        if not self.names:
            raise DataError("is empty", "its first row names the columns")

    def _records(self, data: bytes, at: int) -> int:
        """Check and record the complete rows of a piece of the file; return their length in bytes.

        Args:
            data: The piece, which begins with a row.
            at: Its offset in the file.
        """
        octets = np.frombuffer(data, dtype=np.uint8)
        marks = octets == _NEWLINE
        marks |= octets == self._separator[0]
        quotes = np.flatnonzero(octets == _QUOTE) if b'"' in data else None
        if quotes is not None:
            # between quotes, separators and newlines end nothing
            inside = np.bitwise_xor.accumulate((octets == _QUOTE).view(np.uint8))
            marks &= inside == 0
        places = np.flatnonzero(marks)
        ends = np.flatnonzero(octets[places] == _NEWLINE)
        if not ends.size:
            return 0
        used = int(places[ends[-1]]) + 1
        self._check_text(data[:used], at)
        if quotes is not None:
            self._check_quotes(octets, quotes[quotes < used], at)
        ends_at = np.concatenate((np.zeros(1, dtype=np.int64), places[ends] + 1))
        marked = np.concatenate((np.zeros(1, dtype=np.int64), ends + 1))
        first = 0
        if not self.names:
            self._header(data[: int(ends_at[1])])
            first = 1
        last = first + self._sound(data, np.diff(marked)[first:], ends_at[first:], at)
        if last > first and self._typed:
            own = places[marked[first] : marked[last]]
            self._check_types(data[:used], own, int(ends_at[first]), at, plain=quotes is None)
        self._blocks.add(at + int(ends_at[first]), ends_at[first + 1 : last + 1] + at)
        return used

    def _header(self, line: bytes) -> None:
        text = io.StringIO(line.decode().rstrip("\r\n"), newline="")
        try:
            names = next(csv.reader(text, delimiter=self._separator.decode()), [])
        except csv.Error as error:
            raise DataError(f"its first row cannot be read: {error}", "", 1) from None
        self.names = tuple(name.strip() for name in names)
        for name in self.names:
            if not name or self.names.count(name) > 1:
                message = f'two columns are called "{name}"' if name else "a column has no name"
                raise DataError(message, "the first row names the columns", 1)
        self._typed = [
            (self.names.index(name), CELL_TYPES[kind])
            for name, kind in self._types.items()
            if name in self.names
        ]

    def _check_text(self, data: bytes, at: int) -> None:
        if data.isascii():
            return
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                "is not UTF-8", "save it as UTF-8", self._line(at + error.start)
            ) from None

    def _check_quotes(self, octets: Octets, quotes: Positions, at: int) -> None:
        """Refuse quotes in the middle of a cell, which would hide where it ends."""
        around = (self._separator[0], _NEWLINE, _QUOTE)
        before = octets[np.maximum(quotes[::2] - 1, 0)]
        wrong = quotes[::2][~np.isin(before, around) & (quotes[::2] > 0)]
        closing = quotes[1::2]
        after = octets[np.minimum(closing + 1, len(octets) - 1)]
        wrong = np.concatenate((wrong, closing[~np.isin(after, (*around, _RETURN))]))
        if wrong.size:
            remedy = 'a cell with a quote in it is quoted, and the quote doubled: "5"" pipe"'
            message = "a quote in the middle of a cell"
            raise DataError(message, remedy, self._line(at + int(wrong.min())))

    def _sound(self, data: bytes, counts: Positions, ends: Positions, at: int) -> int:
        """Return how many rows there are, without empty lines at the end of the file.

        Rows whose number of cells differs from the first row's are refused.

        Args:
            data: A piece of the file.
            counts: The number of cells in each row.
            ends: The offset in the piece at which the first row begins, then where each row ends.
            at: The offset of the piece in the file.
        """
        wrong = counts != len(self.names)
        if len(self.names) == 1:
            wrong |= np.diff(ends) <= len(b"\r\n")  # an empty line looks like one empty cell
        for index in np.flatnonzero(wrong).tolist():
            begin = int(ends[index])
            empty = not data[begin : int(ends[index + 1])].strip()
            if not empty and counts[index] == len(self.names):
                continue
            if empty and _is_blank(self._blocks.descriptor, at + begin):
                return int(index)
            message = (
                "the line is empty"
                if empty
                else f"the row has {counts[index]} cells, the first row names {len(self.names)}"
            )
            remedy = "take it out" if empty else "a cell that holds the separator is quoted"
            raise DataError(message, remedy, self._line(at + begin))
        return len(counts)

    def _check_types(
        self, data: bytes, places: Positions, begin: int, at: int, *, plain: bool
    ) -> None:
        """Refuse cells that are not of their column's type."""
        width = len(self.names)
        ends = places.reshape(-1, width)
        begins = np.concatenate((np.array([begin]), places[:-1] + 1)).reshape(-1, width)
        octets = np.frombuffer(data, dtype=np.uint8)
        for place, kind in self._typed:
            first, last = begins[:, place], ends[:, place]
            for index in misfits(data, octets, first, last, kind, plain=plain):
                cell = data[int(first[index]) : int(last[index])].strip(b'\r"')
                shown = cell[:40].decode(errors="replace")
                raise DataError(
                    f'the cell "{shown}" of column {self.names[place]} is not {kind.name}',
                    "correct it, or leave the column's type out",
                    self._line(at + int(first[index])),
                )

    def _line(self, place: int) -> int:
        return line_at(self._blocks.descriptor, place)


class _JsonTable:
    """Rows that are JSON objects, one per line."""

    def __init__(self, descriptor: int, *, lines: bool) -> None:
        self._blocks = _Blocks(descriptor)
        self._lines = lines
        self.names: tuple[str, ...] = ()
        self._scan()
        self.rows = self._blocks.rows

    def read(self, indexes: Iterable[int]) -> list[Mapping[str, Any]]:
        return [
            orjson.loads(line)
            for line in self._blocks.read(indexes, lambda data: data.split(b"\n"))
        ]

    def column(self, name: str) -> Column:
        column = Column(lambda row: row.get(name), lambda row: orjson.dumps(row.get(name)))
        return self._blocks.held(name, column, self.read)

    def _scan(self) -> None:
        descriptor = self._blocks.descriptor
        if (rest_at := _scan(descriptor, self._records)) is not None:
            raise DataError("the row is endless", "", line_at(descriptor, rest_at[0]))
        if not self._blocks.rows and self._lines:
            raise DataError("is empty", "expected a JSON object in every line")

    def _records(self, data: bytes, at: int) -> int:
        data = data[: data.rfind(b"\n") + 1]
        place, known = at, dict.fromkeys(self.names)
        for line in data.split(b"\n")[:-1]:
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                if not line.strip() and _is_blank(self._blocks.descriptor, place):
                    break
                what = (
                    "the line is empty" if not line.strip() else f"the row is not JSON: {error.msg}"
                )
                raise self._refused(what, place) from None
            if not isinstance(row, dict):
                raise self._refused("the row is not a JSON object", place)
            if not row.keys() <= known.keys():
                known.update(dict.fromkeys(row))
            place += len(line) + 1
        self.names = tuple(known)
        ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE) + 1 + at
        self._blocks.add(at, ends[ends <= place])
        return len(data)

    def _refused(self, message: str, place: int) -> DataError:
        remedy = "expected a JSON object in every line"
        return DataError(message, remedy, line_at(self._blocks.descriptor, place))


def _is_blank(descriptor: int, place: int) -> bool:
    """Return whether only blank lines, less than a chunk of them, follow an offset of a file."""
    rest = os.pread(descriptor, _CHUNK_BYTES, place)
    return len(rest) < _CHUNK_BYTES and not rest.strip()


def line_at(descriptor: int, place: int) -> int:
    """Return the line, from 1, of the byte at an offset of a file."""
    line, at = 1, 0
    while at < place and (chunk := os.pread(descriptor, min(_CHUNK_BYTES, place - at), at)):
        line += chunk.count(b"\n")
        at += len(chunk)
    return line
