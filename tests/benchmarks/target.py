"""A server that does next to nothing, so that a benchmark measures who sends and not who answers.

``python -m tests.benchmarks.target`` prints its port and answers every request with the same JSON
until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

BODY = (
    b'{"code":200,"events_ingested":1,"payload_size_bytes":170,"server_upload_time":1700000000000}'
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


class Answering(asyncio.Protocol):
    """Answers each request when its last byte has come; reads no more of it than its length."""

    def __init__(self) -> None:
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by behaviour, not by inheritance
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._waiting + data if self._waiting else data
        answers = 0
        while data:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            end += 4
            begin = data[:end].lower().find(b"content-length:")
            if begin >= 0:
                end += int(data[begin + 15 : data.index(b"\r", begin)])
            if len(data) < end:
                break
            answers += 1
            data = data[end:]
        self._waiting = data
        if answers:
            self._transport.write(ANSWER * answers)


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
