"""A check that breaks proves nothing, and keeps no other from its findings."""

from __future__ import annotations

from collections.abc import Iterator

from loadcheck.verify import Finding, Verdict
from loadcheck.verify.judge import broken, compose


def check_sign(number: int) -> list[Finding]:
    verdict = Verdict.PASS if number > 0 else Verdict.FAIL
    return [Finding(check="sign", verdict=verdict, summary="")]


def check_inverse(number: int) -> Iterator[Finding]:
    yield Finding(check="begun", verdict=Verdict.PASS, summary="")
    yield Finding(check="inverse", verdict=Verdict.PASS, summary=str(1 / number))


def test_what_breaks_is_unknown_with_its_trace_and_the_rest_is_told() -> None:
    findings = compose([check_inverse, check_sign])(0)
    assert [(f.check, f.verdict) for f in findings if f.check != "begun"] == [
        ("inverse", Verdict.UNKNOWN),
        ("sign", Verdict.FAIL),
    ]
    told = next(f for f in findings if f.check == "inverse")
    assert "ZeroDivisionError: division by zero" in told.summary
    trace = told.to_json()["evidence"]["trace"]
    assert trace[-1] == "ZeroDivisionError: division by zero"
    assert any("in check_inverse" in line for line in trace)
    # where the package stands is nobody's business
    assert not any(line.startswith("/") for line in trace)
    assert [f.verdict for f in compose([check_inverse])(4)] == [Verdict.PASS] * 2


def test_of_a_group_every_trace_is_told() -> None:
    group = ExceptionGroup("tasks", [ValueError("one"), ValueError("two")])
    trace = broken("load", group).evidence["trace"]
    assert [line for line in trace if line.startswith("ValueError")] == [
        "ValueError: one",
        "ValueError: two",
    ]
    assert "ValueError: one" in broken("load", ExceptionGroup("t", [ValueError("one")])).summary
