"""Serialize parameters in path, query, header and cookie, forms, and multipart bodies (RFC 7578).

Styles are those of OpenAPI's "Parameter Object" and "Encoding Object".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from loadcheck.workflow.compile.encode import Segment, percent, text_segments
from loadcheck.workflow.description.openapi import Encoding, OperationParameter, default_parameter
from loadcheck.workflow.expressions import (
    Dynamic,
    FileContent,
    Frame,
    Json,
    JsonTemplate,
    Template,
    UnsendableError,
    as_text,
    dynamics,
    evaluate,
)

_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)"?')
_ESCAPED: Final = {'"': "%22", "\r": "%0D", "\n": "%0A"}


def boundary_of(content_type: str, seed: str) -> str:
    """Return the boundary that a content type gives, or one derived from ``seed`` by a hash."""
    match = _BOUNDARY.search(content_type)
    return match[1] if match else f"loadcheck-{hashlib.sha256(seed.encode()).hexdigest()[:32]}"


def multipart_segments(
    value: Any, encoding: Mapping[str, Encoding], boundary: str
) -> list[Segment]:
    """Return the segments of a multipart body.

    Args:
        value: An object, which has one part for each member or each item of an array member; or a
            dynamic value that will be one.
        encoding: Member → how it is written.
        boundary: The delimiter between the parts.
    """
    end = f"--{boundary}--\r\n".encode()
    if isinstance(value, dict):
        segments: list[Segment] = []
        for name, member in value.items():
            segments += whole({name: member}, lambda found: _parts(found, encoding, boundary))
        return [*segments, end]
    return [*whole(value, lambda found: _parts(found, encoding, boundary)), end]


def _parts(members: Any, encoding: Mapping[str, Encoding], boundary: str) -> bytes:
    if not isinstance(members, dict):
        raise UnsendableError("the payload of a multipart form is an object")
    return b"".join(
        f"--{boundary}\r\n".encode() + _part(name, item, encoding.get(name) or Encoding())
        for name, member in members.items()
        for item in (member if isinstance(member, list) else [member])
    )


def _part(name: str, value: Any, encoding: Encoding) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{_escaped(name)}"'
    kind = encoding.content_type
    if isinstance(value, FileContent):
        disposition += f'; filename="{_escaped(value.name)}"'
        content, kind = bytes(value), kind or value.content_type
    elif encoding.style is not None:
        content = query_text(encoding.style, value).encode()
    elif isinstance(value, dict) or "json" in kind:
        content, kind = orjson.dumps(value), kind or "application/json"
    else:
        content = as_text(value).encode()
    fields = [disposition, *([f"Content-Type: {kind}"] if kind else [])]
    fields += [f"{field}: {text}" for field, text in encoding.headers]
    return "\r\n".join(fields).encode() + b"\r\n\r\n" + content + b"\r\n"


def _escaped(text: str) -> str:
    """Escape a name as browsers do (HTML, "multipart/form-data encoding algorithm")."""
    return "".join(_ESCAPED.get(character, character) for character in text)


def file_bytes(value: Dynamic) -> Segment:
    """Return the segment of a body whose dynamic value is a file or text."""

    def render(frame: Any) -> bytes:
        found = value.require(frame)
        return bytes(found) if isinstance(found, FileContent) else as_text(found).encode()

    return render


_DELIMITERS: Final = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}
_TRIPLET: Final = re.compile(rb"%25([0-9A-Fa-f]{2})")
_UNFIT: Final = ("\r", "\n", "\0")


def query_segments(parameter: OperationParameter, value: Any) -> list[Segment]:
    """Return the segments of a query parameter: one or more ``name=value``, percent-encoded."""
    name = percent(parameter.name) + b"="
    encode = reserved if parameter.allow_reserved else percent
    if parameter.content_type and not isinstance(value, str | Template | JsonTemplate | Json):
        return [name, *_json_text(value, percent)]
    if _is_scalar(value):
        return [name, *text_segments(value, encode)]
    return whole(value, lambda found: query_text(parameter, found).encode("ascii"))


def querystring_segments(parameter: OperationParameter, value: Any) -> list[Segment]:
    """Return the segments of a whole query string (OpenAPI 3.2, ``in: querystring``).

    A string is used as it is; an object is written as a form, or as JSON if that is the parameter's
    media type.
    """
    if "json" in parameter.content_type and not isinstance(value, str | Template):
        return _json_text(value, percent)
    if isinstance(value, str | Template | JsonTemplate):
        return text_segments(value, reserved)
    return whole(value, lambda found: form_text(found, {}).encode("ascii"))


def form_text(value: Any, encoding: Mapping[str, Encoding]) -> str:
    """Return a value as a form (``application/x-www-form-urlencoded``).

    Args:
        value: An object; a string is taken to be a form already.
        encoding: Property → how it is written; by default an array gives one pair for each item,
            and an object one for each member.

    Raises:
        UnsendableError: The value is neither.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise UnsendableError("the payload of a form is an object or a string")
    pairs = (form_pair(name, member, encoding.get(name)) for name, member in value.items())
    return "&".join(pair for pair in pairs if pair)


def form_pair(name: str, member: Any, encoding: Encoding | None) -> str:
    """Return the pairs of one property of a form."""
    if encoding is not None and encoding.style is not None:
        return query_text(encoding.style, member)
    if encoding is not None and "json" in encoding.content_type:
        return f"{_percent(name)}={_percent(orjson.dumps(member).decode())}"
    return query_text(default_parameter(name, "query"), member)


def query_text(parameter: OperationParameter, value: Any) -> str:
    """Return the percent-encoded pairs of a known value."""
    name = _percent(parameter.name)
    write = _reserved if parameter.allow_reserved else _percent
    if isinstance(value, dict):
        pairs = [(_percent(key), write(as_text(item))) for key, item in value.items()]
        if parameter.style == "deepObject":
            return "&".join(f"{name}%5B{key}%5D={item}" for key, item in pairs)
        if parameter.explode:
            return "&".join(f"{key}={item}" for key, item in pairs)
        between = _DELIMITERS.get(parameter.style, ",")
        return f"{name}={between.join(f'{key}{between}{item}' for key, item in pairs)}"
    if isinstance(value, list):
        items = [write(as_text(item)) for item in value]
        if parameter.explode:
            return "&".join(f"{name}={item}" for item in items)
        return f"{name}={_DELIMITERS.get(parameter.style, ',').join(items)}"
    return f"{name}={write(as_text(value))}"


def path_segments(parameter: OperationParameter, value: Any) -> list[Segment]:
    """Return the segments that replace ``{name}`` in a path, percent-encoded."""
    if parameter.style == "simple" and _is_scalar(value):
        return text_segments(value, percent)
    return whole(value, lambda found: path_text(parameter, found).encode("ascii"))


def path_text(parameter: OperationParameter, value: Any) -> str:
    """Return a known value in the style of a path parameter, percent-encoded."""
    if parameter.style == "label":
        return "." + _joined(
            value, explode=parameter.explode, between="." if parameter.explode else ","
        )
    if parameter.style == "matrix":
        name = _percent(parameter.name)
        if parameter.explode and isinstance(value, dict):
            return "".join(f";{_percent(k)}={_percent(as_text(v))}" for k, v in value.items())
        if parameter.explode and isinstance(value, list):
            return "".join(f";{name}={_percent(as_text(item))}" for item in value)
        return f";{name}={_joined(value, explode=False)}"
    return _joined(value, explode=parameter.explode)


def header_segments(parameter: OperationParameter, value: Any) -> list[Segment]:
    """Return the segments of a header field's value."""
    if parameter.content_type and not isinstance(value, str | Template | JsonTemplate | Json):
        return _json_text(value, _field)
    if _is_scalar(value):
        return text_segments(value, _field)
    return whole(value, lambda found: _field(_joined(found, explode=parameter.explode, encode=str)))


def cookie_segments(parameter: OperationParameter, value: Any) -> list[Segment]:
    """Return the segments of one cookie: ``name=value``."""
    name = percent(parameter.name) + b"="
    if _is_scalar(value):
        return [name, *text_segments(value, percent)]
    return [name, *whole(value, lambda found: _joined(found, explode=False).encode("ascii"))]


def _is_scalar(value: Any) -> bool:
    """Return whether a value is certain to be a scalar, now or when a copy runs."""
    return isinstance(value, Template | JsonTemplate | Json) or not isinstance(
        value, Dynamic | dict | list
    )


def whole(value: Any, write: Any) -> list[Segment]:
    """Return the segments of a value that is written as a whole, now or when a copy runs."""
    if next(dynamics(value), None) is None:
        return [write(value)]

    def render(frame: Frame) -> bytes:
        written: bytes = write(evaluate(value, frame))
        return written

    return [render]


def _json_text(value: Any, encode: Any) -> list[Segment]:
    return whole(value, lambda found: encode(orjson.dumps(found).decode()))


def _percent(text: str) -> str:
    return percent(text).decode("ascii")


def _field(text: str) -> bytes:
    """Encode a piece of a field value (RFC 9110 section 5.5)."""
    if any(character in text for character in _UNFIT):
        raise UnsendableError("a header value holds a line break or NUL")
    return text.encode()


def reserved(text: str) -> bytes:
    """Percent-encode what a query may not contain; keep reserved characters and triplets.

    RFC 6570 section 3.2.3, except for characters that RFC 3986 section 3.4 does not allow there.
    """
    return _TRIPLET.sub(rb"%\1", quote(text, safe="!$&'()*+,/:;=?@").encode("ascii"))


def _reserved(text: str) -> str:
    return reserved(text).decode("ascii")


def _joined(
    value: Any, *, explode: bool, between: str = ",", encode: Callable[[str], str] = _percent
) -> str:
    """Return a known value in the style "simple"."""
    if isinstance(value, dict):
        sign = "=" if explode else ","
        members = ((encode(key), encode(as_text(item))) for key, item in value.items())
        return between.join(f"{key}{sign}{item}" for key, item in members)
    if isinstance(value, list):
        return between.join(encode(as_text(item)) for item in value)
    return encode(as_text(value))
