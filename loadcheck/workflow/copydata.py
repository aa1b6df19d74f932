"""Rows and drawn values as expressions: ``$data.NAME.column``, ``$values.NAME``.

Tables in the inputs and the overlay of a scenario may also be drawn from in place, see
:mod:`loadcheck.data.values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from loadcheck.data import DataFile, Variety
from loadcheck.data.order import BLOCK, Bits, BlockValues, blockwise, rows_of
from loadcheck.data.table import Column, DataError, DataTable, open_table
from loadcheck.data.values import LITERAL, SpecError, drawn, word_of
from loadcheck.errors import did_you_mean
from loadcheck.workflow.expressions import Dynamic, Frame, Slot, UnsendableError
from loadcheck.workflow.expressions.grammar import ExpressionError

PER_COPY: Final = ("$copy.", "$data.", "$values.")
"""Prefixes of the expressions whose values differ from copy to copy."""
MANY: Final = "many:"
UNIQUE: Final = "unique:"
"""Prefixes that mark a drawn value among the dependencies of an expression: ``MANY`` a list of
varying length, ``UNIQUE`` a value that no two copies share."""

_ROWS_AT_ONCE: Final = 32
_CHOSEN_AT_ONCE: Final = 256


class _Source(NamedTuple):
    """An open data file, and functions from copies' numbers to row numbers and to rows."""

    file: DataFile
    table: DataTable
    indexes: Callable[[Bits], Sequence[int | UnsendableError]]
    rows: Callable[[Bits], Sequence[Any]]


class CopyData:
    """Resolves expressions for rows and drawn values.

    Args:
        variety: The data files and values of the run.
    """

    def __init__(self, variety: Variety) -> None:
        self._variety = variety
        self._sources: dict[str, _Source] = {}
        self._columns: dict[tuple[str, str], Dynamic] = {}
        self._values: dict[str, Any] = {}

    def column(self, name: str, column: str) -> Dynamic:
        """Return the value of ``$data.NAME.COLUMN``.

        Raises:
            ExpressionError: There is no such file or column, or the file cannot be read.
        """
        if (name, column) not in self._columns:
            source = self._source(name)
            if column not in source.table.names:
                remedy = did_you_mean(column, source.table.names)
                raise ExpressionError(f"{source.file.shown} has no column {column}", remedy)
            text = f"$data.{name}.{column}"
            self._columns[name, column] = _read(source, source.table.column(column), text)
        return self._columns[name, column]

    def value(self, name: str) -> Any:
        """Return the value of ``$values.NAME``.

        Raises:
            ExpressionError: There is no such value, or it cannot be drawn from.
        """
        specs = self._variety.values
        if name not in specs:
            remedy = did_you_mean(name, specs) or "give it in [values]"
            raise ExpressionError(f'there is no value "{name}"', remedy)
        if name not in self._values:
            try:
                self._values[name] = self.inline(specs[name], f"values.{name}", f"$values.{name}")
            except SpecError as error:
                raise ExpressionError(f"values.{name}: {error.message}", error.remedy) from None
        return self._values[name]

    def inline(self, value: Any, key: str, text: str | None = None) -> Any:
        """Return a JSON value with every table to draw from replaced by a dynamic value.

        Args:
            value: The value as written in the scenario.
            key: Its key in the scenario.
            text: The expression for the drawn value; None: made from the key.

        Raises:
            SpecError: A table cannot be drawn from.
        """
        if isinstance(value, list):
            return [self.inline(item, f"{key}.{place}") for place, item in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        if value.keys() == {LITERAL}:
            return value[LITERAL]
        word = word_of(value)
        if word is not None:
            return _drawn(value, word, self._variety.seed, key, text or f"$values.{key}")
        return {name: self.inline(item, f"{key}.{name}") for name, item in value.items()}

    def _source(self, name: str) -> _Source:
        if name not in self._sources:
            files = self._variety.files
            if name not in files:
                remedy = did_you_mean(name, files) or f"name its file: [data.{name}]"
                raise ExpressionError(f'there is no data "{name}"', remedy)
            file = files[name]
            try:
                table = open_table(file.path, file.layout)
            except DataError as error:
                raise ExpressionError(f"{file.shown} {error.message}", error.remedy) from None
            choose = rows_of(file.order, max(1, table.rows), self._variety.seed, name)
            chosen = BlockValues(choose, _CHOSEN_AT_ONCE)
            cut = {size: chosen.cut(size).make for size in (_ROWS_AT_ONCE, BLOCK)}
            indexes = _taker(file, table, lambda numbers: cut[len(numbers)](numbers))
            self._sources[name] = _Source(file, table, indexes, _reader(file, table, indexes))
        return self._sources[name]


def _taker(
    file: DataFile, table: DataTable, choose: Callable[[Bits], Sequence[int]]
) -> Callable[[Bits], Sequence[int | UnsendableError]]:
    """Return a function that gives each copy's row number, or an error for a copy without a row."""
    if file.end == "cycle" or file.order == "random":
        return choose

    def within(numbers: Bits) -> Sequence[int | UnsendableError]:
        left = max(0, min(len(numbers), table.rows - int(numbers[0])))
        none = [
            UnsendableError(f"{file.shown} has no row for copy {number:,}")
            for number in numbers[left:].tolist()
        ]
        return [*choose(numbers)[:left], *none]

    return within


def _reader(
    file: DataFile, table: DataTable, indexes: Callable[[Bits], Sequence[int | UnsendableError]]
) -> Callable[[Bits], Sequence[Any]]:
    """Return a function that reads the rows of copies, with an error in place of a missing row."""
    last: tuple[int, Sequence[Any]] = (-1, ())

    def read(numbers: Bits) -> Sequence[Any]:
        nonlocal last
        first = int(numbers[0])
        if last[0] != first:
            wanted = indexes(numbers)
            places = [place for place in wanted if isinstance(place, int)]
            errors = wanted[len(places) :]
            try:
                rows = table.read(places)
            except (DataError, ValueError) as error:
                rows = [UnsendableError(f"{file.shown}: {error}")] * len(places)
            last = first, [*rows, *errors]
        return last[1]

    return read


def _read(source: _Source, column: Column, text: str) -> Dynamic:
    """Return the value of a column in each copy's row."""
    value, json, held = column.value, column.json, column.held

    def values(numbers: Bits) -> list[Any]:
        return [
            row if isinstance(row, UnsendableError) else value(row) for row in source.rows(numbers)
        ]

    def texts(numbers: Bits) -> list[Any]:
        if held is not None:
            return [
                held[place] if isinstance(place, int) else place
                for place in source.indexes(numbers)
            ]
        return [
            row if isinstance(row, UnsendableError) else json(row) for row in source.rows(numbers)
        ]

    of = blockwise(values, _ROWS_AT_ONCE)

    def evaluate(frame: Frame) -> Any:
        found = of(frame[Slot.NUMBER])
        if isinstance(found, UnsendableError):
            raise found
        return found

    series = BlockValues(texts, _ROWS_AT_ONCE if held is None else BLOCK)
    return Dynamic(text=text, evaluate=evaluate, uses=frozenset({text}), series=series)


def _drawn(value: Mapping[str, Any], word: str, seed: int, key: str, text: str) -> Dynamic:
    found = drawn(value, word, seed, key)
    of, json, timed, written = found.of, found.json, found.timed, found.written
    uses = frozenset({text})
    if timed is not None:
        return Dynamic(
            text=text,
            evaluate=lambda frame: timed(frame[Slot.TIME] + of(frame[Slot.NUMBER])),
            uses=uses,
        )
    return Dynamic(
        text=text,
        evaluate=lambda frame: of(frame[Slot.NUMBER]),
        uses=uses | ({MANY + text} if found.many else {UNIQUE + text} if found.unique else set()),
        json=None if json is None else lambda frame: json(frame[Slot.NUMBER]),
        series=None if written is None else BlockValues(written),
    )
