"""A step's request: gathered from the document, edited by the overlay, compiled to bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from loadcheck.documents.document import MISSING
from loadcheck.workflow.compile.encode import (
    Render,
    Segment,
    join,
    json_segments,
    percent,
    text_segments,
    utf8,
)
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
    Parameter,
    default_parameter,
)
from loadcheck.workflow.exchange import ACCEPTED_CODINGS, Origin, Request
from loadcheck.workflow.expressions.values import (
    Dynamic,
    Frame,
    JsonText,
    Text,
    UnsendableError,
    is_absent,
    uses_of,
)

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
    uses = draft.noted.union(
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
        # as Request() makes it, without a call of Python's own
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
        raise RequestError(f'"{name}" is no header field name')
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
        raise RequestError("a querystring parameter stands alone, without query parameters")
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
    """Join what is present and not empty."""
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


def _described(draft: RequestSpec, where: str, name: str) -> Parameter:
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
        kind = given = "text/plain" if isinstance(value, str | Text) else "application/json"
    if kind == "application/json" or kind.endswith("+json"):
        text = isinstance(value, str | Text | JsonText)
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
    if isinstance(value, str | Text | JsonText):
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
    """Percent-encode what may not stand in a path, and nothing that is encoded already."""
    return quote(text, safe="/%:@!$&'()*+,;=-._~").encode("ascii")
