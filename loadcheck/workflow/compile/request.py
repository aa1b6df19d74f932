"""Compile a step's request to byte templates.

A batch is one request whose array of events, or whose lines, come from several copies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from loadcheck.documents.document import MISSING, look_up
from loadcheck.workflow.compile.encode import (
    Render,
    Segment,
    join,
    json_segments,
    percent,
    text_segments,
    utf8,
)
from loadcheck.workflow.compile.inputs import parse_place, put
from loadcheck.workflow.compile.parameters import (
    boundary_of,
    cookie_segments,
    file_bytes,
    form_pair,
    form_text,
    header_segments,
    multipart_segments,
    path_segments,
    query_segments,
    querystring_segments,
    whole,
)
from loadcheck.workflow.compile.request_spec import (
    FORM,
    MULTIPART,
    RequestError,
    RequestSpec,
    media_type,
)
from loadcheck.workflow.description.openapi import (
    Encoding,
    MediaType,
    OperationParameter,
    default_parameter,
)
from loadcheck.workflow.exchange import ACCEPTED_CODINGS, Origin, Request
from loadcheck.workflow.expressions import (
    Dynamic,
    Evaluate,
    Frame,
    JsonTemplate,
    Template,
    UnsendableError,
    is_absent,
    uses_of,
)
from loadcheck.workflow.runtime import CompiledStep, CompiledWorkflow
from loadcheck.workflow.runtime.batch import CompiledBatch

_LINES: Final = "body"
_MARK: Final = "@@events of the copies@@"


def compile_batch(
    draft: RequestSpec,
    events: str,
    machine: CompiledWorkflow,
    step: CompiledStep,
    refused: Sequence[Evaluate],
    statuses: Evaluate | None,
) -> CompiledBatch:
    """Compile the request of several copies.

    Args:
        draft: The request of one copy.
        events: Place of its array of events, or "body" if bodies are joined as lines.
        machine: The workflow.
        step: The step.
        refused: Return the indexes of events that an answer refuses.
        statuses: Returns the status of each event; None if answers have none.

    Raises:
        RequestError: It has no such array, or cannot be compiled.
    """
    batch = partial(
        CompiledBatch, machine=machine, step=step, refused=tuple(refused), statuses=statuses
    )
    if events == _LINES:
        return _lines(draft, batch)
    where, _, pointer = parse_place(events)
    kind = media_type(draft.content_type) or "application/json"
    json = kind == "application/json" or kind.endswith("+json")
    if where != "body" or pointer is None or not json or not isinstance(draft.body, dict | list):
        raise RequestError(f"{events} is not a place in JSON that is the request's body")
    items = look_up(draft.body, pointer)
    if not isinstance(items, list) or not items:
        raise RequestError(f"there is no array with an event at {events}")
    shared = replace(draft, body=put(draft.body, pointer, _MARK))
    template = compile_request(shared)
    before, after = _around(json_segments(shared.body))
    event = join(_events_listed(items))

    def render(frames: Sequence[Frame]) -> Request:
        first = frames[0]
        written = [event if isinstance(event, bytes) else event(frame) for frame in frames]
        begin = before if isinstance(before, bytes) else before(first)
        end = after if isinstance(after, bytes) else after(first)
        body = b"%b[%b]%b" % (begin, b",".join(written), end)
        return template.render(first)._replace(body=body)

    return batch(render=render, each=len(items), uses=template.uses | uses_of(shared.body))


def _lines(draft: RequestSpec, batch: partial[CompiledBatch]) -> CompiledBatch:
    """Compile a request whose body is the bodies of the copies, joined as lines."""
    if draft.body is MISSING:
        raise RequestError("the request has no body that could hold the lines of several copies")
    if media_type(draft.content_type) in (FORM, MULTIPART):
        raise RequestError("a form cannot hold the lines of several copies")
    template = compile_request(draft)

    def render(frames: Sequence[Frame]) -> Request:
        requests = [template.render(frame) for frame in frames]
        lines = [request.body.rstrip(b"\r\n") for request in requests]
        return requests[0]._replace(body=b"\n".join([*lines, b""]))

    uses = draft.run_dependencies.union(*(uses_of(value) for value in draft.values.values()))
    return batch(render=render, each=1, uses=uses)


def _events_listed(items: Sequence[Any]) -> list[Segment]:
    segments: list[Segment] = []
    for item in items:
        if segments:
            segments.append(b",")
        segments += json_segments(item)
    return segments


def _around(segments: list[Segment]) -> tuple[bytes | Render, bytes | Render]:
    """Return the parts of a body before and after the mark of the events."""
    mark = b'"' + _MARK.encode() + b'"'
    for place, segment in enumerate(segments):
        if isinstance(segment, bytes) and mark in segment:
            before, _, after = segment.partition(mark)
            return join([*segments[:place], before]), join([after, *segments[place + 1 :]])
    raise RequestError("the events are in a part of the body that may be left out")


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FRAMING: Final = {"content-length", "connection", "transfer-encoding"}
_PATH_VARIABLE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestTemplate:
    """A compiled request.

    Attributes:
        render: Makes the request in a frame; raises ``UnsendableError`` if it cannot be made.
        uses: What it depends on.
    """

    render: Callable[[Frame], Request]
    uses: frozenset[str]


def compile_request(draft: RequestSpec) -> RequestTemplate:
    """Compile a request to byte templates.

    Raises:
        RequestError: A part of it is missing or cannot be written.
    """
    body, content_type = _body(draft)
    try:
        head = _head(draft, content_type)
        fixed_head = join(head)
        fixed_body = join(body)
    except UnsendableError as error:
        raise RequestError(str(error)) from None
    uses = draft.run_dependencies.union(
        *(uses_of(value) for value in draft.values.values()),
        uses_of(None if draft.body is MISSING else draft.body),
    )
    render = _renderer(draft.index, draft.origin, fixed_head, fixed_body)
    return RequestTemplate(render=render, uses=uses)


def _renderer(
    index: int, origin: Origin, head: bytes | Render, body: bytes | Render
) -> Callable[[Frame], Request]:
    if isinstance(head, bytes) and isinstance(body, bytes):
        request = Request(index, origin, head, body)
        return lambda _: request
    if isinstance(head, bytes) and not isinstance(body, bytes):
        # equivalent to Request(…), without the overhead of a Python-level __new__
        make = tuple.__new__
        return lambda frame: make(Request, (index, origin, head, body(frame)))
    if isinstance(body, bytes) and not isinstance(head, bytes):
        return lambda frame: Request(index, origin, head(frame), body)

    def render(frame: Frame) -> Request:
        return Request(
            index,
            origin,
            head if isinstance(head, bytes) else head(frame),
            body if isinstance(body, bytes) else body(frame),
        )

    return render


def _head(draft: RequestSpec, content_type: str) -> list[Segment]:
    segments: list[Segment] = [
        draft.operation.method.encode(),
        b" ",
        *_target(draft),
        b" HTTP/1.1\r\n",
    ]
    fields = {name.lower() for where, name in draft.values if where == "header"}
    if "host" not in fields:
        segments.append(b"Host: " + draft.origin.authority.encode() + b"\r\n")
    if "user-agent" not in fields:
        segments.append(b"User-Agent: loadcheck\r\n")
    if "accept" not in fields:
        segments.append(b"Accept: */*\r\n")
    if "accept-encoding" not in fields:
        segments.append(b"Accept-Encoding: " + ACCEPTED_CODINGS.encode() + b"\r\n")
    multipart = content_type.startswith("multipart/")  # the boundary is in it
    if content_type and (multipart or "content-type" not in fields):
        segments.append(b"Content-Type: " + content_type.encode() + b"\r\n")
    for (where, name), value in draft.values.items():
        if where == "header" and not (multipart and name.lower() == "content-type"):
            segments += _field_line(draft, name, value)
    return [*segments, *_cookies(draft)]


def _field_line(draft: RequestSpec, name: str, value: Any) -> list[Segment]:
    if not _TOKEN.fullmatch(name):
        raise RequestError(f'"{name}" is not a header field name')
    if name.lower() in _FRAMING:
        raise RequestError(f"the header field {name} is set by the transport")
    parameter = _described(draft, "header", name)
    line = join([name.encode(), b": ", *header_segments(parameter, value), b"\r\n"])
    return [_if_present(value, line)]


def _cookies(draft: RequestSpec) -> list[Segment]:
    cookies = [
        (value, join(cookie_segments(_described(draft, where, name), value)))
        for (where, name), value in draft.values.items()
        if where == "cookie"
    ]
    if not cookies:
        return []
    listed = _listed(cookies, b"; ")
    if isinstance(listed, bytes):
        return [b"Cookie: " + listed + b"\r\n"]

    def render(frame: Frame) -> bytes:
        written = listed(frame)
        return b"Cookie: " + written + b"\r\n" if written else b""

    return [render]


def _target(draft: RequestSpec) -> list[Segment]:
    segments: list[Segment] = [draft.base.encode("ascii")]
    path = draft.operation.path
    position = 0
    for match in _PATH_VARIABLE.finditer(path):
        segments.append(_literal_path(path[position : match.start()]))
        value = draft.values.get(("path", match[1]), MISSING)
        if value is MISSING:
            raise RequestError(f'the path parameter "{match[1]}" of {path} has no value')
        segments += path_segments(_described(draft, "path", match[1]), value)
        position = match.end()
    segments.append(_literal_path(path[position:]) or (b"" if position or draft.base else b"/"))
    pairs = [
        (value, join(query_segments(_described(draft, where, name), value)))
        for (where, name), value in draft.values.items()
        if where == "query"
    ]
    whole_query = [
        querystring_segments(_described(draft, where, name), value)
        for (where, name), value in draft.values.items()
        if where == "querystring"
    ]
    if whole_query and (pairs or len(whole_query) > 1):
        raise RequestError("a querystring parameter cannot be combined with query parameters")
    if whole_query:
        return [*segments, b"?", *whole_query[0]]
    if not pairs:
        return segments
    if not any(isinstance(value, Dynamic | dict | list) for value, _ in pairs):
        for index, (_, pair) in enumerate(pairs):
            segments += [b"&" if index else b"?", pair]
        return segments
    listed = _listed(pairs, b"&")
    if isinstance(listed, bytes):
        return [*segments, b"?" + listed if listed else b""]

    def render(frame: Frame) -> bytes:
        written = listed(frame)
        return b"?" + written if written else b""

    return [*segments, render]


def _listed(pairs: list[tuple[Any, bytes | Render]], between: bytes) -> bytes | Render:
    """Join the pieces whose value is present and that are not empty."""
    if all(isinstance(written, bytes) for _, written in pairs):
        return between.join(
            written for _, written in pairs if isinstance(written, bytes) and written
        )

    def render(frame: Frame) -> bytes:
        pieces = []
        for value, written in pairs:
            if is_absent(value, frame):
                continue
            piece = written if isinstance(written, bytes) else written(frame)
            if piece:
                pieces.append(piece)
        return between.join(pieces)

    return render


def _if_present(value: Any, line: bytes | Render) -> Segment:
    if isinstance(line, bytes) or not (isinstance(value, Dynamic) and value.optional):
        return line
    return lambda frame: b"" if is_absent(value, frame) else line(frame)


def _described(draft: RequestSpec, where: str, name: str) -> OperationParameter:
    described = draft.operation.parameters
    if where == "header":
        for (place, known), parameter in described.items():
            if place == where and known.lower() == name.lower():
                return parameter
    return described.get((where, name)) or default_parameter(name, where)


def _body(draft: RequestSpec) -> tuple[list[Segment], str]:
    if draft.body is MISSING:
        return [b""], ""
    given = draft.content_type or next(iter(draft.operation.content_types), "")
    kind = media_type(given)
    value = draft.body
    if not kind:
        kind = given = "text/plain" if isinstance(value, str | Template) else "application/json"
    if kind == "application/json" or kind.endswith("+json"):
        text = isinstance(value, str | Template | JsonTemplate)
        return (text_segments(value, utf8) if text else json_segments(value)), given
    described = draft.operation.content.get(kind, MediaType())
    if kind == FORM:
        return _form(value, described), given
    if kind == MULTIPART:
        boundary = boundary_of(given, f"{draft.index} {draft.origin} {draft.operation.path}")
        if not isinstance(value, dict | Dynamic):
            raise RequestError("the payload of a multipart form is an object")
        written = given if "boundary=" in given else f"{given}; boundary={boundary}"
        return multipart_segments(value, described.encoding, boundary), written
    if kind.startswith("multipart/"):
        raise RequestError(f'a body of "{kind}" is not supported: only {MULTIPART} is')
    if isinstance(value, dict | list):
        raise RequestError(f'a payload of "{kind}" is a string, not an object or array')
    if isinstance(value, Dynamic) and value.pattern is None:
        return [file_bytes(value)], given
    return text_segments(value, utf8), given


def _form(value: Any, described: MediaType) -> list[Segment]:
    if isinstance(value, str | Template | JsonTemplate):
        if isinstance(value, str):
            return [value.encode()]
        return [
            part.encode() if isinstance(part, str) else segment
            for part, segment in zip(value.parts, text_segments(value, percent), strict=True)
        ]
    if isinstance(value, Dynamic):
        return whole(value, lambda found: form_text(found, described.encoding).encode())
    if not isinstance(value, dict):
        raise RequestError("the payload of a form is an object or a string")
    pairs = [
        (member, join(_form_pair(name, member, described.encoding.get(name))))
        for name, member in value.items()
    ]
    return [_listed(pairs, b"&")]


def _form_pair(name: str, member: Any, encoding: Encoding | None) -> list[Segment]:
    if encoding is None:
        return query_segments(default_parameter(name, "query"), member)
    return whole(member, lambda found: form_pair(name, found, encoding).encode("ascii"))


def _literal_path(text: str) -> bytes:
    """Percent-encode what a path may not contain; keep what is already encoded."""
    return quote(text, safe="/%:@!$&'()*+,;=-._~").encode("ascii")
