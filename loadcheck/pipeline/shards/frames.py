"""Messages between a run and its shards: a length of four bytes, and MessagePack.

They go over any pair of byte streams: pipes, ``ssh``, ``kubectl exec -i``. Down go ``spec``,
``warm``, ``outputs``, ``ping``, ``begin`` and ``stop``; up come ``hello``, ``ready``, ``warmed``,
``pong``, ``armed``, ``snap``, ``done`` and ``failed``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from loadcheck.measure.changes import BrokenChangeError, decode, encode

PROTOCOL: Final = 3
"""Raised with every change of what messages mean."""
MOST_BYTES: Final = 1 << 28
"""Of one message. What is longer is none: something else writes into the stream."""
_LENGTH: Final = struct.Struct(">I")

Message = Mapping[str, Any]
"""What is sent: ``is`` names its kind."""


class FrameError(ValueError):
    """What came is no message of ours."""


class Secret(dict[str, Any]):
    """Values by name, of which nothing is shown by accident."""

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


def frame(message: Message) -> bytes:
    """Return a message as bytes.

    Raises:
        FrameError: It is too long.
    """
    content = encode({name: _plain(value) for name, value in message.items()})
    if len(content) > MOST_BYTES:
        raise FrameError(f"a message of {len(content):,} bytes")
    return _LENGTH.pack(len(content)) + content


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Secret) else value


class Unframer:
    """Takes a stream of bytes apart into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the messages that are complete with some more bytes.

        Raises:
            FrameError: The stream holds something else.
        """
        held = self._bytes
        held += data
        while len(held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held)
            if length > MOST_BYTES:
                beginning = bytes(held[:60]).decode("utf-8", "replace")
                raise FrameError(f"something else writes into the stream: {beginning!r}")
            end = _LENGTH.size + length
            if len(held) < end:
                return
            content = bytes(held[_LENGTH.size : end])
            del held[:end]
            try:
                message = decode(content)
            except BrokenChangeError as error:
                raise FrameError(str(error)) from None
            if not isinstance(message, dict) or not isinstance(message.get("is"), str):
                raise FrameError("a message that says not what it is")
            yield message
