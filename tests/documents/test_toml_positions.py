from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.documents.toml import MAX_DEPTH, TooDeepError, locate

HERE = Path(__file__)

DOCUMENT = '''\
# a comment = with [signs] "in" it
top = 1
"quoted key" = 2
'literal.key' = 3
"esc\\u0061ped" = 4
a.b . "c.d" = 5

[load]  # header
model = "open # no comment"
array = [1, [2, 3],
  # between
  4,
  { x = 5, y.z = [6] },

]
text = """
[not.a.table]
key = "no"
quote \\""" and two more"""""
raw = \'\'\'
[[nor.this]]\'\'\'\'\'
date = 1979-05-27T07:32:00Z
[load.deep.er]
k = 1
[[ load . stages ]]
name = "a"
[load.stages.extra]
k = 1
[[load.stages]]
name = "b"
[[load.stages.parts]]
p = 1
[[load.stages.parts]]
p = 2
'''

LINES = {
    "top": 2,
    "quoted key": 3,
    "literal.key": 4,
    "escaped": 5,
    "a": 6,
    "a/b": 6,
    "a/b/c.d": 6,
    "load": 8,
    "load/model": 9,
    "load/array": 10,
    "load/array/0": 10,
    "load/array/1": 10,
    "load/array/1/0": 10,
    "load/array/1/1": 10,
    "load/array/2": 12,
    "load/array/3": 13,
    "load/array/3/x": 13,
    "load/array/3/y": 13,
    "load/array/3/y/z": 13,
    "load/array/3/y/z/0": 13,
    "load/text": 16,
    "load/raw": 20,
    "load/date": 22,
    "load/deep": 23,
    "load/deep/er": 23,
    "load/deep/er/k": 24,
    "load/stages": 25,
    "load/stages/0": 25,
    "load/stages/0/name": 26,
    "load/stages/0/extra": 27,
    "load/stages/0/extra/k": 28,
    "load/stages/1": 29,
    "load/stages/1/name": 30,
    "load/stages/1/parts": 31,
    "load/stages/1/parts/0": 31,
    "load/stages/1/parts/0/p": 32,
    "load/stages/1/parts/1": 33,
    "load/stages/1/parts/1/p": 34,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_form_of_key(newline: str) -> None:
    text = DOCUMENT.replace("\n", newline)
    tomllib.loads(text)
    lines = locate(text).lines
    assert {"/".join(map(str, path)): line for path, line in lines.items()} == LINES


def test_a_header_gives_its_table_its_line_even_behind_the_tables_in_it() -> None:
    lines = locate("[a.b]\nc = 1\n[a]\nd = 2\n").lines
    assert lines == {("a",): 3, ("a", "b"): 1, ("a", "b", "c"): 2, ("a", "d"): 4}


@pytest.mark.parametrize(
    ("text", "path", "first_line", "line"),
    [
        ("a = 1\nb = 2\na = 3\n", ("a",), 1, 3),
        ("[t]\nx = 1\n[t]\n", ("t",), 1, 3),
        ("a = 1\n[a]\n", ("a",), 1, 2),
        ("a = { b = 1, b = 2 }\n", ("a", "b"), 1, 1),
        ("[[s]]\n[[s]]\na = 1\na.b = 2\na = 2\n", ("s", 1, "a"), 3, 5),
    ],
)
def test_a_repeated_key(text: str, path: tuple[str, ...], first_line: int, line: int) -> None:
    repeat = locate(text).repeat
    assert repeat
    assert (repeat.path, repeat.first_line, repeat.line) == (path, first_line, line)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 500 + "]" * 500,
        "a = " + "{b=" * 500 + "1" + "}" * 500,
        ".".join("a" * 500) + " = 1",
        "[" + ".".join("a" * 500) + "]",
        "".join(f"[[{'.'.join('a' * n)}]]\n" for n in range(1, 60)),
    ],
)
def test_nesting_without_end(text: str) -> None:
    with pytest.raises(TooDeepError, match="in line"):
        locate(text)


def test_nesting_up_to_the_limit() -> None:
    depth = MAX_DEPTH - 1
    text = "a = " + "[" * depth + "]" * depth
    tomllib.loads(text)
    assert len(max(locate(text).lines, key=len)) == depth


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any]]:
    match value:
        case dict():
            for key, entry in value.items():
                yield from leaves(entry, (*path, key))
        case list():
            for index, entry in enumerate(value):
                yield from leaves(entry, (*path, index))
        case _:
            yield path, value


NOISE = st.sampled_from(
    ['"x # [y] = {z}"', "'\\'", '"\\""', '"""\n[a]\n"""', "'''\n]'''", "true", "1.5", "1979-05-27"]
)
GAP = st.sampled_from(["", " ", "\n", "\n  # [c] = ]\n", "\t"])
BLANK = st.sampled_from(["", "\n", "# [comment] = 1\n", "  \n\n"])


@st.composite
def values(draw: st.DrawFn, depth: int = 3) -> str:
    kind = draw(st.sampled_from(["@", "@", "noise", *(["array", "table"] if depth else [])]))
    if kind == "array":
        parts = [
            draw(GAP) + draw(values(depth=depth - 1)) + draw(GAP)
            for _ in range(draw(st.integers(0, 3)))
        ]
        comma = draw(st.sampled_from(["", ","])) if parts else ""
        return "[" + ",".join(parts) + comma + draw(GAP) + "]"
    if kind == "table":
        pairs = [f" k{n} = {draw(values(depth=depth - 1))}" for n in range(draw(st.integers(0, 2)))]
        return "{" + ",".join(pairs) + " }"
    return draw(NOISE) if kind == "noise" else kind


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A valid document in which every integer stands in the line that it names."""
    numbers = itertools.count()
    text = ""
    opened: list[str] = []
    for _ in range(draw(st.integers(1, 12))):
        text += draw(BLANK)
        name = f"n{next(numbers)}"
        match draw(st.sampled_from(["pair", "pair", "pair", "table", "tables", "again", "below"])):
            case "pair":
                key = draw(st.sampled_from([name, f'"{name} q"', f"'{name}.l'", f"{name} . x.y"]))
                text += f"{key} = {draw(values())}{draw(st.sampled_from(['', ' # c']))}\n"
            case "table":
                text += f"[{name}.sub]\n"
            case "tables":
                text += f"[[{name}]]\n"
                opened.append(name)
            case "again" if opened:
                text += f"[[ {draw(st.sampled_from(opened))} ]]\n"
            case "below" if opened:
                text += f"[{draw(st.sampled_from(opened))}.{name}]\n"
    return "\n".join(
        line.replace("@", str(number)) for number, line in enumerate(text.split("\n"), start=1)
    )


@given(documents())
def test_every_value_of_a_document_is_found_in_its_line(text: str) -> None:
    lines = locate(text).lines
    for path, value in leaves(tomllib.loads(text)):
        assert path in lines
        if isinstance(value, int) and not isinstance(value, bool):
            assert lines[path] == value


@pytest.mark.parametrize("end", ['"\\q" = 1', "[b", "b 1", "b = ", "b = 'x", "? = 1"])
def test_it_stops_where_the_text_is_not_toml(end: str) -> None:
    found = locate(f"a = 1\n{end}\nc = 1\n")
    assert found.lines[("a",)] == 1
    assert ("c",) not in found.lines


@given(st.text(alphabet="ab.=[]{}\",#'\\\n 1", max_size=60))
def test_what_is_not_toml_is_left_to_tomllib(text: str) -> None:
    found = locate(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.lines.values())
