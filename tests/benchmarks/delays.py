"""A server whose delays are known: the truth that measured latencies are held against.

``python -m tests.benchmarks.delays KIND SEED`` prints its port, answers each request after a delay
drawn from a distribution, and when its standard input ends prints the delays that it really gave,
in nanoseconds. An answer leaves when it is due to within some ten microseconds: a timer of the
kernel wakes the server shortly before, and it spins for the rest. It does not spin all the time,
since a virtual machine whose processors are all busy is stopped now and then by its host; and it
runs in real time where it may, before whatever else the machine does: its hiccups are not the
generator's. Linux only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import heapq
import json
import math
import os
import random
import sys
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


_SPIN_NS = 100_000
"""So long before an answer is due its timer rings."""
_ABSOLUTE = 1


class Alarm:
    """A timer of the kernel's, which has no slack: it becomes readable at an instant."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, instant_ns: int) -> None:
        """Ring at an instant, or at once if it has passed."""
        times = (ctypes.c_long * 4)(0, 0, *divmod(max(1, instant_ns), 1_000_000_000))
        if self._libc.timerfd_settime(self.fd, _ABSOLUTE, times, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def hear(self) -> None:
        """Take note that it rang."""
        os.read(self.fd, 8)


class Delayed:
    """Answers in the order in which they are due."""

    def __init__(self, draw: Draw, seed: int, alarm: Alarm) -> None:
        self._alarm = alarm
        self._draw = draw
        self._random = random.Random(seed)
        self._due: list[tuple[int, int, int, asyncio.Transport]] = []
        self._began_ns = 0
        self._asked = 0
        self.given_ns: list[int] = []

    def plan(self, transport: asyncio.Transport) -> None:
        """Draw the delay of a request that has come."""
        now = time.monotonic_ns()
        self._began_ns = self._began_ns or now
        delay_ns = int(self._draw(self._random, (now - self._began_ns) / 1e9) * 1e9)
        due_ns = now + delay_ns
        if not self._due or due_ns < self._due[0][0]:
            self._alarm.set(due_ns - _SPIN_NS)
        self._asked += 1
        heapq.heappush(self._due, (due_ns, self._asked, now, transport))

    def answer(self) -> None:
        """Send what is due, and what is about to be."""
        self._alarm.hear()
        while self._due:
            due_ns = self._due[0][0]
            if due_ns - time.monotonic_ns() > _SPIN_NS:
                self._alarm.set(due_ns - _SPIN_NS)
                return
            while time.monotonic_ns() < due_ns:
                pass
            _, _, asked_ns, transport = heapq.heappop(self._due)
            self.given_ns.append(time.monotonic_ns() - asked_ns)
            if not transport.is_closing():
                transport.write(ANSWER)


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
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()
    alarm = Alarm()
    delayed = Delayed(KINDS[kind], seed, alarm)
    loop = asyncio.get_running_loop()
    loop.add_reader(alarm.fd, delayed.answer)
    server = await loop.create_server(lambda: Receiving(delayed), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    print(json.dumps(delayed.given_ns))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
