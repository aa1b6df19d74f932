"""A server whose delays are known: the truth that measured latencies are held against.

``python -m tests.benchmarks.delays KIND SEED`` prints its port, answers each request after a delay
drawn from a distribution, and when its standard input ends prints the delays that it planted, in
nanoseconds. An answer leaves when it is due to within some ten microseconds, because the loop
spins instead of sleeping: give it a core of its own.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import math
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import cast

import uvloop

from tests.benchmarks.target import ANSWER

Draw = Callable[[random.Random, float], float]

STALL_BEGINS_S = 4.0
STALL_LASTS_S = 1.0


def fixed(random_: random.Random, elapsed_s: float) -> float:
    """Five milliseconds, always."""
    return 0.005


def two_humped(random_: random.Random, elapsed_s: float) -> float:
    """Nine of ten around 3 ms, the tenth around 40 ms."""
    centre = 0.003 if random_.random() < 0.9 else 0.040
    return max(0.0005, random_.gauss(centre, centre / 20))


def heavy_tailed(random_: random.Random, elapsed_s: float) -> float:
    """Log-normal around 4 ms: the slowest of a thousand take some 90 ms."""
    return min(2.0, random_.lognormvariate(math.log(0.004), 1.0))


def stall(random_: random.Random, elapsed_s: float) -> float:
    """One millisecond, but nothing leaves in one second of the run: it all comes at its end."""
    until_s = STALL_BEGINS_S + STALL_LASTS_S
    return until_s - elapsed_s if STALL_BEGINS_S <= elapsed_s < until_s else 0.001


KINDS: dict[str, Draw] = {
    "fixed": fixed,
    "two-humped": two_humped,
    "heavy-tailed": heavy_tailed,
    "stall": stall,
}


class Delayed:
    """Answers in the order in which they are due."""

    def __init__(self, draw: Draw, seed: int) -> None:
        self._draw = draw
        self._random = random.Random(seed)
        self._due: list[tuple[int, int, asyncio.Transport]] = []
        self._began_ns = 0
        self.planted_ns: list[int] = []
        self.ended = threading.Event()

    def plan(self, transport: asyncio.Transport) -> None:
        """Draw the delay of a request that has come."""
        now = time.monotonic_ns()
        self._began_ns = self._began_ns or now
        delay_ns = int(self._draw(self._random, (now - self._began_ns) / 1e9) * 1e9)
        self.planted_ns.append(delay_ns)
        heapq.heappush(self._due, (now + delay_ns, len(self.planted_ns), transport))

    async def answer(self) -> None:
        """Send what is due, until the end."""
        while not self.ended.is_set():
            now = time.monotonic_ns()
            while self._due and self._due[0][0] <= now:
                transport = heapq.heappop(self._due)[2]
                if not transport.is_closing():
                    transport.write(ANSWER)
            await asyncio.sleep(0)


class Receiving(asyncio.Protocol):
    """Takes one request at a time per connection; they arrive whole on loopback."""

    def __init__(self, delayed: Delayed) -> None:
        self._delayed = delayed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith((b"POST", b"GET")):
            self._delayed.plan(self._transport)


async def main(kind: str, seed: int) -> None:
    """Serve until standard input ends."""
    delayed = Delayed(KINDS[kind], seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Receiving(delayed), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)

    def wait() -> None:
        sys.stdin.read()
        delayed.ended.set()

    threading.Thread(target=wait, daemon=True).start()
    await delayed.answer()
    server.close()
    print(json.dumps(delayed.planted_ns))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
