"""How long copies think: numbers that are fixed, or drawn by the copy's number."""

from __future__ import annotations

import math
from typing import Final

from loadcheck.data.spread import KINDS, Spread
from loadcheck.documents.document import Node
from loadcheck.documents.durations import parse_duration
from loadcheck.scenario import grammar
from loadcheck.scenario.reader import Table, found

_DURATION: Final = 'expected a duration ("2s"), or a table such as { uniform = ["1s", "3s"] }'
_FORMS: Final = (
    "expected one of { uniform = [least, most] }, { normal = { mean, sd } } and "
    "{ lognormal = { median, p99 } }"
)


def read_wait(table: Table, name: str) -> Spread | None:
    """Read a duration in seconds, fixed or drawn; None if there is none or it was reported."""
    return _Reader(table, name, _DURATION).read()


class _Reader:
    """Reads one number that is fixed or drawn."""

    def __init__(self, table: Table, name: str, expected: str) -> None:
        self._table, self._name, self._expected = table, name, expected
        self._report = table.report

    def read(self) -> Spread | None:
        node = self._table.get(self._name)
        if node is None:
            return None
        if not isinstance(node.value, dict):
            amount = self._amount(node, zero=False)
            return None if amount is None else Spread(first=amount)
        drawn = Table(node, self._report, known=grammar.WAIT_DRAWN)
        kinds = [kind for kind in ("uniform", *KINDS) if kind in drawn]
        if len(kinds) != 1:
            if len(drawn.entries.keys() - grammar.WAIT_DRAWN.keys()) == 0:
                self._report.add(node, "draws from no distribution, or from several", _FORMS)
            return None
        kind = kinds[0]
        pair = self._uniform(drawn[kind]) if kind == "uniform" else self._named(drawn, kind)
        bounds = self._bounds(drawn, kind)
        if pair is None or bounds is None:
            return None
        first, second = pair
        return Spread(kind=kind, first=first, second=second, bounds=bounds)  # type: ignore[arg-type]  # one of the words

    def _amount(self, node: Node, *, zero: bool) -> float | None:
        """Return one length of time."""
        value = node.value
        amount: float | None = None
        if isinstance(value, str):
            try:
                amount = parse_duration(value)
            except ValueError:
                amount = None
        elif isinstance(value, int | float) and not isinstance(value, bool):
            amount = float(value) if math.isfinite(value) else None
        most = grammar.MAX_DURATION_S
        if amount is not None and 0 <= amount <= most and (zero or amount):
            return float(amount)
        self._report.add(node, f"found {found(node)}", self._expected)
        return None

    def _uniform(self, node: Node) -> tuple[float, float] | None:
        if not isinstance(node.value, list) or len(node.value) != 2:  # noqa: PLR2004  # a pair
            self._report.add(node, f"found {found(node)}", "expected [least, most]")
            return None
        least, most = (self._amount(part, zero=True) for part in node.value)
        if least is None or most is None:
            return None
        if least >= most:
            self._report.add(node, "the least is not below the most", "expected [least, most]")
            return None
        return least, most

    def _named(self, drawn: Table, kind: str) -> tuple[float, float] | None:
        first, second = KINDS[kind]
        table = Table(drawn[kind], self._report, known=grammar.WAIT_DRAWN[kind]["properties"])
        needed = f"expected {{ {kind} = {{ {first}, {second} }} }}"
        if not all([table.require(first, needed), table.require(second, needed)]):
            return None
        pair = [self._amount(table[name], zero=name == "sd") for name in (first, second)]
        if pair[0] is None or pair[1] is None:
            return None
        if kind == "lognormal" and pair[0] > pair[1]:
            remedy = "half are below the median, and 99 of 100 below p99"
            self._report.contradiction(table["median"], table["p99"], remedy)
            return None
        return pair[0], pair[1]

    def _bounds(self, drawn: Table, kind: str) -> tuple[float, float] | None:
        found_bounds = []
        for name, default in (("min", 0.0), ("max", grammar.MAX_DURATION_S)):
            node = drawn.get(name)
            bound = default if node is None else self._amount(node, zero=True)
            if node is not None and kind == "uniform":
                self._report.contradiction(node, drawn["uniform"], "its ends are its bounds")
                bound = None
            if bound is None:
                return None
            found_bounds.append(bound)
        least, most = found_bounds
        if least >= most:
            node = drawn["max"] if "max" in drawn else drawn["min"]
            self._report.add(node, f"found {found(node)}", "expected min below max")
            return None
        return least, most
