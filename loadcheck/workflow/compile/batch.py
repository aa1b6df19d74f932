"""Compiling a batch: one request whose array of events, or lines, are those of several copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from loadcheck.documents.document import MISSING, look_up
from loadcheck.workflow.compile.encode import Render, Segment, join, json_segments
from loadcheck.workflow.compile.request import compile_request
from loadcheck.workflow.compile.request_spec import (
    FORM,
    MULTIPART,
    RequestError,
    RequestSpec,
    media_type,
)
from loadcheck.workflow.exchange import Request
from loadcheck.workflow.expressions.values import (
    Evaluate,
    Frame,
    uses_of,
)
from loadcheck.workflow.overlay import parse_place, put
from loadcheck.workflow.runtime.batch import CompiledBatch
from loadcheck.workflow.runtime.program import CompiledWorkflow, Step

_LINES: Final = "body"
_MARK: Final = "@@events of the copies@@"


def compile_batch(
    draft: RequestSpec,
    events: str,
    machine: CompiledWorkflow,
    step: Step,
    refused: Sequence[Evaluate],
    statuses: Evaluate | None,
) -> CompiledBatch:
    """Compile the request of several copies.

    Args:
        draft: The request of one.
        events: The place of its array of events.
        machine: The workflow.
        step: The step.
        refused: Give what an answer says of refused indexes.
        statuses: Gives the status of each event; None if answers have none.

    Raises:
        RequestError: There is no such array in it.
    """
    if events == _LINES:
        return _lines(draft, machine, step, refused, statuses)
    where, _, pointer = parse_place(events)
    kind = media_type(draft.content_type) or "application/json"
    json = kind == "application/json" or kind.endswith("+json")
    if where != "body" or pointer is None or not json or not isinstance(draft.body, dict | list):
        raise RequestError(f"{events} is no place in JSON that is the request's body")
    items = look_up(draft.body, pointer)
    if not isinstance(items, list) or not items:
        raise RequestError(f"there is no array with an event at {events}")
    shared = replace(draft, body=put(draft.body, pointer, _MARK))
    template = compile_request(shared)
    before, after = _around(json_segments(shared.body))
    event = join(_listed(items))

    def render(frames: Sequence[Frame]) -> Request:
        first = frames[0]
        written = [event if isinstance(event, bytes) else event(frame) for frame in frames]
        begin = before if isinstance(before, bytes) else before(first)
        end = after if isinstance(after, bytes) else after(first)
        body = b"%b[%b]%b" % (begin, b",".join(written), end)
        return template.render(first)._replace(body=body)

    return CompiledBatch(
        machine=machine,
        step=step,
        render=render,
        each=len(items),
        uses=template.uses | uses_of(shared.body),
        refused=tuple(refused),
        statuses=statuses,
    )


def _lines(
    draft: RequestSpec,
    machine: CompiledWorkflow,
    step: Step,
    refused: Sequence[Evaluate],
    statuses: Evaluate | None,
) -> CompiledBatch:
    """Compile a request whose body is those of the copies, one under the other."""
    if draft.body is MISSING:
        raise RequestError("the request has no body that could hold the lines of several copies")
    if media_type(draft.content_type) in (FORM, MULTIPART):
        raise RequestError("a form cannot hold the lines of several copies")
    template = compile_request(draft)

    def render(frames: Sequence[Frame]) -> Request:
        requests = [template.render(frame) for frame in frames]
        lines = [request.body.rstrip(b"\r\n") for request in requests]
        return requests[0]._replace(body=b"\n".join([*lines, b""]))

    return CompiledBatch(
        machine=machine,
        step=step,
        render=render,
        each=1,
        uses=draft.noted.union(*(uses_of(value) for value in draft.values.values())),
        refused=tuple(refused),
        statuses=statuses,
    )


def _listed(items: Sequence[Any]) -> list[Segment]:
    segments: list[Segment] = []
    for item in items:
        if segments:
            segments.append(b",")
        segments += json_segments(item)
    return segments


def _around(segments: list[Segment]) -> tuple[bytes | Render, bytes | Render]:
    """Return what stands before the mark and behind it."""
    mark = b'"' + _MARK.encode() + b'"'
    for place, segment in enumerate(segments):
        if isinstance(segment, bytes) and mark in segment:
            before, _, after = segment.partition(mark)
            return join([*segments[:place], before]), join([after, *segments[place + 1 :]])
    raise RequestError("the events stand where a part of the body may be left out")
