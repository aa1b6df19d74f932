"""Criteria of every type: one that holds, one that does not, one that is malformed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workflow.workbench import Bench, Reply, drive, give_up, workflow

BODY = {"n": 5, "name": "Rex", "pets": [{"id": 1, "tag": "dog"}, {"id": 2}], "deep": {"a b": [0]}}


def test_what_explains_an_answer_is_said(bench: Bench) -> None:
    wanted = {"condition": "$response.body#/n == 5"}
    moved = Reply(302, headers=[("location", "http://x.test/\x1bother")])
    assert judged(bench, wanted, moved)[1] == (
        "$response.body#/n == 5 does not hold (redirected to http://x.test/?other, which is not "
        "followed)"
    )
    for coding in ("utf-16", "utf-16-le"):
        told = judged(bench, wanted, Reply(200, '{"n": 5}'.encode(coding)))[1]
        assert "the body is UTF-16" in told
    assert judged(bench, wanted, Reply(200, b"\xef\xbb\xbf" + b'{"n": 5}')) == (True, "")


def judged(bench: Bench, criterion: dict[str, Any], reply: Reply | None = None) -> tuple[bool, str]:
    step = {"stepId": "s", "operationId": "search", "successCriteria": [criterion]}
    plan = bench.plan(workflow(step, inputs=["fixed"]), inputs={"fixed": "abc"})
    answer = reply or Reply(200, BODY, headers=[("x-id", "A-17")])
    ride = drive(plan.copy(0, 0, give_up), lambda _: answer)
    return ride.result, ride.exchanges[0].reason


@pytest.mark.parametrize(
    ("kind", "context", "condition", "holds"),
    [
        ("simple", None, "$statusCode == 200", True),
        ("simple", None, "$statusCode == 201", False),
        ("regex", "$statusCode", "^200$", True),
        ("regex", "$statusCode", "^4..$", False),
        ("regex", "$response.header.x-id", "^[A-Z]-\\d+$", True),
        ("regex", "$response.header.x-id", "^\\d", False),
        ("regex", "$response.header.absent", ".*", False),
        ("regex", "$response.body#/name", "ex", True),
        ("regex", "$response.body#/name", "(?<first>R)ex", True),
        ("regex", "$response.body#/name", "(?<=R)ex", True),
        ("regex", "$response.body", '"n":5', True),
        ("regex", "$inputs.fixed", "^abc$", True),
        ("regex", "$inputs.fixed", "^abd$", False),
        ("jsonpath", "$response.body", "$.n", True),
        ("jsonpath", "$response.body", "$.absent", False),
        ("jsonpath", "$response.body", "$", True),
        ("jsonpath", "$response.body", "$[?$.n > 4]", True),
        ("jsonpath", "$response.body", "$[?$.n > 5]", False),
        ("jsonpath", "$response.body", "$.pets[?@.tag == 'dog']", True),
        ("jsonpath", "$response.body", "$.pets[?@.tag == 'cat']", False),
        ("jsonpath", "$response.body", "$[?count(@.*) == 2]", True),
        ("jsonpath", "$response.body", "$..tag", True),
        ("jsonpath", "$response.body#/pets", "$[1].id", True),
        ("jsonpath", "$response.body#/pets", "$[2]", False),
        ("jsonpath", "$response.body#/pets", "$[-1]", True),
        ("jsonpath", "$response.body", "$.deep['a b'][0]", True),
        ("jsonpath", "$response.body#/absent", "$", False),
        ({"type": "jsonpath", "version": "draft-goessner-dispatch-jsonpath-00"},
         "$response.body", "$.pets[0].id", True),
    ],
)  # fmt: skip
def test_criteria(
    bench: Bench, kind: Any, context: str | None, condition: str, holds: bool
) -> None:
    criterion = {"condition": condition, "type": kind}
    if context is not None:
        criterion["context"] = context
    result, reason = judged(bench, criterion)
    assert result is holds
    assert condition in reason or holds


@pytest.mark.parametrize(
    ("criterion", "says"),
    [
        ({"condition": "$statusCode = 200"}, "does not parse"),
        ({"condition": "[a-", "type": "regex", "context": "$response.body"}, "is malformed"),
        (
            {"condition": "$.a[", "type": "jsonpath", "context": "$response.body"},
            "is not a JSONPath",
        ),
        ({"condition": "n", "type": "jsonpath", "context": "$response.body"}, "is not a JSONPath"),
        (
            {"condition": "$[?$.n > ]", "type": "jsonpath", "context": "$response.body"},
            "not a JSONPath",
        ),
        (
            {"condition": "//n[", "type": "xpath", "context": "$response.body"},
            "is not an XPath",
        ),
        ({"condition": "//n", "type": {"type": "xpath", "version": "xpath-30"}}, "no context"),
        ({"condition": "x", "type": "regexp", "context": "$url"}, 'did you mean "regex"?'),
        ({"condition": "x", "type": "regex"}, "has no context"),
        ({"condition": "x", "type": "regex", "context": "response.body"}, "does not start"),
        ({"condition": "x", "type": {"type": "jsonpath"}}, '"version" is missing'),
        (
            {"condition": "x", "type": {"type": "jsonpath", "version": "rfc9535"}},
            "needs arazzo: 1.1.0",
        ),
        ({"condition": "x", "type": {"type": "jsonpath", "version": "rfc1"}}, "expected one of"),
        ({"type": "simple"}, '"condition" is missing'),
    ],
)
def test_malformed_criteria(bench: Bench, criterion: dict[str, Any], says: str) -> None:
    step = {"stepId": "s", "operationId": "search", "successCriteria": [criterion]}
    error = bench.refused(workflow(step))
    assert says in str(error)
    assert all(
        problem.line and problem.key.startswith("/workflows/0") for problem in error.problems
    )


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("$.n > 4", True),
        ("$.n > 5", False),
        ("$.n == 5", True),
        ("$.n != 5", False),
        ("$.name == 'rex'", True),
        ('$.name == "Rex"', True),
        ("$.absent > 0", False),
        ("$['n'] <= 5.5", True),
        ("$.pets[1].id >= 2", True),
        ("$.pets[0].tag == null", False),
    ],
)
def test_a_comparison_that_is_no_jsonpath_is_understood_with_a_warning(
    bench: Bench, condition: str, holds: bool
) -> None:
    criterion = {"context": "$response.body", "condition": condition, "type": "jsonpath"}
    assert judged(bench, criterion)[0] is holds
    step = {"stepId": "s", "operationId": "search", "successCriteria": [criterion]}
    plan = bench.plan(workflow(step, inputs=["u"]), inputs={"u": "$copy.userId"})
    (warning,) = [problem for problem in plan.warnings if "JSONPath" in problem.message]
    assert "$[?" in warning.remedy
    assert warning.severity == "warning"
    assert "is not a JSONPath" in str(bench.refused(workflow(step), strict=True))


def test_no_json_fails_a_criterion_about_it(bench: Bench) -> None:
    criterion = {"condition": "$.n", "type": "jsonpath", "context": "$response.body"}
    assert judged(bench, criterion, Reply(200, b"<html>"))[0] is False
    assert judged(bench, {"condition": "$response.body#/n == 5"}, Reply(200, b""))[0] is False
    regex = {"condition": "html", "type": "regex", "context": "$response.body"}
    assert judged(bench, regex, Reply(200, b"<html>"))[0] is True
