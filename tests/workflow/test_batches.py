"""Several copies in one request: what is sent, who is refused, what is sent again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadcheck.errors import WorkflowError
from loadcheck.scenario.model import BatchSpec, Edit
from loadcheck.workflow.compile import CompileSettings, compile_plan
from loadcheck.workflow.exchange import Exchange, Failure, Request, Wait
from loadcheck.workflow.identity import Run
from loadcheck.workflow.runtime.batch import MAX_RESENDS
from loadcheck.workflow.runtime.plan import Plan

LIBRARY = Path(__file__).resolve().parents[2] / "loadcheck" / "library" / "amplitude"
RUN = Run(id="run0run0run0", start_day="20260101", end_day="20260103", copies=1000)
EVENTS = "body#/events"
REFUSED = (
    "$response.body#/events_with_missing_fields",
    "$response.body#/events_with_invalid_fields",
    "$response.body#/silenced_events",
)


INSERT_ID = Edit("uploadEvents", "body#/events/0/insert_id", "$copy.insertId")
TAKEN = "$response.body#/events_ingested == $copy.events"


def settings(*edits: Edit, **changes: Any) -> CompileSettings:
    given: dict[str, Any] = {
        "document": LIBRARY / "workflow.yml",
        "name": "amplitude",
        "run": RUN,
        "servers": {"*": "http://127.0.0.1:1"},
        "inputs": {
            "userId": "$copy.userId",
            "start": "20260101",
            "end": "20260103",
            "apiKey": "key",
            "basicAuth": "a2V5OmtleQ==",
            "eventType": "probe",
            "eventProperties": {"plan": "free"},
        },
        "overlay": [INSERT_ID, *edits],
        "criteria": {"uploadEvents": [TAKEN]},
        "ingest": "uploadEvents",
        "together": BatchSpec(events=EVENTS, refused=REFUSED),
    }
    return CompileSettings(**{**given, **changes})


def compiled(*edits: Edit, **changes: Any) -> Plan:
    return compile_plan(settings(*edits, **changes))


Answering = Callable[[list[dict[str, Any]], int], tuple[int, Any]]
"""Events of a request and how many requests came before → status and body."""


def run(
    plan: Plan,
    copies: int,
    answering: Answering,
    *,
    attempts: int = 1,
) -> tuple[bool, list[list[str]], list[int]]:
    """Return whether it succeeded, the users in each request, and who was refused."""
    sent: list[list[str]] = []
    refused: list[int] = []

    def retry(exchange: Exchange, attempt: int) -> float | None:
        return 0.5 if attempt < attempts else None

    flow = plan.batch(range(copies), 1_700_000_000_000, retry, refused.extend)
    try:
        effect = next(flow)
        while True:
            if isinstance(effect, Wait):
                effect = flow.send(None)  # type: ignore[arg-type]  # goes on after a pause
                continue
            events = json.loads(effect.body)["events"]
            status, body = answering(events, len(sent))
            sent.append(
                [event["user_id"].rpartition("-")[2].lstrip("0") or "0" for event in events]
            )
            exchange = Exchange(effect, sent_ns=1, done_ns=2)
            exchange.answered(status, body=json.dumps(body).encode())
            exchange.failure = None if status else Failure.LOST
            effect = flow.send(exchange)
    except StopIteration as end:
        return end.value, sent, refused


def number_of(event: dict[str, Any]) -> str:
    return str(int(event["user_id"].rpartition("-")[2]))


def all_taken(events: list[dict[str, Any]], _: int) -> tuple[int, Any]:
    return 200, {"events_ingested": len(events)}


def body_of(request: Request | Wait) -> Any:
    assert isinstance(request, Request)
    return json.loads(request.body)


def test_the_events_of_each_copy_are_those_that_it_sends_alone() -> None:
    bucket = Edit("uploadEvents", "body#/events/0/event_properties/b", "$copy.bucket1")
    plan = compiled(bucket)
    alone = [body_of(next(plan.copy(n, 1, lambda *_: None)))["events"][0] for n in range(25)]
    flow = plan.batch(range(25), 1, lambda *_: None, lambda _: None)
    together = body_of(next(flow))
    assert together["events"] == alone
    assert len({event["insert_id"] for event in alone}) == 25
    assert together["api_key"] == "key"


def test_the_number_of_events_in_the_request_is_known_to_the_criterion() -> None:
    plan = compiled()
    assert run(plan, 7, all_taken)[0]
    assert not run(plan, 7, lambda *_: (200, {"events_ingested": 6}))[0]
    assert run(plan, 1, all_taken)[0]


def test_several_events_a_copy_count_as_many() -> None:
    second = Edit(
        "uploadEvents", "body#/events/1", {"user_id": "$inputs.userId", "event_type": "x"}
    )
    plan = compiled(second)
    success, sent, _ = run(plan, 3, all_taken)
    assert success
    assert sent == [["0", "0", "1", "1", "2", "2"]]

    def second_copy_is_wrong(events: list[dict[str, Any]], before: int) -> tuple[int, Any]:
        wrong = {"events_with_invalid_fields": {"time": [3]}}
        return (400, wrong) if before == 0 else (200, {"events_ingested": len(events)})

    success, sent, refused = run(plan, 3, second_copy_is_wrong)
    assert (success, refused) == (True, [1])
    assert sent[1] == ["0", "0", "2", "2"]


@given(wrong=st.sets(st.integers(0, 19)), each=st.booleans())
def test_who_is_named_is_refused_and_the_others_are_sent_without_them(
    wrong: set[int], each: bool
) -> None:
    """Whether the service names all that are wrong or, as Amplitude does, the first of them."""
    users = {str(number) for number in wrong}

    def answering(events: list[dict[str, Any]], _: int) -> tuple[int, Any]:
        found = [index for index, event in enumerate(events) if number_of(event) in users]
        if found:
            named = found if each else found[:1]
            return 400, {"events_with_missing_fields": {"event_type": named}}
        return 200, {"events_ingested": len(events)}

    success, sent, refused = run(PLAN, 20, answering)
    assert success == (len(wrong) < 20)
    assert sorted(refused) == sorted(wrong)
    if success:
        assert sent[-1] == [str(n) for n in range(20) if n not in wrong]


PLAN = compiled()


def test_it_does_not_go_on_for_ever() -> None:
    def first_is_wrong(events: list[dict[str, Any]], _: int) -> tuple[int, Any]:
        return 400, {"events_with_missing_fields": {"user_id": [0]}}

    success, sent, refused = run(PLAN, 500, first_is_wrong)
    assert not success
    assert len(sent) == MAX_RESENDS + 1
    assert refused == list(range(MAX_RESENDS + 1))


@pytest.mark.parametrize(
    "body",
    [
        {"events_with_missing_fields": {"user_id": [99]}},
        {"events_with_missing_fields": {"user_id": [-1]}},
        {"events_with_missing_fields": {"user_id": [True]}},
        {"error": "no such key"},
        "text",
    ],
)
def test_an_index_that_is_none_names_nobody(body: Any) -> None:
    success, sent, refused = run(PLAN, 3, lambda *_: (400, body))
    assert (success, len(sent), refused) == (False, 1, [])


def test_a_refusal_for_now_is_tried_again_whole() -> None:
    def throttled(events: list[dict[str, Any]], before: int) -> tuple[int, Any]:
        if before < 2:
            return 429, {"silenced_events": [0], "throttled_events": [0]}
        return all_taken(events, before)

    success, sent, refused = run(PLAN, 3, throttled, attempts=3)
    assert (success, refused) == (True, [])
    assert sent == [["0", "1", "2"]] * 3


def test_a_retry_is_the_very_same_request() -> None:
    bodies: list[Any] = []

    def lost_once(events: list[dict[str, Any]], before: int) -> tuple[int, Any]:
        bodies.append(events)
        return (0, None) if before == 0 else all_taken(events, before)

    assert run(PLAN, 3, lost_once, attempts=2)[0]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"together": BatchSpec(events="body#/nothing")}, "no array"),
        ({"together": BatchSpec(events="query.x")}, "not a place in JSON"),
        ({"ingest": "segmentEvent"}, "more than one step"),
        ({"query": "each"}, "more than one step"),
    ],
)
def test_what_cannot_be_shared_is_told(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(WorkflowError, match=words):
        compiled(**changes)


def test_what_differs_between_copies_outside_of_the_events_is_told() -> None:
    outside = Edit("uploadEvents", "header.X-User", "$copy.userId")
    with pytest.raises(WorkflowError, match=r"\$copy.userId is used outside of body#/events"):
        compiled(outside)
