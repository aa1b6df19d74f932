"""Rendered bytes equal what naive substitution would make."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.documents.document import MISSING
from loadcheck.workflow.compile.encode import join, json_segments, percent, text_segments, utf8
from loadcheck.workflow.expressions import (
    Constant,
    Dynamic,
    Frame,
    JsonTemplate,
    Pattern,
    Slot,
    Template,
    UnsendableError,
    as_text,
    evaluate,
)
from loadcheck.workflow.expressions.grammar import ExpressionError
from loadcheck.workflow.expressions.resolve import join_template, json_tree, split_template
from loadcheck.workflow.identity import Run

# The frame holds drawn values from FREE on; the copy's number stands in its own slot.
TEXTS = st.text(st.characters(codec="utf-8"))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXTS)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


def dynamic(slot: int, *, optional: bool = False) -> Dynamic:
    return Dynamic(text=f"$x.{slot}", evaluate=lambda frame: frame[slot], optional=optional)


NUMBER = Dynamic(
    text="$copy.number",
    evaluate=lambda frame: frame[Slot.NUMBER],
    pattern=Pattern("%d", Slot.NUMBER, string=False),
)
user_id = Run(id="run", start_day="", end_day="").user_id
USER = Dynamic(
    text="$copy.userId",
    evaluate=lambda frame: user_id(frame[Slot.NUMBER]),
    pattern=Pattern("lc-run-%07d", Slot.NUMBER, string=True),
)


def rendered(segments: Any, frame: Frame) -> bytes:
    made = join(segments)
    return made if isinstance(made, bytes) else made(frame)


@st.composite
def texts(draw: st.DrawFn) -> tuple[list[str | Constant | Dynamic], Frame]:
    """Parts of a text that is not JSON, and a frame to render it in."""
    frame: Frame = [MISSING] * Slot.FREE
    frame[Slot.NUMBER] = draw(st.integers(0, 10**8))
    parts: list[str | Constant | Dynamic] = [
        draw(TEXTS.filter(lambda t: t.lstrip()[:1] not in "{["))
    ]
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["text", "known", "frame", "number", "user"]))
        if kind == "text":
            parts.append(draw(TEXTS))
        elif kind == "known":
            parts.append(Constant(draw(JSON)))
        elif kind == "frame":
            parts.append(dynamic(len(frame)))
            frame.append(draw(JSON))
        else:
            parts.append(NUMBER if kind == "number" else USER)
    return parts, frame


def naive(parts: list[str | Constant | Dynamic], frame: Frame) -> str:
    return "".join(
        part
        if isinstance(part, str)
        else as_text(part.value if isinstance(part, Constant) else part.evaluate(frame))
        for part in parts
    )


@given(texts())
def test_a_text_is_what_naive_substitution_makes(
    drawn: tuple[list[str | Constant | Dynamic], Frame],
) -> None:
    parts, frame = drawn
    value = join_template(parts)
    expected = naive(parts, frame)
    assert rendered(text_segments(value, utf8), frame).decode() == expected
    assert rendered(text_segments(value, percent), frame) == quote(expected, safe="").encode()
    assert json.loads(rendered(json_segments(value), frame)) == expected
    assert (value if isinstance(value, str) else value.require(frame)) == expected


@st.composite
def trees(draw: st.DrawFn) -> tuple[Any, Frame]:
    """A JSON value with expressions at its leaves, and a frame."""
    frame: Frame = [MISSING] * Slot.FREE
    frame[Slot.NUMBER] = draw(st.integers(0, 10**8))

    def leaf(value: Any) -> Any:
        kind = draw(st.sampled_from(["plain", "frame", "text", "number", "user", "optional"]))
        if kind == "plain":
            return value
        if kind in {"frame", "optional"}:
            absent = kind == "optional" and draw(st.booleans())
            frame.append(MISSING if absent else value)
            return dynamic(len(frame) - 1, optional=kind == "optional")
        if kind == "text":
            frame.append(value)
            return Template(("a%b ", dynamic(len(frame) - 1), '"', USER))
        return NUMBER if kind == "number" else USER

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: walk(member) for name, member in value.items()}
        if isinstance(value, list):
            return [walk(member) for member in value]
        return leaf(value)

    return walk(draw(st.lists(JSON, min_size=1) | st.dictionaries(TEXTS, JSON, min_size=1))), frame


@given(trees())
def test_a_json_body_is_what_evaluating_it_makes(drawn: tuple[Any, Frame]) -> None:
    tree, frame = drawn
    assert rendered(json_segments(tree), frame) == orjson.dumps(evaluate(tree, frame))


@given(TEXTS, JSON, st.integers(0, 10**8))
def test_json_text_stays_json_whatever_is_put_into_it(text: str, value: Any, number: int) -> None:
    frame: Frame = [MISSING] * Slot.FREE
    frame[Slot.NUMBER] = number
    frame += [text, value]
    source = (
        '{"name": "a {$inputs.t}", "bare": {$inputs.v}, "n": {$copy.number}, "u": "{$copy.userId}"}'
    )
    by_name = {
        "$inputs.t": dynamic(Slot.FREE),
        "$inputs.v": dynamic(Slot.FREE + 1),
        "$copy.number": NUMBER,
        "$copy.userId": USER,
    }
    parts = [
        part if isinstance(part, str) else by_name[part.text]
        for part in split_template(source, own=True)
    ]
    template = join_template([*parts])
    assert isinstance(template, JsonTemplate)
    expected = {"name": f"a {text}", "bare": value, "n": number, "u": user_id(number)}
    assert json.loads(rendered(text_segments(template, utf8), frame)) == expected
    query = b"e=" + rendered(text_segments(template, percent), frame)
    assert json.loads(parse_qs(query.decode())["e"][0]) == expected
    assert evaluate(json_tree(template), frame) == expected
    assert json.loads(template.require(frame)) == expected


@pytest.mark.parametrize(
    ("text", "literals"),
    [
        ("plain", ["plain"]),
        ("{braces} and {}", ["{braces} and {}"]),
        ('{"a": {"b": "{$inputs.x}"}}', ['{"a": {"b": "', None, '"}}']),
        ("{$inputs.x}", [None]),
        ("{$inputs.x}{$inputs.y}", [None, None]),
        ("a {$response.body#/a~1b} c", ["a ", None, " c"]),
        ("{ $inputs.x}", ["{ ", None, "}"]),
        ("Basic $inputs.x!", ["Basic ", None, "!"]),
        ("{$} {$5}", ["{$} {$5}"]),
    ],
)
def test_only_a_brace_and_a_dollar_open_an_expression(
    text: str, literals: list[str | None]
) -> None:
    parts = split_template(text, own=False)
    assert [part if isinstance(part, str) else None for part in parts] == literals


@pytest.mark.parametrize(
    "text", ["{$inputs.x", "a {$inputs.x y}", "{$nothing.x}", "{$inputs}", "{$copy.userId}"]
)
def test_a_broken_embedded_expression_is_told(text: str) -> None:
    with pytest.raises(ExpressionError):
        split_template(text, own=False)


def test_known_values_are_folded_and_escaped_where_the_text_is_json() -> None:
    assert join_template(['{"a":"', Constant('q"\\'), '"}']) == '{"a":"q\\"\\\\"}'
    assert join_template(["{a:", Constant('q"'), "}"]) == '{a:q"}'
    assert join_template(["n=", Constant(5), ", l=", Constant([1])]) == "n=5, l=[1]"


def test_what_has_no_value_is_never_sent() -> None:
    frame: Frame = [MISSING] * (Slot.FREE + 1)
    for segments in (
        json_segments({"a": dynamic(Slot.FREE)}),
        text_segments(Template(("a", dynamic(Slot.FREE))), percent),
    ):
        with pytest.raises(UnsendableError, match="has no value"):
            rendered(segments, frame)


@given(TEXTS)
def test_percent_encoding_survives_the_round_trip(text: str) -> None:
    assert unquote(percent(text).decode("ascii")) == text
