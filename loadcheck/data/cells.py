"""Cells of a data file: text that stands for a value of some type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

_INTEGER: Final = re.compile(rb"[+-]?[0-9]{1,19}")
_CANONICAL: Final = re.compile(rb"-?(?:0|[1-9][0-9]{0,17})")
"""What JSON writes just so."""
_DIGITS_SURE: Final = 18
_TRUE: Final = frozenset({b"true", b"1", b"yes"})
_FALSE: Final = frozenset({b"false", b"0", b"no"})

Positions = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CellType:
    """How the cells of a column are read; an empty one is null, but for strings.

    Attributes:
        name: What a cell is, in words.
        value: Gives the value of a cell; raises ``ValueError`` if it stands for none.
        json: Gives the same, written as JSON.
        numeric: How many bytes other than digits a cell may have that is a number for certain;
            None if each has to be read.
    """

    name: str
    value: Callable[[bytes], Any]
    json: Callable[[bytes], bytes]
    numeric: int | None = None


def _string(cell: bytes) -> str:
    return cell.decode()


def _string_json(cell: bytes) -> bytes:
    return orjson.dumps(cell.decode())


def _integer(cell: bytes) -> int | None:
    if not cell:
        return None
    if not _INTEGER.fullmatch(cell):
        raise ValueError(cell)
    number = int(cell)
    if not -(2**63) <= number < 2**64:
        raise ValueError(cell)
    return number


def _integer_json(cell: bytes) -> bytes:
    return cell if _CANONICAL.fullmatch(cell) else orjson.dumps(_integer(cell))


def _float(cell: bytes) -> float | None:
    if not cell:
        return None
    if b"_" in cell or cell != cell.strip():
        raise ValueError(cell)
    number = float(cell)
    if not math.isfinite(number):
        raise ValueError(cell)
    return number


def _boolean(cell: bytes) -> bool | None:
    word = cell.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    if word:
        raise ValueError(cell)
    return None


def _json(cell: bytes) -> Any:
    return orjson.loads(cell) if cell else None


def _as_json(value: Callable[[bytes], Any]) -> Callable[[bytes], bytes]:
    return lambda cell: orjson.dumps(value(cell))


CELL_TYPES: Final = {
    "string": CellType("text", _string, _string_json),
    "int": CellType("whole number", _integer, _integer_json, numeric=0),
    "float": CellType("number", _float, _as_json(_float), numeric=1),
    "bool": CellType("true or false", _boolean, _as_json(_boolean)),
    "json": CellType("JSON", _json, _as_json(_json)),
}


def misfits(
    data: bytes, octets: Octets, begins: Positions, ends: Positions, kind: CellType, *, plain: bool
) -> Iterator[int]:
    """Yield the places of the cells that are not of a type.

    Args:
        data: What holds the cells.
        octets: The same, for numpy.
        begins: Where each begins.
        ends: Where each ends.
        kind: The type.
        plain: Whether no cell is quoted.
    """
    doubtful = np.arange(len(begins))
    if kind.numeric is not None and plain:
        # digits, and for a float one point: most are settled without reading them one by one
        other = (octets - 48 > 9).astype(np.uint8)  # noqa: PLR2004  # wraps below "0"
        edges = np.column_stack((begins, ends)).ravel()
        counted = np.add.reduceat(other, edges)[::2]
        length = ends - begins
        fine = (counted == 0) & (length > 0) & (length <= _DIGITS_SURE)
        if kind.numeric:
            points = np.add.reduceat((octets == ord(".")).view(np.uint8), edges)[::2]
            fine |= (counted == 1) & (points == 1) & (length > 1) & (length <= _DIGITS_SURE)
        doubtful = np.flatnonzero(~fine)
    for index in doubtful.tolist():
        cell = data[begins[index] : ends[index]].removesuffix(b"\r")
        if cell.startswith(b'"'):
            cell = cell[1:-1].replace(b'""', b'"')
        try:
            kind.value(cell)
        except ValueError:
            yield index
