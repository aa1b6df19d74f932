"""``[data]`` and ``[values]``: what makes copies differ, beside who they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadcheck.data.order import End, Order
from loadcheck.data.table import layout_of
from loadcheck.data.users import TemplateError, UserIds, check_template
from loadcheck.data.values import LITERAL, SpecError, drawn, word_of
from loadcheck.data.variety import DataFile
from loadcheck.documents.document import Node
from loadcheck.documents.files import is_file
from loadcheck.documents.toml import nearest_file
from loadcheck.scenario import grammar
from loadcheck.scenario.reader import Report, Table, found, json

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_SUFFIXES: Final = "expected .csv, .tsv, .jsonl or .json, and .gz behind it if it is compressed"


def read_data(top: Table, folder: Path) -> dict[str, DataFile]:
    """Read the data files of ``[data.NAME]``, each in a table of its own.

    Args:
        top: The scenario.
        folder: The scenario's own: no file may be outside of it.
    """
    table = top.table("data", None)
    files: dict[str, DataFile] = {}
    for name, node in table.entries.items() if table is not None else ():
        _check_name(name, node, top.report)
        file = _file(name, Table(node, top.report, known=grammar.DATA), folder)
        if file is not None:
            files[name] = file
    return files


def _check_name(name: str, node: Node, report: Report) -> None:
    if not _NAME.fullmatch(name):
        report.add(node, "no name to refer to", "expected letters, digits, - and _")


def _file(name: str, table: Table, folder: Path) -> DataFile | None:
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
    separator = _separator(table)
    types = _types(table)
    if shown is None:
        return None
    home, node = folder.resolve(), table["file"]
    path = (home / shown).resolve()
    layout = layout_of(shown, separator, types)
    if Path(shown).is_absolute() or not path.is_relative_to(home):
        report.add(node, "is outside of the scenario's folder", "name a file inside it")
    elif layout is None:
        report.add(node, f"found {found(node)}", _SUFFIXES)
    elif not is_file(path):
        remedy = nearest_file(path) or "it is looked for beside the scenario"
        report.add(node, "no such file", remedy)
    elif types and layout.kind in {"json", "jsonl"}:
        report.add(table["types"], "JSON has types of its own", "leave it out")
    else:
        return DataFile(name=name, path=path, shown=shown, layout=layout, order=order, end=end)
    return None


def _separator(table: Table) -> str | None:
    separator = table.get("separator")
    if separator is None:
        return None
    text = separator.value
    if isinstance(text, str) and len(text) == 1 and text.isascii() and text not in '"\r\n':
        return text
    table.report.add(separator, f"found {found(separator)}", 'expected one character, such as ";"')
    return None


def _types(table: Table) -> dict[str, str]:
    node = table.get("types")
    if node is None:
        return {}
    columns = node.value if isinstance(node.value, dict) else {}
    kind = table.shape("types")["additionalProperties"]
    types = Table(node, table.report, known={column: {**kind} for column in columns})
    read = {name: types.choice(name) for name in types.entries}
    return {name: kind for name, kind in read.items() if kind is not None}


def read_users(top: Table) -> UserIds:
    """Read ``[users]``: what ``$copy.userId`` gives."""
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


def read_values(top: Table) -> dict[str, Any]:
    """Read ``[values]``: what ``$values.NAME`` gives."""
    table = top.table("values", None)
    if table is None:
        return {}
    for name, node in table.entries.items():
        _check_name(name, node, top.report)
        check_drawn(node, top.report)
    return {name: json(node, top.report) for name, node in table.entries.items()}


def check_drawn(node: Node, report: Report) -> None:
    """Report every table in a value that is to be drawn and cannot be."""
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
