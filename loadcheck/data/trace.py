"""A recorded trace: the arrival times of requests, replayed as a schedule.

The instants are kept in an unnamed temporary file, eight bytes each, and mapped into memory, which
the system can reclaim at any time.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import math
import mmap
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from loadcheck.data.table import DataError
from loadcheck.documents.files import note, reason_of

Floats = npt.NDArray[np.float64]

UNITS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Unit → nanoseconds."""
NAMES: Final = ("time", "timestamp", "ts", "@timestamp", "datetime", "date")
"""Usual names of a column of instants."""
_MOST_ROWS: Final = 1_000_000_000
_CHUNK: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 20
_NUMBER: Final = b"0123456789.+-eE\n"
_WHOLE_NUMBER: Final = b"0123456789-\n"
_MOST_BINS: Final = 10_000
_EXPECTED: Final = (
    'expected a number (seconds since 1970 or since the start) or "2026-01-31T12:00:00Z"'
)


class Trace:
    """The arrivals of a trace, timed from the first.

    Args:
        instants: Arrival times in ns since the first, ascending.
        shown: The file as the user named it.
        digest: Hash of the instants, which identifies the trace.

    Attributes:
        speed: Replay speed; 2 replays the trace in half the time.
        scale: How many copies each arrival stands for; may be a fraction.
    """

    def __init__(self, instants: npt.NDArray[np.int64], shown: str, digest: str) -> None:
        self._instants = instants
        self.shown = shown
        self._digest = digest
        self.speed = self.scale = 1.0
        self._bins: tuple[float, Floats] | None = None

    def __repr__(self) -> str:
        return f"Trace({self._digest}, speed={self.speed}, scale={self.scale})"

    @property
    def rows(self) -> int:
        """How many arrivals were recorded."""
        return len(self._instants)

    @property
    def total(self) -> float:
        """The expected number of copies."""
        return self.rows * self.scale

    @property
    def _end_ns(self) -> float:
        last = int(self._instants[-1])
        return last + (last / (self.rows - 1) if last else 1e9)

    @property
    def duration_s(self) -> float:
        """Duration of the replay in seconds; ends a mean gap after the last arrival."""
        return self._end_ns / self.speed / 1e9

    @property
    def peak_rate(self) -> float:
        """Copies per second in the busiest second, or in the busiest interval of a long trace."""
        return float(self._rates()[1].max())

    def rate_at(self, elapsed_s: float) -> float:
        """Return the copies per second around an instant; 0 outside of the trace."""
        width_s, rates = self._rates()
        place = math.floor(elapsed_s / width_s)
        return float(rates[place]) if 0 <= place < rates.size else 0.0

    def expected_at(self, elapsed_s: float) -> float:
        """Return the expected number of copies due by an instant."""
        at_ns = elapsed_s * self.speed * 1e9
        behind = int(np.searchsorted(self._instants, at_ns, side="left"))
        if behind == 0:
            return 0.0
        before = int(self._instants[behind - 1])
        after = self._end_ns if behind == self.rows else int(self._instants[behind])
        share = min(1.0, (at_ns - before) / (after - before))
        return self.scale * (behind - 1 + share)

    def instants(self, positions: Floats) -> Floats:
        """Return the instants, in seconds, by which the given numbers of copies are due.

        An arrival that stands for several copies spreads them evenly until the next arrival.
        """
        places = positions / self.scale
        first = np.minimum(places.astype(np.int64), self.rows - 1)
        before = self._instants[first].astype(np.float64)
        behind = self._instants[np.minimum(first + 1, self.rows - 1)].astype(np.float64)
        after = np.where(first == self.rows - 1, self._end_ns, behind)
        found: Floats = (before + (places - first) * (after - before)) / self.speed / 1e9
        return found

    def _rates(self) -> tuple[float, Floats]:
        """Return the length of an interval in seconds, and the copies per second in each."""
        if self._bins is None:
            width_s = max(1.0, self.duration_s / _MOST_BINS)
            counts = np.zeros(max(1, math.ceil(self.duration_s / width_s)))
            per_bin = width_s * self.speed * 1e9
            for first in range(0, self.rows, _CHUNK):
                places = (self._instants[first : first + _CHUNK] / per_bin).astype(np.int64)
                found = np.bincount(np.minimum(places, counts.size - 1), minlength=counts.size)
                counts += found
            if isinstance(self._instants, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
                self._instants._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # noqa: SLF001  # numpy hides it
            widths = np.full(counts.size, width_s)
            widths[-1] = max(self.duration_s - width_s * (counts.size - 1), 1e-9)
            if counts.size > 1:
                widths[-1] = width_s  # too short a remainder gives no meaningful rate
            self._bins = width_s, counts * self.scale / widths
        return self._bins


def read_trace(path: Path, shown: str, column: str | None = None, unit: str | None = None) -> Trace:
    """Read the instants of a trace.

    Args:
        path: A CSV or TSV file (``.csv``, ``.tsv``, ``.txt``, each also ``.gz``).
        shown: The file as the user named it.
        column: The column of the instants; None: the only one, or the first of :data:`NAMES` there.
        unit: The unit of numbers, a key of :data:`UNITS`; None: guessed from their size.

    Raises:
        DataError: It cannot be read, is empty or out of order, or a row has no instant; names the
            line where there is one.
    """
    note(path)
    digest, held = hashlib.sha256(), tempfile.TemporaryFile()  # noqa: SIM115  # outlives the call
    count = 0

    def keep(chunks: Iterator[npt.NDArray[np.int64]]) -> None:
        nonlocal count
        for chunk in chunks:
            digest.update(chunk.tobytes())
            held.write(chunk.tobytes())
            count += chunk.size
            if count > _MOST_ROWS:
                raise DataError(f"has more than {_MOST_ROWS:,} rows", "take a part of it")

    try:
        try:
            keep(_numbers(path, column, unit))
        except _NotPlainError:
            # read it again row by row, which also finds the line of an error
            digest, count = hashlib.sha256(), 0
            held.seek(0)
            held.truncate()
            keep(_chunks(path, column, unit))
        if not count:
            raise DataError("has no rows", "a trace has an instant a line")
        held.flush()
        instants = np.memmap(held, dtype=np.int64, mode="r", shape=(count,))
    except OSError as error:
        raise DataError(f"cannot be read: {reason_of(error)}") from None
    except (EOFError, zlib.error):
        raise DataError("is cut short", "compress it anew") from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8") from None
    finally:
        held.close()
    return Trace(instants, shown, digest.hexdigest()[:16])


class _NotPlainError(Exception):
    """A trace is not just ascending numbers between separators."""


def _numbers(path: Path, column: str | None, unit: str | None) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the same as :func:`_chunks` for a file of plain numbers, in a fraction of the time.

    Raises:
        _NotPlainError: The file must be read row by row.
    """
    name = path.name.lower()
    separator = b"\t" if name.removesuffix(".gz").endswith((".tsv", ".tab")) else b","
    opened = gzip.open if name.endswith(".gz") else open
    with opened(path, "rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        place, _, line = _place(csv.reader(text, delimiter=separator.decode()), column)
    base: int | None = None
    before, per = 0, 0
    with opened(path, "rb") as raw:
        head = b"".join(raw.readline() for _ in range(line - 1))
        if b'"' in head or head.count(b"\r") != head.count(b"\r\n"):
            raise _NotPlainError
        while piece := raw.read(_PIECE_BYTES) + raw.readline():
            rows = piece.replace(b"\r\n", b"\n").strip(b"\n")
            if base is None:
                rows = rows.removeprefix(b"\xef\xbb\xbf")
            if not rows:
                continue
            cells = _cells(rows, separator, place)
            if base is None:
                per = _per(cells.partition(b"\n")[0].decode("ascii", "replace"), unit)
            found = _in_ns(cells, per)
            if found.size != rows.count(b"\n") + 1:
                raise _NotPlainError
            base = int(found[0]) if base is None else base
            found -= base
            if (np.diff(found, prepend=before) < 0).any():
                raise _NotPlainError
            before = int(found[-1])
            yield found


def _cells(rows: bytes, separator: bytes, place: int) -> bytes:
    """Return one column as lines, one for each row."""
    if separator not in rows and place == 0:
        return rows
    if b'"' in rows or b"\r" in rows:
        raise _NotPlainError
    if not rows.isascii():
        rows.decode()
    try:
        return b"\n".join([row.split(separator, place + 1)[place] for row in rows.split(b"\n")])
    except IndexError:
        raise _NotPlainError from None


def _per(cell: str, unit: str | None) -> int:
    """Return the ns in one unit of a number such as this one."""
    try:
        value = float(cell)
    except ValueError:
        raise _NotPlainError from None
    return UNITS[_unit(value, unit)]


def _in_ns(cells: bytes, per: int) -> npt.NDArray[np.int64]:
    """Convert lines of numbers to ns."""
    if cells.translate(None, _NUMBER if per > 1 else _WHOLE_NUMBER):
        raise _NotPlainError
    try:
        listed = orjson.loads(b"[" + cells.replace(b"\n", b",") + b"]")
        if per == 1:
            return np.array(listed, dtype=np.int64)
        found = np.rint(np.array(listed, dtype=np.float64) * per)
    except (ValueError, OverflowError):
        raise _NotPlainError from None
    if not (np.abs(found) < 2.0**63).all():
        raise _NotPlainError
    return found.astype(np.int64)


def _chunks(path: Path, column: str | None, unit: str | None) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the instants in ns since the first, in arrays of up to :data:`_CHUNK`."""
    stem = path.name.lower().removesuffix(".gz")
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rb") as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
        rows = csv.reader(text, delimiter="\t" if stem.endswith((".tsv", ".tab")) else ",")
        place, ahead, line = _place(rows, column)
        base: int | None = None
        before, read = 0, None
        rows = itertools.chain(ahead, rows)  # type: ignore[assignment]
        while True:
            try:
                held = list(itertools.islice(rows, _CHUNK))
            except csv.Error as error:
                raise DataError(str(error), "check its quotes", line) from None
            if not held:
                return
            if read is None:
                read = _reader(held[0][place] if len(held[0]) > place else "", unit, line)
            try:
                found = np.array([read(row[place]) for row in held if row], dtype=np.int64)
            except (ValueError, IndexError, OverflowError):
                _raise_for(held, place, read, line)
                raise
            if found.size:
                base = int(found[0]) if base is None else base
                found -= base
                _check_order(held, found, before, line)
                before = int(found[-1])
                yield found
            line += len(held)


def _place(rows: Iterator[list[str]], column: str | None) -> tuple[int, list[list[str]], int]:
    """Return the index of the instant's cell, rows read ahead, and the first data row's line."""
    first: list[str] = []
    line = 0
    for first in rows:
        line += 1
        if first:
            break
    if not first:
        raise DataError("has no rows", "a trace has an instant a line")
    names = [cell.strip() for cell in first]
    if column is not None:
        if column not in names:
            raise DataError(f"has no column {column}", f"it has {', '.join(names)}", line)
        return names.index(column), [], line + 1
    for place, cell in enumerate(names):
        if _is_instant(cell):
            return place, [first], line
    known = [names.index(name) for name in NAMES if name in names]
    if known or len(names) == 1:
        if not known and len(names[0]) and names[0][0].isdigit():
            raise DataError(f"{names[0][:40]!r} is not an instant", _EXPECTED, line)
        return (known or [0])[0], [], line + 1
    listed = ", ".join(names)
    raise DataError("does not say which column is the time", f"column = one of {listed}", line)


def _is_instant(cell: str) -> bool:
    try:
        _reader(cell, None, 0)(cell)
    except (DataError, ValueError, OverflowError):
        return False
    return True


def _reader(cell: str, unit: str | None, line: int) -> Callable[[str], int]:
    """Return a function that reads cells such as this one as ns since 1970 or another start."""
    try:
        value = float(cell)
    except ValueError:
        return _of_date
    if not math.isfinite(value):
        raise DataError(f"{cell!r} is not an instant", _EXPECTED, line)
    per = UNITS[_unit(value, unit)]
    if per == 1:
        return lambda text: int(text) if "." not in text else int(float(text))
    return lambda text: round(float(text) * per)


def _unit(value: float, unit: str | None) -> str:
    """Return the unit of a number, guessed from its size if not given."""
    sizes = ((1e11, "s"), (1e14, "ms"), (1e17, "us"))
    return unit or next((name for most, name in sizes if abs(value) < most), "ns")


def _of_date(text: str) -> int:
    found = datetime.fromisoformat(text.strip())
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (int(found.timestamp()) * 1_000_000 + found.microsecond) * 1000


def _raise_for(
    rows: Sequence[list[str]], place: int, read: Callable[[str], int], line: int
) -> None:
    """Raise for the first row that holds no instant."""
    for number, row in enumerate(rows):
        if not row:
            continue
        if len(row) <= place:
            raise DataError("has no cell for the time", "every row has one", line + number)
        try:
            read(row[place])
        except (ValueError, OverflowError):
            message = f"{row[place][:40]!r} is not an instant"
            raise DataError(message, _EXPECTED, line + number) from None


def _check_order(
    rows: Sequence[list[str]], found: npt.NDArray[np.int64], before: int, line: int
) -> None:
    earlier = np.flatnonzero(np.diff(found, prepend=before) < 0)
    if earlier.size:
        lines = [line + number for number, row in enumerate(rows) if row]
        raise DataError(
            "is earlier than the row before", "sort the file by time", lines[int(earlier[0])]
        )
