"""Conditions on properties, evaluated once per distinct value instead of once per event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loadcheck.emulator.store.values import label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadcheck.emulator.query.view import Column

OPERATORS = (
    "is",
    "is not",
    "contains",
    "does not contain",
    "less",
    "less or equal",
    "greater",
    "greater or equal",
    "set is",
    "set is not",
)
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "less": lambda left, right: left < right,
    "less or equal": lambda left, right: left <= right,
    "greater": lambda left, right: left > right,
    "greater or equal": lambda left, right: left >= right,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on one property.

    Attributes:
        key: The property, as the store keys it.
        op: One of :data:`OPERATORS`.
        values: What it is compared with; any of them is enough.
    """

    key: str
    op: str
    values: tuple[str, ...]

    def mask(self, column: Column, codes: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which of these codes of a column meet the condition."""
        if self.op in ("is", "is not") and not column.has_lists:
            wanted = np.array(column.find(self.values), dtype=np.int32)
            found = np.isin(codes, wanted)
            return found if self.op == "is" else ~found
        # one entry per code, the absent value (-1) first
        size = int(codes.max(initial=-1)) + 2
        present = np.zeros(size, dtype=bool)
        present[codes + 1] = True
        holds = np.zeros(size, dtype=bool)
        for place in np.flatnonzero(present).tolist():
            holds[place] = self.holds(None if place == 0 else column.value(place - 1))
        return holds[codes + 1]

    def holds(self, value: Any) -> bool:
        """Return whether a property of this value meets the condition; None: it is absent.

        A list meets a condition if one of its elements does; a negated one, if none does.
        """
        elements = value if type(value) is list else [value]
        labels = [label_of(element) for element in elements]
        if self.op in ("is", "is not"):
            return any(label in self.values for label in labels) == (self.op == "is")
        if self.op in ("set is", "set is not"):
            return (set(labels) == set(self.values)) == (self.op == "set is")
        if self.op in ("contains", "does not contain"):
            # without case [U]; an absent property contains nothing
            texts = [label.lower() for label in labels] if value is not None else []
            found = any(wanted.lower() in text for text in texts for wanted in self.values)
            return found == (self.op == "contains")
        return _compares(elements, self.op, self.values)


def _compares(elements: Sequence[Any], op: str, values: Sequence[str]) -> bool:
    compare = _COMPARISONS[op]
    left = [number for element in elements if (number := _number(element)) is not None]
    right = [number for value in values if (number := _number(value)) is not None]
    return any(compare(one, other) for one in left for other in right)


def _number(value: Any) -> float | None:
    if type(value) is bool or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
