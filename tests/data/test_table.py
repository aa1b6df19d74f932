"""Data files: every row is found by its number, and what is no row is refused with its line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.data.table import DataError, DataTable, layout_of, open_table

_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=8)


def _open(folder: Path, name: str, content: bytes, **how: Any) -> DataTable:
    path = folder / name
    path.write_bytes(content)
    layout = layout_of(name, **how)
    assert layout is not None
    return open_table(path, layout)


def _rows(table: DataTable) -> list[list[Any]]:
    columns = [table.column(name) for name in table.names]
    read = [[column.value(row) for column in columns] for row in table.read(range(table.rows))]
    written = [[column.json(row) for column in columns] for row in table.read(range(table.rows))]
    assert [[json.loads(cell) for cell in row] for row in written] == read
    return read


@given(rows=st.lists(st.lists(_CELLS, min_size=3, max_size=3), max_size=80), end=st.booleans())
def test_what_python_writes_as_csv_is_read_back(
    rows: list[list[str]], end: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b", "c"], *rows])
    content = text.getvalue().encode()
    folder = tmp_path_factory.mktemp("csv")
    table = _open(folder, "rows.csv", content if end else content.removesuffix(b"\r\n"))
    assert table.names == ("a", "b", "c")
    assert _rows(table) == rows


def test_rows_are_found_behind_many_blocks(tmp_path: Path) -> None:
    rows = [[str(number), "x" * (number % 90)] for number in range(30_000)]
    content = "n,x\n" + "".join(f"{one},{two}\n" for one, two in rows)
    table = _open(tmp_path, "rows.csv", content.encode())
    assert table.rows == len(rows)
    places = [0, 29_999, 17, 18, 12_345, 12_345]
    assert table.read(places) == [[cell.encode() for cell in rows[place]] for place in places]


def test_quoted_cells_may_hold_what_ends_others(tmp_path: Path) -> None:
    content = b'a,b\r\n"x, ""y""\nz",1\r\n,2\r\n\r\n\r\n'
    table = _open(tmp_path, "rows.csv", content)
    assert _rows(table) == [['x, "y"\nz', "1"], ["", "2"]]


def test_cells_have_the_types_that_are_asked_for(tmp_path: Path) -> None:
    content = b"i;f;b;j;s\n007;1.50;true;[1];12\n-3;;no;;\n"
    types = {"i": "int", "f": "float", "b": "bool", "j": "json"}
    table = _open(tmp_path, "rows.csv", content, separator=";", types=types)
    assert _rows(table) == [[7, 1.5, True, [1], "12"], [-3, None, False, None, ""]]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.ndjson.gz", "rows.json", "rows.json.gz"])
def test_json_is_read_with_its_types(tmp_path: Path, name: str) -> None:
    rows = [{"id": 1, "tags": ["a"]}, {"id": 2, "more": None}, {"tags": {"x": 1.5}}]
    if "jsonl" in name or "ndjson" in name:
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    else:
        content = json.dumps(rows).encode()
    table = _open(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    assert table.names == ("id", "tags", "more")
    assert _rows(table) == [[1, ["a"], None], [2, None, None], [None, {"x": 1.5}, None]]


def test_tab_separated_and_packed(tmp_path: Path) -> None:
    table = _open(tmp_path, "rows.tsv.gz", gzip.compress("\ufeffa\tb\n1, 2\tü\n".encode()))
    assert (table.names, _rows(table)) == (("a", "b"), [["1, 2", "ü"]])


@pytest.mark.parametrize(
    ("name", "content", "types", "line", "message"),
    [
        ("a.csv", b"a,b\n1,2\n3\n", {}, 3, "1 cells, the first row names 2"),
        ("a.csv", b"a,b\n1,2\n\n3,4\n", {}, 3, "empty"),
        ("a.csv", b"a\n1\n\n3\n", {}, 3, "empty"),
        ("a.csv", b'a,b\n"x\ny",2\n3,"4\n5,6\n', {}, 4, "never closed"),
        ("a.csv", b'a,b\n5" x,2\n6" y,3\n', {}, 2, "middle of a cell"),
        ("a.csv", b"a,b\n1,2\n\xff,4\n", {}, 3, "UTF-8"),
        ("a.csv", b"a,b\n1,2\n3,x4\n", {"b": "int"}, 3, '"x4" of column b is not a whole number'),
        ("a.csv", b"a,b\n1,2\n3,4..5\n", {"b": "float"}, 3, "is not a number"),
        ("a.csv", b'a,b\n1,"2"\n3,"x"\n', {"b": "int"}, 3, '"x" of column b'),
        ("a.csv", b"a,b\n1,2\n3,9999999999999999999999\n", {"b": "int"}, 3, "not a whole number"),
        ("a.csv", b"a,a\n1,2\n", {}, 1, "two columns"),
        ("a.csv", b"", {}, None, "empty"),
        ("a.jsonl", b'{"a":1}\n{"a":\n', {}, 2, "not JSON"),
        ("a.jsonl", b'{"a":1}\n[1]\n', {}, 2, "not a JSON object"),
        ("a.jsonl", b'{"a":1}\n\n{"a":2}\n', {}, 2, "empty"),
        ("a.json", b'[{"a":1},\n{"a"}]', {}, 2, "not JSON"),
        ("a.json", b'[{"a":1}, 2]', {}, None, "entry 2"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], {}, None, "gzip"),
        ("a.csv.gz", b"a,b\n1,2\n", {}, None, "gzip"),
    ],
)
def test_what_is_no_row_is_refused_with_its_line(
    tmp_path: Path, name: str, content: bytes, types: dict[str, str], line: int, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        _open(tmp_path, name, content, types=types)
    assert message in caught.value.message
    assert caught.value.line == line


def test_a_fault_far_into_the_file_is_found(tmp_path: Path) -> None:
    lines = ["a,b,c"] + [f"{number},x,y" for number in range(400_000)]
    lines[300_000] = "1,2"
    with pytest.raises(DataError) as caught:
        _open(tmp_path, "a.csv", "\n".join(lines).encode())
    assert caught.value.line == 300_001


def test_a_file_that_shrinks_is_told(tmp_path: Path) -> None:
    table = _open(tmp_path, "a.csv", b"a\n" + b"1\n" * 1000)
    (tmp_path / "a.csv").write_bytes(b"a\n1\n")
    with pytest.raises(DataError, match="shorter"):
        table.read([900])
