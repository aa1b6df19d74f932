"""Cells of a data file: text that is read as a value of some type."""

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
"""Integers that are already written as JSON writes them."""
_DIGITS_SURE: Final = 18
_TRUE: Final = frozenset({b"true", b"1", b"yes"})
_FALSE: Final = frozenset({b"false", b"0", b"no"})

Positions = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class CellType:
    """How the cells of a column are read; an empty cell is null, except in a column of strings.

    Attributes:
        name: The type in words, for messages.
        value: Returns the value of a cell; raises ``ValueError`` if the cell is not of this type.
        json: Returns the same value written as JSON.
        numeric: How many decimal points a cell of digits may have and be a number for certain;
            None if every cell must be parsed to check it.
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
    "int": CellType("a whole number", _integer, _integer_json, numeric=0),
    "float": CellType("a number", _float, _as_json(_float), numeric=1),
    "bool": CellType("true or false", _boolean, _as_json(_boolean)),
    "json": CellType("JSON", _json, _as_json(_json)),
}


def misfits(
    data: bytes, octets: Octets, begins: Positions, ends: Positions, kind: CellType, *, plain: bool
) -> Iterator[int]:
    """Yield the indexes of the cells that are not of a type.

    Args:
        data: The bytes that contain the cells.
        octets: The same bytes as an array.
        begins: The offset at which each cell begins.
        ends: The offset at which each cell ends.
        kind: The type.
        plain: Whether no cell is quoted.
    """
    doubtful = np.arange(len(begins))
    if kind.numeric is not None and plain:
        # most cells are digits, with one point for a float: these need not be parsed one by one
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
