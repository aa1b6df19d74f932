"""``[data]``, ``[users]``, ``[values]`` and ``[sessions]``: what makes copies differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadcheck.data import DataFile, Sessions
from loadcheck.data.order import KINDS, End, Order, Spread
from loadcheck.data.table import layout_of
from loadcheck.data.users import TemplateError, UserIds, check_template
from loadcheck.data.values import LITERAL, SpecError, drawn, word_of
from loadcheck.documents.document import Node
from loadcheck.scenario import grammar
from loadcheck.scenario.reader import (
    ProblemReport,
    TableReader,
    drop_none,
    json,
    number_of,
    seconds_of,
)
from loadcheck.scenario.shapes import MAX_DURATION_S

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_SUFFIXES: Final = "expected .csv, .tsv, .jsonl or .json, and .gz behind it if it is compressed"


def read_data(top: TableReader, folder: Path) -> dict[str, DataFile]:
    """Read the data files of the tables ``[data.NAME]``.

    Args:
        top: The scenario.
        folder: The scenario's folder: no file may be outside it.
    """
    files: dict[str, DataFile] = {}
    for name, node in top.section("data", None).entries.items():
        _check_name(name, node, top.report)
        file = _file(name, TableReader(node, top.report, known=grammar.DATA), folder)
        if file is not None:
            files[name] = file
    return files


def _check_name(name: str, node: Node, report: ProblemReport) -> None:
    if not _NAME.fullmatch(name):
        report.add(node, "no name to refer to", "expected letters, digits, - and _")


def _file(name: str, table: TableReader, folder: Path) -> DataFile | None:
    if not table.require("file", 'expected the path of a data file: file = "users.csv"'):
        return None
    shown = table.text("file")
    order: Order = table.choice("order") or "sequential"
    end: End = table.choice("end") or ("error" if order == "once" else "cycle")
    report = table.report
    if order == "once" and end == "cycle":
        report.contradiction(table["end"], table["order"], 'expected "stop" or "error"')
    if order == "random" and "end" in table:
        report.contradiction(table["end"], table["order"], "rows taken at random have no end")
    separator = table.value("separator", _separator, 'expected one character, such as ";"')
    types = _types(table)
    if shown is None:
        return None
    node, layout = table["file"], layout_of(shown, separator, types)
    if layout is None:
        report.found(node, _SUFFIXES)
        return None
    path = table.file("file", folder)
    if path is None:
        return None
    if types and layout.kind in {"json", "jsonl"}:
        report.add(table["types"], "JSON has types of its own", "leave it out")
        return None
    return DataFile(name=name, path=path, shown=shown, layout=layout, order=order, end=end)


def _separator(text: Any) -> str | None:
    fits = isinstance(text, str) and len(text) == 1 and text.isascii() and text not in '"\r\n'
    return text if fits else None


def _types(table: TableReader) -> dict[str, str]:
    node = table.get("types")
    if node is None:
        return {}
    columns = node.value if isinstance(node.value, dict) else {}
    kind = table.shape("types")["additionalProperties"]
    types = TableReader(node, table.report, known={column: {**kind} for column in columns})
    read = {name: types.choice(name) for name in types.entries}
    return {name: kind for name, kind in read.items() if kind is not None}


def read_users(top: TableReader) -> UserIds:
    """Read ``[users]``: the ids that ``$copy.userId`` stands for."""
    table = top.table("users", grammar.USERS)
    if table is None:
        return UserIds()
    template = table.text("id")
    integer = table.choice("type") == "integer"
    if template is None:
        table.require("id", 'expected a template: id = "user-{run}-{number}@example.org"')
        return UserIds()
    try:
        check_template(template, integer=integer)
    except TemplateError as error:
        top.report.add(table["id"], error.message, error.remedy)
    return UserIds(template=template, integer=integer)


def read_values(top: TableReader) -> dict[str, Any]:
    """Read ``[values]``: the values of ``$values.NAME``."""
    entries = top.section("values", None).entries
    for name, node in entries.items():
        _check_name(name, node, top.report)
        check_drawn(node, top.report)
    return {name: json(node, top.report) for name, node in entries.items()}


def check_drawn(node: Node, report: ProblemReport) -> None:
    """Report every table in a value that is meant to be drawn from and cannot be."""
    value = node.plain()
    if isinstance(value, Mapping) and value.keys() == {LITERAL}:
        return
    try:
        word = word_of(value)
        if word is not None:
            drawn(value, word, 0, "")
            return
    except SpecError as error:
        entries = node.value if isinstance(node.value, dict) else {}
        report.add(entries.get(error.member, node), error.message, error.remedy)
        return
    parts = node.value
    for part in (
        parts.values() if isinstance(parts, dict) else parts if isinstance(parts, list) else ()
    ):
        check_drawn(part, report)


_DURATION: Final = 'expected a duration ("2s"), or a table such as { uniform = ["1s", "3s"] }'
_FORMS: Final = (
    "expected one of { uniform = [least, most] }, { normal = { mean, sd } } and "
    "{ lognormal = { median, p99 } }"
)


_UPLOADS: Final = (
    f"expected a whole number from 1 to {grammar.MAX_UPLOADS:,}, or a table such as "
    "{ uniform = [1, 9] }"
)
_SHARE: Final = "expected a share above 0 and below 1, such as 0.3"
_NEARLY_ALL: Final = 0.9999
"""The quantile used as maximum where none is given."""


def read_wait(table: TableReader, name: str) -> Spread | None:
    """Read a duration in seconds, fixed or drawn; None if it is absent or was reported."""
    return _Reader(table, name, _DURATION).read()


def read_sessions(top: TableReader, think_time: Spread | None) -> Sessions | None:
    """Read ``[sessions]``; None if it is absent or was reported.

    Args:
        top: The scenario.
        think_time: Wait between the steps of a copy, the default for ``gap``.
    """
    table = top.table("sessions", grammar.SESSIONS)
    if table is None:
        return None
    report = table.report
    before = len(report.problems)
    uploads = _Reader(table, "uploads", _UPLOADS, counts=True).read()
    gap = read_wait(table, "gap") or think_time
    returning = table.value("returning", _share, _SHARE)
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
    return Sessions(**drop_none(uploads=uploads, gap=gap, returning=returning))


def _check_load(top: TableReader, table: TableReader, *, several: bool) -> None:
    load = top.get("load")
    entries = load.value if load is not None and isinstance(load.value, dict) else {}
    shared = entries.get("copies_per_request")
    if several and shared is not None and shared.value != 1:
        remedy = "copies that share a request upload once"
        table.report.contradiction(table["uploads"], shared, remedy)


def _share(value: Any) -> float | None:
    share = number_of(value)
    return float(share) if share is not None and 0 < share < 1 else None


class _Reader:
    """Reads a number that is fixed or drawn: a duration in seconds, or with ``counts`` a count."""

    def __init__(
        self, table: TableReader, name: str, expected: str, *, counts: bool = False
    ) -> None:
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
        drawn = TableReader(node, self._report, known=self._known)
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
        """Return a duration in seconds or a number of uploads; None if it was reported."""
        amount = number_of(node.value) if self._counts else seconds_of(node.value)
        most = float(grammar.MAX_UPLOADS) if self._counts else MAX_DURATION_S
        fits = amount is not None and 0 <= amount <= most and (zero or amount > 0)
        if amount is not None and fits and not (self._counts and whole and amount % 1):
            return float(amount)
        self._report.found(node, self._expected)
        return None

    def _uniform(self, node: Node) -> tuple[float, float] | None:
        if not isinstance(node.value, list) or len(node.value) != 2:  # noqa: PLR2004  # a pair
            self._report.found(node, "expected [least, most]")
            return None
        least, most = (self._amount(part, zero=not self._counts, whole=True) for part in node.value)
        if least is None or most is None:
            return None
        if least >= most:
            self._report.add(node, "the least is not below the most", "expected [least, most]")
            return None
        return least, most

    def _named(self, drawn: TableReader, kind: str) -> tuple[float, float] | None:
        first, second = KINDS[kind]
        table = TableReader(drawn[kind], self._report, known=self._known[kind]["properties"])
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

    def _bounds(self, drawn: TableReader, kind: str) -> tuple[float, float] | None:
        found_bounds = []
        least, most = (1.0, float(grammar.MAX_UPLOADS)) if self._counts else (0.0, MAX_DURATION_S)
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
            self._report.found(node, "expected min below max")
            return None
        return least, most
