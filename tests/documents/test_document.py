"""Reading YAML and JSON: what values mean, where they stand, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadcheck
from loadcheck.documents.document import MAX_BYTES, Document, parse_document, read_document
from loadcheck.documents.formats import MAX_DEPTH, events
from loadcheck.errors import WorkflowError


def parsed(text: str | bytes) -> Document:
    content = text.encode() if isinstance(text, str) else text
    return parse_document(content, name="doc.yml", location="/doc.yml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("1.0.1", "1.0.1"),
        ("0123", 123),
        ("0o17", 15),
        ("0x1F", 31),
        ("-5", -5),
        ("+5", 5),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("!!float 5", 5.0),
        ("! 5", "5"),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
        ("[a, {b: c}]", ["a", {"b": "c"}]),
        ("=", "="),
        ("=5", "=5"),
    ],
)
def test_scalars_of_the_core_schema(text: str, value: Any) -> None:
    found = parsed(f"a: {text}\n").root["a"]
    assert found == value
    assert type(found) is type(value) or isinstance(value, list)


def test_keys_are_strings_whatever_they_look_like() -> None:
    assert parsed("200: a\ntrue: b\nnull: c\n").root == {"200": "a", "true": "b", "null": "c"}


def test_the_line_of_every_value() -> None:
    document = parsed("a: 1\nb:\n- x\n-\n  c: 2\n  d: [3,\n    4]\n")
    assert [
        document.line(path) for path in (("a",), ("b",), ("b", 0), ("b", 1), ("b", 1, "c"))
    ] == [1, 2, 3, 5, 5]
    assert document.line(("b", 1, "d", 1)) == 7
    assert document.line(("b", 9, "nowhere")) == 2
    assert document.line(()) == 1


def test_an_anchor_is_shared() -> None:
    root = parsed("a: &x {b: 1}\nc: *x\nd: [*x, &y z, *y]\n").root
    assert root == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, "z", "z"]}


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 'duplicate key "a"; first on line 1'),
        ('{"a": 1,\n"a": 2}', 2, "duplicate key"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: !mine 1\n", 1, 'the tag "!mine" is not known'),
        ("a: !!binary eA==\n", 1, "not known"),
        ("a: !!int x\n", 1, '"x" is not a valid int'),
        ("? [a]\n: 1\n", 1, "a key that is not a string"),
        ("a: &x 1\n*x : 2\n", 2, "an alias as a key"),
        ("a: *nowhere\n", 1, "has no anchor"),
        ("a: {<<: {b: 1}}\n", 1, "merge key"),
        ("a: .inf\n", 1, "no counterpart in JSON"),
        ("a: -.INF\n", 1, "no counterpart in JSON"),
        ("a: 99999999999999999999999999\n", 1, "beyond 64 bits"),
        (f"a: {'9' * 100_000}\n", 1, "beyond 64 bits"),
        (f"x: 1\na: {'[' * (MAX_DEPTH + 1)}\n", 2, "nested deeper"),
        ("[" * 100_000, 1, "nested deeper"),
        ('{"a":' * 100_000, 1, "nested deeper"),
        (BOMB, 6, "aliases expanded"),
        ("a: [1,\nb: 2\n", 3, "no valid YAML"),
        ("a: b: c\n", 1, "no valid YAML"),
        ("a:\n\t- b\n", 2, "a tab indents the line; YAML is indented by spaces"),
        ("a:\r\n  \tb: 1\r\n  c: d\r\n", 2, "a tab indents the line"),
        ("a: [1,\n\tb: c: d]\n", 2, "no valid YAML: did not find expected"),
        ("a: \x01\n", 1, "no valid YAML"),
        ('{"a": "\\ud800"}', 1, "invalid escape"),
        ('a: 1\nb: "x\u2028y"\n', 2, "U+2028, a line break to some parsers of YAML only; write"),
        ("a: x\x85\n", 1, 'write it as "\\u0085", in double quotes'),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
    ],
)
def test_what_is_refused_names_its_line(text: str | bytes, line: int, says: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        parsed(text)
    (problem,) = caught.value.problems
    assert says in str(problem)
    assert problem.line == line
    assert problem.file == "doc.yml"


def test_a_document_of_50_mb_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.yml"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    with pytest.raises(WorkflowError, match="is too large: .* expected at most 10,485,760 bytes"):
        read_document(path, "large.yml")
    assert MAX_BYTES < 50 * 1024 * 1024


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match="gone.yml: cannot be read: no such file"):
        read_document(tmp_path / "gone.yml", "gone.yml")


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8")),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(JSON.filter(lambda value: isinstance(value, dict | list)), st.sampled_from([None, 1, "\t"]))
def test_json_is_read_as_json(value: Any, indent: Any) -> None:
    assert parsed(json.dumps(value, indent=indent)).root == value
    assert parsed(json.dumps(value, indent=indent, ensure_ascii=False)).root == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a" 1}',
        '{"a": 1,}',
        "[1 2]",
        "[1,]",
        '{"a": }',
        "{,}",
        '{"a": 1]',
        "[}",
        "{]",
        "{1: 2",
        "[01]",
    ],
)
def test_broken_json_is_read_as_yaml_or_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- the standard library's word
        json.loads(text)
    told: WorkflowError | None = None
    root = None
    try:
        root = parsed(text).root
    except WorkflowError as error:
        told = error
    assert root is not None if told is None else told.problems[0].line in {1, 2}


def test_lines_of_json() -> None:
    document = parsed('\n{"a": [1,\n\n2], "b":\n{"c": "x\\ny"}}\n')
    assert [document.line(path) for path in (("a", 0), ("a", 1), ("b",), ("b", "c"))] == [
        2,
        4,
        4,
        5,
    ]


SHIPPED = sorted((Path(loadcheck.__file__).parent / "library").glob("**/*.yml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name + "/" + path.name)
def test_both_parsers_of_yaml_agree(path: Path) -> None:
    """libyaml, where PyYAML has it, and the parser in Python give the same events."""
    text = path.read_text(encoding="utf-8")
    assert _events(text, native=True) == _events(text, native=False)


@pytest.mark.parametrize(
    "text",
    [
        "a: no\nb: on\nc: 1:30\nd: 2026-01-01\ne: 0123\nf: 1_000\n",
        '%YAML 1.2\n---\na: "\\/ \\u00e9 \\x41"\n',
        "a: !!str 5\nb: !!int '5'\nc: ! 5\n",
        '{"a":1,"b":[true,null]}',
        "- &a x\n- *a\n- |\n  two\n  lines\n- >-\n  fol\n  ded\n",
        "a: http://x/y?z=#1\n? b\n: c\n",
    ],
)
def test_both_parsers_of_yaml_agree_on_what_versions_differ_in(text: str) -> None:
    assert _events(text, native=True) == _events(text, native=False)


def test_what_must_be_escaped_for_the_parser_can_be() -> None:
    assert parsed('a: "x\\u2028\\u0085y"').root == {"a": "x\u2028\x85y"}


def _events(text: str, *, native: bool) -> list[tuple[Any, ...]]:
    return [
        (
            type(event).__name__,
            # where a block ends the two place differently; nothing depends on it
            None if type(event).__name__.endswith("EndEvent") else event.start_mark.line,
            getattr(event, "value", None),
            getattr(event, "tag", None),
            getattr(event, "anchor", None),
            bool(getattr(event, "style", None)),
        )
        for event in events(text, native=native)
    ]
