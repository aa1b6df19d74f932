"""Simple conditions: literals, operators, grouping and what compares with what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.documents.document import MISSING
from loadcheck.workflow.description import WorkflowSignature
from loadcheck.workflow.expressions import Slot
from loadcheck.workflow.expressions.conditions import compare, compile_condition
from loadcheck.workflow.expressions.grammar import ExpressionError
from loadcheck.workflow.expressions.scope import Scope
from loadcheck.workflow.identity import Run
from tests.workflow.workbench import Reply

RUN = Run(id="r", start_day="20260101", end_day="20260103")
BODY = {
    "n": 5,
    "zero": 0,
    "ok": True,
    "no": False,
    "nothing": None,
    "text": "Hello",
    "numeric": "7",
    "quote": "it's",
    "arr": [{"id": 1}, {"id": 2}],
    "empty": [],
    "big": 12345678901234567,
}


def holds(condition: str, status: int = 200) -> bool:
    scope = Scope(
        WorkflowSignature(key="w", inputs={"limit": True, "a.b": False}, outputs={}),
        RUN,
        inputs={"limit": 4, "a.b": {"c": "deep"}},
    )
    test, _ = compile_condition(condition, scope.resolve)
    frame: list[Any] = [MISSING] * Slot.FREE
    reply = Reply(
        status,
        BODY,
        headers=[("x-count", "12"), ("content-type", "text/Plain"), ("x-flag", "True")],
    )
    frame[Slot.EXCHANGE] = reply.exchange(None)  # type: ignore[arg-type]  # nothing was sent
    return test(frame)


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("$statusCode == 200", True),
        ("$statusCode==200", True),
        ("$statusCode != 200", False),
        ("$statusCode == 201", False),
        ("200 == $statusCode", True),
        ("$statusCode >= 200 && $statusCode < 300", True),
        ("$statusCode < 200 || $statusCode >= 300", False),
        ("$statusCode == 404 || $response.body#/ok == true", True),
        ("$response.body#/n > 4", True),
        ("$response.body#/n > 5", False),
        ("$response.body#/n >= 5", True),
        ("$response.body#/n <= 4.5", False),
        ("$response.body#/n < 5.5e0", True),
        ("$response.body#/n == 5.0", True),
        ("$response.body#/n == -5", False),
        ("$response.body#/big == 12345678901234567", True),
        ("$response.body.n == 5", True),
        ("$response.body.arr[1].id == 2", True),
        ("$response.body.arr[9].id == 2", False),
        ("$response.body['arr'][0].id == 1", True),
        ("$response.body#/arr/0/id == 1", True),
        ("$response.body#/text == 'Hello'", True),
        ("$response.body#/text == 'hELLO'", True),
        ("$response.body#/text != 'hello'", False),
        ("$response.body#/text < 'hi'", True),
        ("$response.body#/quote == 'it''s'", True),
        ("'' == ''", True),
        ("$response.body#/ok == true", True),
        ("$response.body#/ok == 1", False),
        ("$response.body#/zero == false", False),
        ("$response.body#/ok", True),
        ("!$response.body#/ok", False),
        ("!$response.body#/no", True),
        ("!!$response.body#/ok", True),
        ("$response.body#/zero", False),
        ("$response.body#/empty", False),
        ("$response.body#/absent", False),
        ("!$response.body#/absent", True),
        ("$response.body#/nothing == null", True),
        ("$response.body#/absent == null", True),
        ("$response.body#/n == null", False),
        ("$response.body#/n != null", True),
        ("$response.body#/absent > 0", False),
        ("$response.body#/absent <= 0", False),
        ("$response.body#/absent != 0", True),
        ("$response.body#/text > 0", False),
        ("$response.body#/numeric == 7", True),
        ("$response.body#/numeric > 6", True),
        ("$response.header.X-Count > 9", True),
        ("$response.header.x-count == '12'", True),
        ("$response.header.content-type == 'text/plain'", True),
        ("$response.header.absent == null", True),
        ("$response.header.x-flag == true", True),
        ("$response.header.x-flag == false", False),
        ("$response.body#/text == true", False),
        ("$response.body#/n > $inputs.limit", True),
        ("$inputs.a.b.c == 'DEEP'", True),
        ("($response.body#/n == 5)", True),
        ("($statusCode == 500 || $statusCode == 200) && $response.body#/n == 5", True),
        ("$statusCode == 500 || $statusCode == 200 && $response.body#/n == 4", False),
        ("$statusCode == 200 || $statusCode == 500 && $response.body#/n == 4", True),
        ("!($statusCode == 200 && $response.body#/n == 5)", False),
        ("!$response.body#/no && $response.body#/ok", True),
        ("((true))", True),
        ("true == false", False),
        ("null == null", True),
        ("  $statusCode  ==  200  ", True),
    ],
)
def test_conditions(condition: str, outcome: bool) -> None:
    assert holds(condition) is outcome


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("", "at its end"),
        ("$statusCode ==", "at its end"),
        ("$statusCode = 200", 'equality is "=="'),
        ("$statusCode === 200", 'equality is "=="'),
        ('$response.body#/a == "x"', "single quotes"),
        ("$statusCode == 200 &&", "at its end"),
        ("$statusCode == 200 & true", "expected an operator"),
        ("($statusCode == 200", 'expected ")"'),
        ("$statusCode == 200)", "expected an operator"),
        ("$status == 200", 'did you mean "$statusCode"?'),
        ("$inputs.limt == 4", 'did you mean "limit"?'),
        ("$statusCode == 'open", "expected a value"),
        ("200x == 1", "expected a value"),
        ("status == 200", "expected a value"),
        ("$statusCode == 200 $statusCode", "expected an operator"),
        ("(" * 200 + "true" + ")" * 200, "nested too deeply"),
        ("!" * 200 + "true", "nested too deeply"),
    ],
)
def test_what_is_no_condition(condition: str, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        holds(condition)
    assert says in f"{caught.value.message}; {caught.value.remedy}"


def test_no_answer_has_no_status() -> None:
    assert not holds("$statusCode == 200", status=0)
    assert not holds("$statusCode < 500", status=0)
    assert holds("$statusCode != 200", status=0)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.text())
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


@given(JSON, JSON)
def test_comparing_is_consistent(left: Any, right: Any) -> None:
    assert compare("==", left, right) is compare("==", right, left)
    assert compare("!=", left, right) is not compare("==", left, right)
    assert compare("<", left, right) is compare(">", right, left)
    assert not (compare("<", left, right) and compare(">=", left, right))


@given(JSON)
def test_everything_equals_itself(value: Any) -> None:
    assert compare("==", value, value)
