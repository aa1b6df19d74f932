"""Byte templates: what is known is encoded once, the rest by closures over a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias
from urllib.parse import quote, quote_from_bytes

import orjson

from loadcheck.workflow.values import (
    MISSING,
    Dynamic,
    Frame,
    Json,
    JsonText,
    Quoted,
    Text,
    UnsendableError,
    as_text,
    dynamics,
    evaluate,
    quote_json,
)

Segment: TypeAlias = bytes | Callable[[Frame], bytes]
Render: TypeAlias = Callable[[Frame], bytes]


def percent(text: str) -> bytes:
    """Percent-encode everything but unreserved characters (RFC 3986 section 2.3)."""
    return quote(text, safe="").encode("ascii")


def utf8(text: str) -> bytes:
    """Encode as UTF-8."""
    return text.encode()


def join(segments: Iterable[Segment]) -> bytes | Render:
    """Return the bytes that the segments make, or what renders them in a frame."""
    merged: list[Segment] = []
    for segment in segments:
        if isinstance(segment, bytes) and merged and isinstance(last := merged[-1], bytes):
            merged[-1] = last + segment
        elif segment != b"":
            merged.append(segment)
    slots = [(index, segment) for index, segment in enumerate(merged) if callable(segment)]
    if not slots:
        return b"".join(segment for segment in merged if isinstance(segment, bytes))
    template = [segment if isinstance(segment, bytes) else b"" for segment in merged]
    if len(slots) == 1:
        index, only = slots[0]
        before, after = b"".join(template[:index]), b"".join(template[index + 1 :])
        return lambda frame: before + only(frame) + after

    def render(frame: Frame) -> bytes:
        pieces = template.copy()
        for index, segment in slots:
            pieces[index] = segment(frame)
        return b"".join(pieces)

    return render


def json_segments(value: Any) -> list[Segment]:
    """Return the segments of a value written as JSON."""
    if next(dynamics(value), None) is None:
        return [orjson.dumps(value)]
    if isinstance(value, Dynamic):
        return [_encoded(value, orjson.dumps)]
    if isinstance(value, Text | JsonText | Json):
        return [b'"', *_string_segments(value), b'"']
    members = value.values() if isinstance(value, dict) else value
    if any(isinstance(member, Dynamic) and member.optional for member in members):
        return [lambda frame: orjson.dumps(evaluate(value, frame))]
    segments: list[Segment] = []
    if isinstance(value, dict):
        for name, member in value.items():
            segments += [b"," if segments else b"{", orjson.dumps(name), b":"]
            segments += json_segments(member)
        return [*segments, b"}"]
    for member in value:
        segments += [b"," if segments else b"[", *json_segments(member)]
    return [*segments, b"]"]


def _string_segments(value: Text | JsonText | Json) -> list[Segment]:
    """Return the inside of a JSON string literal."""
    if not isinstance(value, Text):
        return [lambda frame: quote_json(value.require(frame)).encode()]
    return [
        quote_json(part).encode()
        if isinstance(part, str)
        else _encoded(part, lambda found: orjson.dumps(as_text(found))[1:-1])
        for part in value.parts
    ]


def text_segments(value: Any, encode: Callable[[str], bytes]) -> list[Segment]:
    """Return the segments of a value written as text.

    Args:
        value: A scalar, a text or a dynamic value; objects and arrays are written as JSON.
        encode: Applied to every piece of text; must give the same in pieces as in one.
    """
    if isinstance(value, Dynamic):
        return [_encoded(value, lambda found: encode(as_text(found)))]
    if isinstance(value, Text):
        return [
            encode(part)
            if isinstance(part, str)
            else _encoded(part, lambda found: encode(as_text(found)))
            for part in value.parts
        ]
    if isinstance(value, JsonText):
        return [_json_text_segment(part, encode) for part in value.parts]
    if isinstance(value, Json | dict | list):
        tree = value.tree if isinstance(value, Json) else value
        return [
            encode(segment.decode()) if isinstance(segment, bytes) else _recoded(segment, encode)
            for segment in json_segments(tree)
        ]
    return [encode(as_text(value))]


def _json_text_segment(part: str | Quoted | Dynamic, encode: Callable[[str], bytes]) -> Segment:
    if isinstance(part, str):
        return encode(part)
    if isinstance(part, Quoted):
        return _encoded(part.dynamic, lambda found: encode(quote_json(found)))
    return _encoded(part, lambda found: encode(orjson.dumps(found).decode()))


def _encoded(dynamic: Dynamic, encode: Callable[[Any], bytes]) -> Render:
    get, text = dynamic.evaluate, dynamic.text

    def render(frame: Frame) -> bytes:
        value = get(frame)
        if value is MISSING:
            raise UnsendableError(f"{text} has no value")
        return encode(value)

    return render


def _recoded(render: Render, encode: Callable[[str], bytes]) -> Render:
    if encode is percent:
        return lambda frame: quote_from_bytes(render(frame), safe="").encode("ascii")
    return lambda frame: encode(render(frame).decode())
