"""A server that does next to nothing, so that a benchmark measures who sends and not who answers.

``python -m tests.benchmarks.target`` prints its port and answers every request with the JSON that
acknowledges its events, until its standard input ends. ``--tls FILE`` serves https with the
certificate and key of a PEM file. ``--after SECONDS`` answers so much later in the mean, half of it
at least.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import ssl
import sys
from typing import cast

import uvloop

_BODY = (
    b'{"code":200,"events_ingested":%d,"payload_size_bytes":170,"server_upload_time":1700000000000}'
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_MOST_EVENTS = 1000


def answer(events: int) -> bytes:
    """Return the acknowledgement of so many events."""
    body = _BODY % events
    return _ANSWER % (len(body), body)


ANSWER = answer(1)
ANSWERS = [answer(events) for events in range(_MOST_EVENTS + 1)]


class Answering(asyncio.Protocol):
    """Answers each request when its last byte has come; reads no more of it than its length.

    What has the head of the request before it is not read again: a load's requests are alike.
    """

    def __init__(self, after_s: float = 0.0) -> None:
        self._waiting = b""
        self._after_s = after_s
        self._head, self._length = b"\n", 0  # no request begins so

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by behaviour, not by inheritance
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if len(data) == self._length and data.startswith(self._head) and not self._waiting:
            self._send(ANSWERS[data.count(b'"insert_id"')])
            return
        data = self._waiting + data if self._waiting else data
        answers = b""
        while data:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            end += 4
            head = data[:end]
            begin = head.lower().find(b"content-length:")
            if begin >= 0:
                end += int(head[begin + 15 : head.index(b"\r", begin)])
            if len(data) < end:
                break
            self._head, self._length = head, end
            answers += ANSWERS[data.count(b'"insert_id"', 0, end)]
            data = data[end:]
        self._waiting = data
        if answers:
            self._send(answers)

    def _send(self, answers: bytes) -> None:
        if self._after_s:
            late_s = self._after_s * random.uniform(0.5, 1.5)
            asyncio.get_running_loop().call_later(late_s, self._transport.write, answers)
        else:
            self._transport.write(answers)


async def main(pem: str | None, after_s: float) -> None:
    """Serve until standard input ends."""
    context = None
    if pem is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Answering(after_s), "127.0.0.1", 0, backlog=4096, ssl=context
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", metavar="FILE")
    parser.add_argument("--after", metavar="SECONDS", type=float, default=0.0)
    options = parser.parse_args()
    uvloop.run(main(options.tls, options.after))
