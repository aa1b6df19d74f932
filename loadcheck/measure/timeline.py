"""What happened in each second of a run, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Cell = float | int | None

COUNTS = ("due", "started", "skipped", "acknowledged", "rejected", "indeterminate", "retries")
"""Columns that are given as running totals and kept as what each second added."""

LEVELS = ("in_flight", "uniques")
"""Columns that hold the value at the end of the second."""

FIGURES = ("p50_ms", "p99_ms", "max_ms", "lateness_p99_ms")
"""Columns that describe the samples of the second; None where it had none."""


class Timeline:
    """One row a second since the load began; row ``i`` covers second ``i`` to ``i + 1``.

    Of several seconds in which the process could not look at its clock, the first has what was
    counted since the row before, the others are empty: counted was before it stood still.
    """

    __slots__ = ("_columns", "_totals")

    def __init__(self) -> None:
        self._columns: dict[str, list[Cell]] = {
            "second": [],
            **{name: [] for name in (*COUNTS, *LEVELS, *FIGURES)},
        }
        self._totals = dict.fromkeys(COUNTS, 0)

    def __len__(self) -> int:
        return len(self._columns["second"])

    def close_second(
        self,
        second: int,
        totals: Mapping[str, int],
        levels: Mapping[str, int | None],
        figures: Mapping[str, float | None],
    ) -> None:
        """Write the first row that is missing, and empty ones after it up to that of ``second``.

        Args:
            second: Seconds since the load began.
            totals: Running total of each of :data:`COUNTS`.
            levels: Present value of each of :data:`LEVELS`.
            figures: :data:`FIGURES` of the samples since the last row.
        """
        added = {name: totals[name] - self._totals[name] for name in COUNTS}
        self._totals = {name: totals[name] for name in COUNTS}
        self._append(len(self), added, levels, figures)
        while len(self) <= second:
            self._append(len(self), dict.fromkeys(COUNTS, 0), levels, dict.fromkeys(FIGURES))

    def _append(
        self,
        second: int,
        added: Mapping[str, int],
        levels: Mapping[str, int | None],
        figures: Mapping[str, float | None],
    ) -> None:
        row: dict[str, Cell] = {"second": second, **added, **levels, **figures}
        for name, column in self._columns.items():
            column.append(row[name])

    def column(self, name: str) -> Sequence[Cell]:
        """Return one column, a value a second.

        Raises:
            KeyError: There is no such column.
        """
        return self._columns[name]

    def to_json(self) -> dict[str, list[Cell]]:
        """Return the columns by name."""
        return {name: list(column) for name, column in self._columns.items()}
