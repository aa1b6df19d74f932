"""The grammar of runtime expressions, form by form."""

from __future__ import annotations

import pytest

from loadcheck.workflow.expressions.grammar import (
    CONDITION,
    EMBEDDED,
    ExpressionError,
    is_expression,
    parse_expression,
    scan_expression,
)


@pytest.mark.parametrize(
    ("text", "root", "names", "pointer"),
    [
        ("$url", "url", (), None),
        ("$method", "method", (), None),
        ("$statusCode", "statusCode", (), None),
        ("$request.header.Content-Type", "request", ("header", "content-type"), None),
        ("$request.query.page size", "request", ("query", "page size"), None),
        ("$request.path.id", "request", ("path", "id"), None),
        ("$request.body", "request", ("body",), None),
        ("$request.body#/user/uuid", "request", ("body",), ("user", "uuid")),
        ("$response.header.X-Rate.Limit", "response", ("header", "x-rate.limit"), None),
        ("$response.body", "response", ("body",), None),
        ("$response.body#", "response", ("body",), ()),
        ("$response.body#/", "response", ("body",), ("",)),
        ("$response.body#/a~1b/m~0n/0", "response", ("body",), ("a/b", "m~n", "0")),
        ("$response.body#/with space/}", "response", ("body",), ("with space", "}")),
        ("$inputs.username", "inputs", ("username",), None),
        ("$inputs.customer#/name/0", "inputs", ("customer",), ("name", "0")),
        ("$inputs.dotted.name", "inputs", ("dotted.name",), None),
        ("$outputs.token", "outputs", ("token",), None),
        ("$steps.some-step.outputs.pets", "steps", ("some-step", "outputs", "pets"), None),
        ("$steps.a.outputs.b#/1/id", "steps", ("a", "outputs", "b"), ("1", "id")),
        ("$workflows.w.outputs.x", "workflows", ("w", "outputs", "x"), None),
        ("$workflows.w.inputs.x#/y", "workflows", ("w", "inputs", "x"), ("y",)),
        ("$sourceDescriptions.api.url", "sourceDescriptions", ("api", "url"), None),
        ("$components.parameters.page", "components", ("parameters", "page"), None),
        ("$copy.userId", "copy", ("userId",), None),
        ("$run.startDay", "run", ("startDay",), None),
        ("$query.number", "query", ("number",), None),
        ("$target.apiKey", "target", ("apiKey",), None),
    ],
)
def test_every_form(
    text: str, root: str, names: tuple[str, ...], pointer: tuple[str, ...] | None
) -> None:
    expression = parse_expression(text)
    assert (expression.root, expression.names, expression.pointer) == (root, names, pointer)
    assert expression.text == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("$urls", "unknown expression"),
        ("$statuscode", 'did you mean "$statusCode"?'),
        ("$request.body.", "left over"),
        ("$request.cookie.x", "$request.header, $request.query"),
        ("$request.header", "names no header"),
        ("$response.query.x", "$response.header, $response.body"),
        ("$response.bod", "unknown part"),
        ("$response.body#a", "does not start"),
        ("$response.body#/a~2", "neither"),
        ("$inputs", "names none of the inputs"),
        ("$inputs.", "names none"),
        ("$steps.a", "expected $steps.ID.outputs.NAME"),
        ("$steps.a.output.b", "names no output"),
        ("$workflows.a.steps.b", "$workflows.ID.inputs.NAME or $workflows.ID.outputs.NAME"),
        ("$sourceDescriptions.api", "incomplete"),
        ("$components.parameters", "incomplete"),
        ("$copy.userid", 'did you mean "userId"?'),
        ("$copy", "$copy.userId"),
        ("$inputs.a b", 'left over behind "$inputs.a"'),
        ("inputs.a", 'does not start with "$"'),
    ],
)
def test_what_is_no_expression(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    assert says in f"{caught.value.message}; {caught.value.remedy}"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("$inputs.a", True),
        ("$inputs", True),
        ("$url", True),
        ("$url.x", False),
        ("$statusCode", True),
        ("$5.00", False),
        ("$.path.to", False),
        ("$[0]", False),
        ("$", False),
        ("$unknown.x", False),
        ("Basic $inputs.a", False),
        ("{$inputs.a}", False),
        ("$copy.userId", False),
    ],
)
def test_only_known_roots_make_an_expression(text: str, is_one: bool) -> None:
    assert is_expression(text, own=False) is is_one


def test_our_own_expressions_count_where_they_are_allowed() -> None:
    assert is_expression("$copy.userId", own=True)
    assert is_expression("$target.apiKey", own=True)


@pytest.mark.parametrize(
    ("text", "end", "tail"),
    [
        ("$statusCode==200", 11, ()),
        ("$response.body#/n>0", 17, ()),
        ("$response.body#/n)", 17, ()),
        ("$response.body.arr[1].id == 2", 24, ("arr", 1, "id")),
        ("$response.body['a b'][\"c\"]", 26, ("a b", "c")),
        ("$response.header.X-Count>0", 24, ()),
        ("$inputs.list[0]&&true", 15, (0,)),
        ("$steps.a.outputs.b!=1", 18, ()),
    ],
)
def test_an_expression_ends_where_the_condition_goes_on(
    text: str, end: int, tail: tuple[str | int, ...]
) -> None:
    expression, reached = scan_expression(text, 0, CONDITION)
    assert (reached, expression.tail) == (end, tail)


def test_a_brace_ends_an_embedded_expression() -> None:
    expression, end = scan_expression('{$response.body#/a b}"', 1, EMBEDDED)
    assert (expression.pointer, end) == (("a b",), 20)


@pytest.mark.parametrize(
    ("text", "conforming"),
    [
        ("$response.body.items[0].id", "$response.body#/items/0/id"),
        ("$response.body#/items[0]", "$response.body#/items[0]"),
        ("$steps.a.outputs.b[1]", "$steps.a.outputs.b#/1"),
    ],
)
def test_the_conforming_spelling_of_members(text: str, conforming: str) -> None:
    assert parse_expression(text).conforming == conforming
