"""Bodies of ``multipart/form-data`` (RFC 7578), by the Encoding Objects of OpenAPI."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from loadcheck.workflow.compile.encode import Segment
from loadcheck.workflow.compile.parameters import query_text, whole
from loadcheck.workflow.description.openapi import Encoding
from loadcheck.workflow.expressions.values import Dynamic, FileContent, UnsendableError, as_text

_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)"?')
_ESCAPED: Final = {'"': "%22", "\r": "%0D", "\n": "%0A"}


def boundary_of(content_type: str, seed: str) -> str:
    """Return the boundary that a content type names, or one that no content can foresee."""
    match = _BOUNDARY.search(content_type)
    return match[1] if match else f"loadcheck-{hashlib.sha256(seed.encode()).hexdigest()[:32]}"


def multipart_segments(
    value: Any, encoding: Mapping[str, Encoding], boundary: str
) -> list[Segment]:
    """Return the segments of a multipart body.

    Args:
        value: An object, one part for each member and for each item of an array; or what will be
            one when a copy runs.
        encoding: Member → how it is written.
        boundary: What stands between the parts.
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
    """Return the bytes of a body that is a file or text when a copy runs."""

    def render(frame: Any) -> bytes:
        found = value.require(frame)
        return bytes(found) if isinstance(found, FileContent) else as_text(found).encode()

    return render
