"""Success and failure actions: end, goto, retry, at step and at workflow level."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from loadcheck.scenario.model import Edit
from loadcheck.workflow.exchange import Exchange, Failure, Request, retry_after_s
from loadcheck.workflow.runtime import MAX_JUMPS
from tests.workflow.workbench import Bench, Reply, Ride, drive, give_up, workflow

SEARCH = {"operationId": "search"}


def step(name: str, **fields: Any) -> dict[str, Any]:
    """Return a step whose request carries its name, so that a test sees which one ran."""
    parameters = [{"name": "step", "in": "query", "value": name}]
    return {"stepId": name, "operationId": "search", "parameters": parameters, **fields}


def names(ride: Ride) -> list[str]:
    return [_name(request) for request in ride.requests]


def _name(request: Request) -> str:
    return request.target.partition("step=")[2].partition("&")[0]


def answers(**statuses: list[int]) -> Callable[[Request], Reply]:
    """Answer each step with its statuses in turn, the last one for ever; else with 200."""
    left = {
        name: itertools.chain(values, itertools.repeat(values[-1]))
        for name, values in statuses.items()
    }

    def answer(request: Request) -> Reply:
        name = _name(request)
        return Reply(next(left[name]) if name in left else 200, {"n": 1})

    return answer


def ride(bench: Bench, *steps: dict[str, Any], **settings: Any) -> Callable[..., Ride]:
    fields = settings.pop("fields", {})
    plan = bench.plan(workflow(*steps, **fields), **settings)
    return lambda **statuses: drive(plan.copy(0, 0, give_up), answers(**statuses))


def on(name: str, kind: str, condition: str = "", **fields: Any) -> dict[str, Any]:
    criteria = {"criteria": [{"condition": condition}]} if condition else {}
    return {"name": name, "type": kind, **criteria, **fields}


def test_steps_run_in_order_and_all_must_succeed(bench: Bench) -> None:
    run = ride(bench, step("a"), step("b"), step("c"))
    whole = run()
    assert (whole.result, names(whole)) == (True, ["a", "b", "c"])
    assert [exchange.success for exchange in whole.exchanges] == [True, True, True]
    broken = run(b=[500])
    assert (broken.result, names(broken)) == (False, ["a", "b"])
    assert broken.exchanges[1].success is False
    assert broken.exchanges[1].reason == "status 500"


@pytest.mark.parametrize(
    ("status", "success"),
    [(200, True), (204, True), (299, True), (199, False), (301, False), (404, False)],
)
def test_without_criteria_a_2xx_is_a_success(bench: Bench, status: int, success: bool) -> None:
    assert ride(bench, step("a"))(a=[status]).result is success


def test_all_success_criteria_must_hold_and_the_first_that_does_not_is_the_reason(
    bench: Bench,
) -> None:
    criteria = [{"condition": "$statusCode == 404"}, {"condition": "$response.body#/n == 2"}]
    done = ride(bench, step("a", successCriteria=criteria))(a=[404])
    assert done.result is False
    assert done.exchanges[0].reason == "$response.body#/n == 2 does not hold"


def test_criteria_decide_alone_what_is_a_success(bench: Bench) -> None:
    criteria = [{"condition": "$statusCode == 404"}]
    assert ride(bench, step("a", successCriteria=criteria))(a=[404]).result is True
    assert ride(bench, step("a", successCriteria=criteria))(a=[200]).result is False


def test_a_failed_transport_is_no_success_whatever_the_criteria(bench: Bench) -> None:
    plan = bench.plan(workflow(step("a", successCriteria=[{"condition": "true"}])))
    done = drive(plan.copy(0, 0, give_up), lambda _: Reply(failure=Failure.TIMEOUT))
    assert done.result is False
    assert done.exchanges[0].reason == "timeout"


def test_end_on_success_ends_the_workflow_well(bench: Bench) -> None:
    run = ride(bench, step("a", onSuccess=[on("stop", "end", "$statusCode == 201")]), step("b"))
    assert names(run(a=[200])) == ["a", "b"]
    done = run(a=[201])
    assert (names(done), done.result) == (["a"], True)


def test_end_on_failure_ends_it_badly_without_asking_the_policy(bench: Bench) -> None:
    plan = bench.plan(workflow(step("a", onFailure=[on("stop", "end")]), step("b")))

    def refuse(_exchange: Exchange, _attempt: int, /) -> float:
        raise AssertionError("asked")

    done = drive(plan.copy(0, 0, refuse), answers(a=[500]))
    assert (names(done), done.result) == (["a"], False)


def test_goto_skips_and_is_one_way(bench: Bench) -> None:
    run = ride(
        bench,
        step("a", onSuccess=[on("skip", "goto", stepId="c")]),
        step("b"),
        step("c"),
        step("d"),
    )
    assert names(run()) == ["a", "c", "d"]


def test_goto_on_failure_goes_on(bench: Bench) -> None:
    run = ride(bench, step("a", onFailure=[on("plan b", "goto", stepId="c")]), step("b"), step("c"))
    assert (run().result, names(run())) == (True, ["a", "b", "c"])
    done = run(a=[500])
    assert (names(done), done.result) == (["a", "c"], True)


def test_the_first_action_that_matches_is_taken(bench: Bench) -> None:
    actions = [
        on("one", "goto", "$statusCode == 201", stepId="c"),
        on("two", "goto", "$statusCode >= 201", stepId="d"),
        on("three", "end"),
    ]
    run = ride(bench, step("a", onSuccess=actions), step("b"), step("c"), step("d"))
    assert names(run(a=[201])) == ["a", "c", "d"]
    assert names(run(a=[202])) == ["a", "d"]
    assert names(run(a=[200])) == ["a"]


def test_no_action_that_matches_lets_success_go_on_and_failure_end(bench: Bench) -> None:
    unmet = "$statusCode == 999"
    actions = {
        "onSuccess": [on("s", "end", unmet)],
        "onFailure": [on("f", "goto", unmet, stepId="b")],
    }
    run = ride(bench, step("a", **actions), step("b"))
    assert names(run()) == ["a", "b"]
    done = run(a=[500])
    assert (names(done), done.result) == (["a"], False)


def test_all_criteria_of_an_action_must_hold(bench: Bench) -> None:
    action = on("stop", "end", "$statusCode == 200")
    action["criteria"].append({"condition": "$response.body#/n == 2"})
    assert names(ride(bench, step("a", onSuccess=[action]), step("b"))()) == ["a", "b"]


def test_retry_sends_the_very_same_request_again(bench: Bench) -> None:
    retry = on("again", "retry", "$statusCode == 503", retryAfter=0.5, retryLimit=3)
    run = ride(
        bench,
        step("a", onFailure=[retry]),
        overlay=[Edit("a", "query.id", "$copy.insertId")],
    )
    done = run(a=[503, 503, 200])
    assert done.result is True
    assert done.pauses == [0.5, 0.5]
    assert done.requests[0] is done.requests[1] is done.requests[2]


def test_retry_once_by_default_then_give_up(bench: Bench) -> None:
    done = ride(bench, step("a", onFailure=[on("again", "retry")]))(a=[500])
    assert (len(done.requests), done.result, done.pauses) == (2, False, [0.0])


def test_the_limit_is_exhausted_before_the_next_action(bench: Bench) -> None:
    actions = [
        on("again", "retry", "$statusCode == 503", retryLimit=2),
        on("else", "goto", stepId="c"),
    ]
    run = ride(bench, step("a", onFailure=actions), step("b"), step("c"))
    assert names(run(a=[503])) == ["a", "a", "a", "c"]
    assert names(run(a=[500])) == ["a", "c"]
    assert names(run(a=[503, 500])) == ["a", "a", "c"]


def test_a_limit_of_zero_is_no_retry(bench: Bench) -> None:
    assert (
        len(ride(bench, step("a", onFailure=[on("r", "retry", retryLimit=0)]))(a=[500]).requests)
        == 1
    )


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ([("retry-after", "7")], 7.0),
        ([("retry-after", "0")], 0.0),
        ([("retry-after", "soon")], 2.0),
        ([("retry-after", "\N{SUPERSCRIPT TWO}")], 2.0),
        ([("retry-after", "Wed, 21 Oct 99999999999999999999 07:28:00 GMT")], 2.0),
        ([], 2.0),
    ],
)
def test_retry_after_overrules(bench: Bench, headers: list[tuple[str, str]], pause: float) -> None:
    plan = bench.plan(workflow(step("a", onFailure=[on("r", "retry", retryAfter=2)])))
    replies = iter([Reply(429, headers=headers), Reply(200)])
    done = drive(plan.copy(0, 0, give_up), lambda _: next(replies))
    assert done.pauses == [pause]
    assert done.result is True


def test_retry_after_may_be_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    headers = [("retry-after", later), ("date", format_datetime(now, usegmt=True))]
    request = Request(0, None, b"", b"")  # type: ignore[arg-type]  # not looked at
    assert retry_after_s(Reply(503, headers=headers).exchange(request)) == 90
    past = [("retry-after", format_datetime(now, usegmt=True))]
    assert retry_after_s(Reply(503, headers=past).exchange(request)) == 0


def test_a_retry_after_without_a_time_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    headers = [
        ("retry-after", "Thu Jan  1 00:01:30 2026"),
        ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ]
    request = Request(0, None, b"", b"")  # type: ignore[arg-type]  # not looked at
    try:
        assert retry_after_s(Reply(503, headers=headers).exchange(request)) == 90
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_retry_may_run_another_step_first(bench: Bench) -> None:
    login = step("login", outputs={"token": "$response.body#/token"})
    call = step(
        "call",
        onFailure=[on("refresh", "retry", "$statusCode == 401", stepId="login", retryLimit=2)],
    )
    call["parameters"].insert(
        0, {"name": "t", "in": "query", "value": "$steps.login.outputs.token"}
    )
    plan = bench.plan(workflow(login, call))
    tokens = itertools.count(1)

    def answer(request: Request) -> Reply:
        if "step=login" in request.target:
            return Reply(200, {"token": next(tokens)})
        return Reply(200 if "t=3" in request.target else 401)

    done = drive(plan.copy(0, 0, give_up), answer)
    assert names(done) == ["login", "call", "login", "call", "login", "call"]
    assert [target.count("t=3") for target in done.targets][-1] == 1
    assert done.result is True


def test_a_step_run_before_a_retry_leaves_the_request_the_very_same(bench: Bench) -> None:
    wake = step("wake")
    call = step("call", onFailure=[on("wake it", "retry", stepId="wake")])
    call["parameters"].append({"name": "u", "in": "query", "value": "$inputs.u"})
    plan = bench.plan(workflow(wake, call, inputs=["u"]), inputs={"u": "$copy.userId"})
    done = drive(plan.copy(0, 0, give_up), answers(call=[500, 200]))
    assert names(done) == ["wake", "call", "wake", "call"]
    assert done.requests[1] is done.requests[3]


def test_the_policy_is_asked_where_the_document_is_silent(bench: Bench) -> None:
    actions = [on("again", "retry", "$statusCode == 503")]
    plan = bench.plan(workflow(step("a", onFailure=actions)))
    asked: list[tuple[int, int]] = []

    def policy(exchange: Exchange, attempt: int, /) -> float | None:
        asked.append((exchange.status, attempt))
        return 0.25 if attempt < 4 else None

    done = drive(plan.copy(0, 0, policy), answers(a=[500, 503, 500]))
    assert asked == [(500, 1), (500, 3), (500, 4)]
    assert done.pauses == [0.25, 0.0, 0.25]
    assert len({id(request) for request in done.requests}) == 1
    spent = drive(plan.copy(0, 0, policy), answers(a=[503]))
    assert len(spent.requests) == 2
    assert asked[3:] == []


def test_workflow_level_actions_hold_for_every_step_that_does_not_overrule_them(
    bench: Bench,
) -> None:
    fields = {
        "failureActions": [on("again", "retry", retryLimit=1)],
        "successActions": [on("skip", "goto", "$statusCode == 202", stepId="c")],
    }
    overruled = step("b", onFailure=[on("again", "end")])
    run = ride(bench, step("a"), overruled, step("c"), fields=fields)
    assert names(run(a=[500, 202])) == ["a", "a", "c"]
    done = run(b=[500])
    assert (names(done), done.result) == (["a", "b"], False)


def test_an_action_overrules_the_workflows_of_the_same_name_even_if_it_does_not_match(
    bench: Bench,
) -> None:
    fields = {"failureActions": [on("again", "retry")]}
    own = on("again", "retry", "$statusCode == 503")
    run = ride(bench, step("a", onFailure=[own]), fields=fields)
    assert len(run(a=[503]).requests) == 2
    assert len(run(a=[500]).requests) == 1


def test_actions_and_parameters_from_components(bench: Bench) -> None:
    components = {
        "parameters": {"page": {"name": "page", "in": "query", "value": 1}},
        "successActions": {"stop": on("stop", "end", "$statusCode == 201")},
        "failureActions": {"again": on("again", "retry", retryLimit=1)},
    }
    one = {
        "stepId": "a",
        "operationId": "search",
        "parameters": [{"reference": "$components.parameters.page"}],
        "onSuccess": [{"reference": "$components.successActions.stop"}],
        "onFailure": [{"reference": "$components.failureActions.again"}],
    }
    two = {
        "stepId": "b",
        "operationId": "search",
        "parameters": [{"reference": "$components.parameters.page", "value": "$inputs.p"}],
    }
    plan = bench.plan(workflow(one, two, inputs=["p"]), components=components, inputs={"p": 9})
    replies = iter([Reply(500), Reply(200), Reply(200)])
    done = drive(plan.copy(0, 0, give_up), lambda _: next(replies))
    assert done.targets == ["/v1/things?page=1", "/v1/things?page=1", "/v1/things?page=9"]
    assert len(drive(plan.copy(0, 0, give_up), lambda _: Reply(201)).requests) == 1


def test_workflow_level_parameters_and_their_overrides(bench: Bench) -> None:
    general = [
        {"name": "a", "in": "query", "value": "1"},
        {"name": "b", "in": "query", "value": "2"},
        {"name": "a", "in": "header", "value": "h"},
    ]
    own = {
        "stepId": "s",
        "operationId": "search",
        "parameters": [{"name": "b", "in": "query", "value": "3"}],
    }
    plan = bench.plan(workflow(own, parameters=general))
    request = drive(plan.copy(0, 0, give_up), lambda _: Reply()).requests[0]
    assert request.target == "/v1/things?a=1&b=3"
    assert dict(request.headers)["a"] == "h"


def test_polling_until_done_and_the_cap_of_a_loop_without_end(bench: Bench) -> None:
    poll = step("poll", onSuccess=[on("not yet", "goto", "$statusCode == 202", stepId="poll")])
    plan = bench.plan(workflow(poll, step("end")))
    done = drive(plan.copy(0, 0, give_up), answers(poll=[202, 202, 200]))
    assert names(done) == ["poll", "poll", "poll", "end"]
    endless = drive(plan.copy(0, 0, give_up), answers(poll=[202]))
    assert endless.result is False
    assert len(endless.requests) == MAX_JUMPS + 1
    assert "transfers of control" in next(iter(plan.unsendable))


@pytest.mark.parametrize(
    "steps",
    [
        [step("a", onSuccess=[on("x", "goto", stepId="a")])],
        [step("a"), step("b", onSuccess=[on("x", "goto", stepId="a")])],
        [
            step("a", onSuccess=[on("x", "goto", stepId="c")]),
            step("b"),
            step(
                "c",
                onSuccess=[
                    on("x", "goto", "$statusCode == 200", stepId="a"),
                    on("y", "goto", stepId="c"),
                ],
            ),
        ],
    ],
)
def test_a_circle_without_an_exit_is_refused(bench: Bench, steps: list[dict[str, Any]]) -> None:
    error = bench.refused(workflow(*steps))
    assert "can never end" in str(error)
    assert error.problems[0].line is not None


@pytest.mark.parametrize(
    "steps",
    [
        [step("a"), step("b", onSuccess=[on("x", "goto", "$statusCode == 202", stepId="a")])],
        [step("a", onFailure=[on("x", "goto", stepId="a")])],
        [step("a", onSuccess=[on("x", "end", "$statusCode == 201"), on("y", "goto", stepId="a")])],
    ],
)
def test_a_circle_with_an_exit_is_not(bench: Bench, steps: list[dict[str, Any]]) -> None:
    assert drive(bench.plan(workflow(*steps)).copy(0, 0, give_up), lambda _: Reply(201)).result


def test_an_action_may_refer_to_the_steps_own_outputs(bench: Bench) -> None:
    one = step(
        "a",
        outputs={"n": "$response.body#/n"},
        onSuccess=[on("x", "end", "$steps.a.outputs.n == 1 && $outputs.n < 2")],
    )
    assert names(ride(bench, one, step("b"))()) == ["a"]
