"""Byte templates: known parts are encoded once, the rest by closures over a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote, quote_from_bytes

import orjson

from loadcheck.data.order import Bits, BlockValues, blockwise
from loadcheck.documents.document import MISSING
from loadcheck.workflow.expressions import (
    Dynamic,
    Frame,
    Json,
    JsonStringPart,
    JsonTemplate,
    Pattern,
    Slot,
    Template,
    UnsendableError,
    as_text,
    dump_json,
    dynamics,
    evaluate,
    quote_json,
)


class Formatted(NamedTuple):
    """A piece made from one number in the frame: a printf-style format, and the number's slot."""

    format: bytes
    slot: int


Segment: TypeAlias = bytes | Formatted | BlockValues | Callable[[Frame], bytes]
Render: TypeAlias = Callable[[Frame], bytes]


def percent(text: str) -> bytes:
    """Percent-encode everything but unreserved characters (RFC 3986 section 2.3)."""
    return quote(text, safe="").encode("ascii")


def utf8(text: str) -> bytes:
    """Encode as UTF-8."""
    return text.encode()


def join(segments: Iterable[Segment]) -> bytes | Render:
    """Join segments to bytes, or to a function that renders them in a frame."""
    pieces: list[bytes | Render] = []
    run: list[bytes | Formatted | BlockValues] = []
    for segment in _merged(segments):
        if isinstance(segment, bytes | Formatted | BlockValues):
            if isinstance(segment, BlockValues) and any(
                isinstance(piece, BlockValues) for piece in run
            ):
                pieces.append(_format(run))
                run = []
            run.append(segment)
        else:
            pieces += [_format(run), segment]
            run = []
    pieces = [piece for piece in (*pieces, _format(run)) if piece != b""]
    if not pieces:
        return b""
    return pieces[0] if len(pieces) == 1 else _concatenation(pieces)


def _merged(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Merge series that have only bytes between them into one series."""
    held: list[bytes | BlockValues] = []
    for segment in segments:
        if isinstance(segment, BlockValues) or (held and isinstance(segment, bytes)):
            held.append(segment)
            continue
        yield from _one_series(held)
        held = []
        yield segment
    yield from _one_series(held)


def _one_series(held: list[bytes | BlockValues]) -> list[bytes | BlockValues]:
    last = max(
        (place for place, piece in enumerate(held) if isinstance(piece, BlockValues)), default=-1
    )
    parts, rest = held[: last + 1], held[last + 1 :]
    found = [piece for piece in parts if isinstance(piece, BlockValues)]
    if len(found) < len("ab"):
        return held
    size = min(each.size for each in found)
    makers = [each.cut(size).make for each in found]
    template = _template(parts)

    def make(numbers: Bits) -> list[Any]:
        rows = list(zip(*[make(numbers) for make in makers], strict=True))
        try:
            return [template % row for row in rows]
        except TypeError:  # one of the values is an error
            return [
                next((each for each in row if not isinstance(each, bytes)), None) or template % row
                for row in rows
            ]

    return [BlockValues(make, size), *rest]


def _template(pieces: Iterable[bytes | Formatted | BlockValues]) -> bytes:
    return b"".join(
        piece.replace(b"%", b"%%")
        if isinstance(piece, bytes)
        else piece.format
        if isinstance(piece, Formatted)
        else b"%b"
        for piece in pieces
    )


def _format(run: list[bytes | Formatted | BlockValues]) -> bytes | Render:
    """Join bytes, numbers of the frame and at most one series by a single formatting operation."""
    late = [piece for piece in run if not isinstance(piece, bytes)]
    if not late:
        return b"".join(piece for piece in run if isinstance(piece, bytes))
    template = _template(run)
    pick = itemgetter(
        *(piece.slot if isinstance(piece, Formatted) else Slot.SERIES for piece in late)
    )
    series = next((piece for piece in late if isinstance(piece, BlockValues)), None)
    if series is None:
        return lambda frame: template % pick(frame)
    of = blockwise(*series)

    def render(frame: Frame) -> bytes:
        frame[Slot.SERIES] = found = of(frame[Slot.NUMBER])
        if found.__class__ is not bytes:
            raise found
        written: bytes = template % pick(frame)
        return written

    return render


def _concatenation(pieces: list[bytes | Render]) -> Render:
    template = [piece if isinstance(piece, bytes) else b"" for piece in pieces]
    late = [(place, piece) for place, piece in enumerate(pieces) if not isinstance(piece, bytes)]

    def render(frame: Frame) -> bytes:
        rendered = template.copy()
        for place, piece in late:
            rendered[place] = piece(frame)
        return b"".join(rendered)

    return render


def json_segments(value: Any) -> list[Segment]:
    """Return the segments of a value written as JSON."""
    if next(dynamics(value), None) is None:
        return [orjson.dumps(value)]
    if isinstance(value, Dynamic):
        return _json_scalar(value)
    if isinstance(value, Template | JsonTemplate | Json):
        return [b'"', *_string_segments(value), b'"']
    members = value.values() if isinstance(value, dict) else value
    if any(isinstance(member, Dynamic) and member.optional for member in members):
        return [lambda frame: dump_json(evaluate(value, frame))]
    brackets = (b"{", b"}") if isinstance(value, dict) else (b"[", b"]")
    segments: list[Segment] = []
    for name, member in value.items() if isinstance(value, dict) else enumerate(value):
        segments.append(b"," if segments else brackets[0])
        if isinstance(name, str):
            segments += [orjson.dumps(name), b":"]
        segments += json_segments(member)
    return [*segments, brackets[1]]


def _json_scalar(value: Dynamic) -> list[Segment]:
    if value.series is not None:
        return [value.series]
    if value.json is not None:
        return [value.json]
    if value.pattern is None:
        return [_encoded(value, dump_json)]
    quote_mark = b'"' if value.pattern.string else b""
    return [quote_mark, _formatted(value.pattern), quote_mark]


def _string_segments(value: Template | JsonTemplate | Json) -> list[Segment]:
    """Return the inside of a JSON string literal."""
    if not isinstance(value, Template):
        return [lambda frame: quote_json(value.require(frame)).encode()]
    return [
        quote_json(part).encode()
        if isinstance(part, str)
        else _text(part, lambda text: orjson.dumps(text)[1:-1])
        for part in value.parts
    ]


def text_segments(value: Any, encode: Callable[[str], bytes]) -> list[Segment]:
    """Return the segments of a value written as text.

    Args:
        value: A scalar, a template or a dynamic value; objects and arrays are written as JSON.
        encode: Applied to each piece of text; must give the same result as for the whole text.
    """
    if isinstance(value, Dynamic):
        return [_text(value, encode)]
    if isinstance(value, Template):
        return [
            encode(part) if isinstance(part, str) else _text(part, encode) for part in value.parts
        ]
    if isinstance(value, JsonTemplate):
        return [_json_text_segment(part, encode) for part in value.parts]
    if isinstance(value, Json | dict | list):
        tree = value.tree if isinstance(value, Json) else value
        return [
            encode(segment.decode())
            if isinstance(segment, bytes)
            else segment
            if isinstance(segment, Formatted)
            else _recoded(_alone(segment), encode)
            for segment in json_segments(tree)
        ]
    return [encode(as_text(value))]


def _alone(segment: BlockValues | Render) -> Render:
    if not isinstance(segment, BlockValues):
        return segment
    rendered = _format([segment])
    assert not isinstance(rendered, bytes)
    return rendered


def _json_text_segment(
    part: str | JsonStringPart | Dynamic, encode: Callable[[str], bytes]
) -> Segment:
    if isinstance(part, str):
        return encode(part)
    pattern = part.dynamic.pattern if isinstance(part, JsonStringPart) else part.pattern
    if pattern is not None and (isinstance(part, JsonStringPart) or not pattern.string):
        return _formatted(pattern)
    if isinstance(part, JsonStringPart):
        return _encoded(part.dynamic, lambda found: encode(quote_json(found)))
    return _encoded(part, lambda found: encode(dump_json(found).decode()))


def _text(dynamic: Dynamic, encode: Callable[[str], bytes]) -> Segment:
    if dynamic.pattern is not None:
        return _formatted(dynamic.pattern)
    return _encoded(dynamic, lambda found: encode(as_text(found)))


def _formatted(pattern: Pattern) -> Formatted:
    return Formatted(pattern.format.encode("ascii"), pattern.slot)


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
