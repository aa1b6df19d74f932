"""``[sessions]`` and times to think: numbers that are fixed, or drawn by the copy's number."""

from __future__ import annotations

import math
from typing import Final

from loadcheck.data.order import KINDS, Spread
from loadcheck.data.visits import Sessions
from loadcheck.documents import parse_duration
from loadcheck.documents.document import Node
from loadcheck.scenario import grammar
from loadcheck.scenario.reader import Table, found, given

_DURATION: Final = 'expected a duration ("2s"), or a table such as { uniform = ["1s", "3s"] }'
_FORMS: Final = (
    "expected one of { uniform = [least, most] }, { normal = { mean, sd } } and "
    "{ lognormal = { median, p99 } }"
)


_UPLOADS: Final = (
    f"expected a whole number from 1 to {grammar.MAX_UPLOADS:,}, or a table such as "
    "{ uniform = [1, 9] }"
)
_WEEK_S: Final = grammar.MAX_DURATION_S
_SHARE: Final = "expected a share above 0 and below 1, such as 0.3"
_NEARLY_ALL: Final = 0.9999
"""The share of what is drawn that is below the most, where that is not given."""


def read_wait(table: Table, name: str) -> Spread | None:
    """Read a duration in seconds, fixed or drawn; None if there is none or it was reported."""
    return _Reader(table, name, _DURATION).read()


def read_sessions(top: Table, think_time: Spread | None) -> Sessions | None:
    """Read ``[sessions]``.

    Args:
        top: The scenario.
        think_time: How long copies wait between their steps: by default as long between uploads.
    """
    table = top.table("sessions", grammar.SESSIONS)
    if table is None:
        return None
    report = table.report
    before = len(report.problems)
    uploads = _Reader(table, "uploads", _UPLOADS, counts=True).read()
    gap = read_wait(table, "gap") or think_time
    returning = _share(table)
    several = uploads is not None and Sessions(uploads=uploads).most > 1
    if len(report.problems) > before:
        return None
    if not several and not returning:
        remedy = "expected uploads = 5, returning = 0.3, or both"
        report.add(table.node, "changes nothing", remedy)
        return None
    if not several and "gap" in table:
        report.add(table["gap"], "has no effect with one upload a copy", "give uploads as well")
        return None
    if several and gap is None:
        table.require("gap", 'expected how long a copy waits between its uploads: gap = "2s"')
        return None
    _check_load(top, table, several=several)
    return Sessions(**given(uploads=uploads, gap=gap, returning=returning))


def _check_load(top: Table, table: Table, *, several: bool) -> None:
    load = top.get("load")
    entries = load.value if load is not None and isinstance(load.value, dict) else {}
    shared = entries.get("copies_per_request")
    if several and shared is not None and shared.value != 1:
        remedy = "copies that share a request upload once"
        table.report.contradiction(table["uploads"], shared, remedy)


def _share(table: Table) -> float | None:
    node = table.get("returning")
    if node is None:
        return None
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return float(value)
    table.report.add(node, f"found {found(node)}", _SHARE)
    return None


class _Reader:
    """Reads one number that is fixed or drawn: a duration in seconds, or how many."""

    def __init__(self, table: Table, name: str, expected: str, *, counts: bool = False) -> None:
        self._table, self._name, self._expected = table, name, expected
        self._counts = counts
        self._known = grammar.UPLOADS_DRAWN if counts else grammar.WAIT_DRAWN
        self._report = table.report

    def read(self) -> Spread | None:
        node = self._table.get(self._name)
        if node is None:
            return None
        if not isinstance(node.value, dict):
            amount = self._amount(node, zero=False, whole=True)
            return None if amount is None else Spread(first=amount)
        drawn = Table(node, self._report, known=self._known)
        kinds = [kind for kind in ("uniform", *KINDS) if kind in drawn]
        if len(kinds) != 1:
            if not drawn.entries.keys() - self._known.keys():
                self._report.add(node, "draws from no distribution, or from several", _FORMS)
            return None
        kind = kinds[0]
        pair = self._uniform(drawn[kind]) if kind == "uniform" else self._named(drawn, kind)
        bounds = self._bounds(drawn, kind)
        if pair is None or bounds is None:
            return None
        first, second = pair
        if self._counts and kind != "uniform" and "max" not in drawn:
            open_ = Spread(kind=kind, first=first, second=second)  # type: ignore[arg-type]
            most = min(max(1, round(open_.quantile(_NEARLY_ALL))), grammar.MAX_UPLOADS)
            bounds = min(bounds[0], most), float(most)
        return Spread(kind=kind, first=first, second=second, bounds=bounds)  # type: ignore[arg-type]  # one of the words

    def _amount(self, node: Node, *, zero: bool, whole: bool = False) -> float | None:
        """Return one length of time, or a number of uploads."""
        value = node.value
        amount: float | None = None
        if isinstance(value, str) and not self._counts:
            try:
                amount = parse_duration(value)
            except ValueError:
                amount = None
        elif isinstance(value, int | float) and not isinstance(value, bool):
            amount = float(value) if math.isfinite(value) else None
        most = float(grammar.MAX_UPLOADS) if self._counts else grammar.MAX_DURATION_S
        fits = amount is not None and 0 <= amount <= most and (zero or amount > 0)
        if amount is not None and fits and not (self._counts and whole and amount % 1):
            return float(amount)
        self._report.add(node, f"found {found(node)}", self._expected)
        return None

    def _uniform(self, node: Node) -> tuple[float, float] | None:
        if not isinstance(node.value, list) or len(node.value) != 2:  # noqa: PLR2004  # a pair
            self._report.add(node, f"found {found(node)}", "expected [least, most]")
            return None
        least, most = (self._amount(part, zero=not self._counts, whole=True) for part in node.value)
        if least is None or most is None:
            return None
        if least >= most:
            self._report.add(node, "the least is not below the most", "expected [least, most]")
            return None
        return least, most

    def _named(self, drawn: Table, kind: str) -> tuple[float, float] | None:
        first, second = KINDS[kind]
        table = Table(drawn[kind], self._report, known=self._known[kind]["properties"])
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
        least, most = (1.0, float(grammar.MAX_UPLOADS)) if self._counts else (0.0, _WEEK_S)
        for name, default in (("min", least), ("max", most)):
            node = drawn.get(name)
            zero = not self._counts
            bound = default if node is None else self._amount(node, zero=zero, whole=True)
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
