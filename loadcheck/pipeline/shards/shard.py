"""A shard: a separate process that sends its part of a load and reports the results.

It communicates over its standard streams, so any command that connects those can start one on
another machine. It sends nothing before the agreed beginning, starts no copy once it has not heard
from the run for the length of its lease, and exits at once when its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import stat
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from loadcheck import __version__
from loadcheck.errors import InputError, innermost
from loadcheck.load.engine import Listener, LoadEngine, open_engine
from loadcheck.load.monitor import raise_open_file_limit
from loadcheck.load.runner import Begin
from loadcheck.load.slices import Slice
from loadcheck.measure.changes import change_by_parts, digest, still
from loadcheck.pipeline.shards.remote import PROTOCOL, FrameError, Message, Unframer, frame
from loadcheck.pipeline.shards.spec import Bundle, ShardSpec, fingerprint
from loadcheck.secrets import cover, keep
from loadcheck.verify.compiled import CompiledScenario
from loadcheck.verify.people import Arrivals
from loadcheck.verify.visibility import AckCurve

SPARE_FILES: Final = 64
ORPHANED: Final = 75
"""Exit code of a shard that has lost its run."""
UNUSABLE: Final = 74
"""Exit code of a shard whose standard input or output is not a pipe."""
_UNCONNECTED: Final = (
    "its standard {} is not a pipe: use ssh without -n and -t, kubectl exec with -i and without -t"
)
_SAMPLE_S: Final = 0.05
_TURN_NS: Final = 50_000
"""How long copies that fall due may wait while a report is prepared."""
_READY_NS: Final = 50_000_000
"""How long before the load begins a shard must be armed; it is ``late`` otherwise."""


def main() -> int:
    """Run a shard on the standard streams; return the exit code."""
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output")):
        kind = os.fstat(stream.fileno()).st_mode
        if not stat.S_ISFIFO(kind) and not stat.S_ISSOCK(kind):
            sys.stderr.write(f"loadcheck shard: {_UNCONNECTED.format(name)}\n")
            return UNUSABLE
    # a terminal signals its whole process group, but only the run decides when to stop
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # stray prints must not break a message
    return anyio.run(_main, out, backend_options={"use_uvloop": True})


async def _main(out: int) -> int:
    loop = asyncio.get_running_loop()
    inbox, flushed = _Inbox(), _Flushed()
    with open(sys.stdin.fileno(), "rb", closefd=False) as stdin, open(out, "wb", 0) as stdout:  # noqa: ASYNC230  # they are open already
        await loop.connect_read_pipe(lambda: inbox, stdin)
        writer, _ = await loop.connect_write_pipe(lambda: flushed, stdout)
        await _Shard(writer, inbox).run()
        inbox.is_over = True
        writer.close()
        # what was posted is written out, however slowly it is read, unless the reader is gone
        await flushed.event.wait()
    return 0


class _Inbox(asyncio.Protocol):
    """Messages from the run; when the stream ends, the process exits at once.

    Attributes:
        is_over: Whether the stream may end, because nothing more is expected.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._unframer = Unframer()
        self._messages: deque[Message] = deque()
        self._more = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        try:
            self._messages += self._unframer.feed(data)
        except FrameError as error:
            sys.stderr.write(f"loadcheck shard: {error}\n")
            sys.stderr.flush()
            os._exit(ORPHANED)
        self._more.set()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.is_over:
            # nobody is left to report to, and copies in flight are indeterminate in any case
            os._exit(ORPHANED)

    async def get(self) -> Message:
        """Return the next message."""
        while not self._messages:
            self._more.clear()
            await self._more.wait()
        return self._messages.popleft()


class _Flushed(asyncio.Protocol):
    """Sets its event when everything has been written, or the reader is gone."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def connection_lost(self, _error: Exception | None) -> None:
        self.event.set()


class _Shard:
    """A shard, from its first message to its last."""

    def __init__(self, writer: asyncio.WriteTransport, inbox: _Inbox) -> None:
        self._writer = writer
        self._inbox = inbox

    def _post(self, kind: str, **held: Any) -> None:
        self._writer.write(frame({"is": kind, **held}))

    async def run(self) -> None:
        """Do as the run's messages say, and report what went wrong."""
        self._post("hello", **hello())
        try:
            message = await self._inbox.get()
            spec = ShardSpec.of(message)
            keep([*spec.run.target.values(), *(spec.environment or {}).values()])
            async with contextlib.AsyncExitStack() as opened:
                with Bundle(**message["files"]).unpacked(spec) as found:
                    compiled = found.compiled()
                    connections = compiled.load.transport.max_connections
                    raise_open_file_limit(connections + SPARE_FILES)
                    open_ = open_engine(compiled.load, compiled.plan)
                    engine = await opened.enter_async_context(open_)
                # a garbage collection is slow: do it now, not when the load has begun
                gc.collect()
                gc.freeze()
                self._post("ready", fingerprint=fingerprint(compiled), connections=connections)
                await self._obey(_Load(engine, spec.part, compiled))
        except InputError as error:
            problems = [
                {
                    "message": cover(each.message),
                    "file": each.file,
                    "line": each.line,
                    "key": each.key,
                    "remedy": cover(each.remedy),
                }
                for each in error.problems
            ]
            self._post("failed", problems=problems, error="")
        except Exception as error:  # noqa: BLE001  # the run is told, whatever it is
            sys.stderr.write(cover(traceback.format_exc()))
            cause = innermost(error)
            self._post("failed", problems=[], error=cover(f"{type(cause).__name__}: {cause}"))

    async def _obey(self, load: _Load) -> None:  # noqa: C901, PLR0912  # a case for each message
        """Process messages until the load has ended."""
        sending: asyncio.Task[None] | None = None
        hearing = asyncio.ensure_future(self._inbox.get())
        try:
            while sending is None or not sending.done():
                awaited = {hearing} if sending is None else {hearing, sending}
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                if not hearing.done():
                    continue
                message = hearing.result()
                hearing = asyncio.ensure_future(self._inbox.get())
                # by our clock, from when it was sent: waiting in a pipe must not extend the lease
                if "until_ns" in message:
                    load.engine.lend(message["until_ns"])
                match message["is"]:
                    case "ping":
                        now_ns = time.monotonic_ns()
                        self._post("pong", sent_ns=message["sent_ns"], read_ns=now_ns)
                    case "outputs":
                        load.shared.take(message["outputs"])
                    case "warm":
                        await load.engine.warm()
                        self._post("warmed")
                    case "begin" if sending is None and not load.is_stopped:
                        begin = Begin(message["at_ns"], message["unix_ms"])
                        if time.monotonic_ns() > begin.ns - _READY_NS:
                            self._post("late", at_ns=begin.ns)
                            continue
                        sending = asyncio.ensure_future(self._send(load, begin))
                        self._post("armed", at_ns=begin.ns)
                    case "cancel" if not load.has_begun:
                        if sending is not None:
                            sending.cancel()
                            await asyncio.wait({sending})
                            sending = None
                        self._post("cancelled")
                    case "stop":
                        load.is_stopped = True
                        load.engine.stop()
                        if sending is None:
                            return
            sending.result()
        finally:
            hearing.cancel()
            if sending is not None and not sending.done():
                sending.cancel()
                await asyncio.wait({sending})

    async def _send(self, load: _Load, begin: Begin) -> None:
        await anyio.sleep(max(0.0, (begin.ns - _READY_NS - time.monotonic_ns()) / 1e9))
        changes = _ChangeSender(self._post)
        async with anyio.create_task_group() as sending:

            def second(_: int) -> None:
                # freeze the record at once: a lost shard's last report must add up to its rows
                rows = len(load.engine.record.timeline)
                sending.start_soon(changes.send, "snap", load.still(), rows)

            await load.run(begin, second)
        now, rows = load.still(), len(load.engine.record.timeline)
        await changes.send("done", now, rows, end=load.end, digest=digest(now))


class _ChangeSender:
    """Sends the run the changes of the record.

    Args:
        post: Sends a message.
    """

    def __init__(self, post: Callable[..., None]) -> None:
        self._post = post
        self._tree: Any = None
        self._sequence = 0
        self._turn = anyio.Lock()

    async def send(self, kind: str, now: Any, rows: int, **more: Any) -> None:
        """Send the changes since the last call, giving way to copies that fall due.

        Args:
            kind: "snap" or "done".
            now: The record, frozen; messages are sent in the order of these calls.
            rows: Seconds in its timeline.
            more: Further fields of the message.
        """
        async with self._turn:
            await checkpoint()
            by = await by_turns(change_by_parts(self._tree, now))
            await checkpoint()
            self._post(kind, sequence=self._sequence, rows=rows, change=by, **more)
            self._tree, self._sequence = now, self._sequence + 1


async def by_turns(work: Generator[None, None, Any]) -> Any:
    """Return the result of a generator, yielding to other tasks every ``_TURN_NS``."""
    until_ns = time.monotonic_ns() + _TURN_NS
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value
        if time.monotonic_ns() >= until_ns:
            await checkpoint()
            until_ns = time.monotonic_ns() + _TURN_NS


class _Load:
    """The part of the load that this shard sends.

    Attributes:
        engine: The engine that sends it.
        shared: Outputs of the set-up, for its copies.
        has_begun: Whether it is too late to cancel.
        is_stopped: Whether the run has asked for its end.
    """

    def __init__(self, engine: LoadEngine, part: Slice, compiled: CompiledScenario) -> None:
        self.engine = engine
        # another shard may have sent a returning user before: this one cannot know
        visits = compiled.run.visits
        alone = visits is not None and visits.most > 1
        self._arrivals = Arrivals(visits) if alone and visits is not None else None
        self.has_begun = self.is_stopped = False
        self._part = part
        self._unsendable = compiled.plan.unsendable
        self.shared = compiled.run.shared
        self._acks = AckCurve()

    def still(self) -> Any:
        """Return everything that is recorded, frozen."""
        return still((self.engine.record, self.engine.monitor, self._acks, self._unsendable))

    @property
    def end(self) -> str:
        """What ended the load: "planned", "stopped" or "lease"."""
        if self.is_stopped:
            return "stopped"
        return "lease" if self.engine.is_expired else "planned"

    async def run(self, begin: Begin, second: Callable[[int], None]) -> None:
        """Send the copies, beginning at the agreed instant."""
        self.has_begun = True
        self._acks.begin(begin.ns)
        async with anyio.create_task_group() as background:

            def began() -> None:
                background.start_soon(self._sample)

            await self.engine.run(Listener(began=began, second=second), begin)
            background.cancel_scope.cancel()
        self._note()

    async def _sample(self) -> None:
        while True:
            self._note()
            await anyio.sleep(_SAMPLE_S)

    def _note(self) -> None:
        record = self.engine.record
        acknowledged, possible = record.acknowledged, record.possible
        if self._arrivals is not None:
            acknowledged, possible, _ = self._arrivals.look(record)
        begun = self._part.number(record.started + record.skipped) * record.most_uploads
        self._acks.add(time.monotonic_ns(), acknowledged, possible, begun)


def hello() -> dict[str, Any]:
    """Return the message ``hello``: what this shard is, and its machine's limits."""
    return {
        "protocol": PROTOCOL,
        "version": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "boot": _boot_id(),
        "nice": os.nice(0),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "ports": _ports(),
        "files": _files(),
    }


def _boot_id() -> str:
    """Return an id of this machine and its network namespace; its host name if it has none."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        network = Path("/proc/self/ns/net").readlink()
        return f"{boot}/{network}"
    return os.uname().nodename


def _ports() -> int | None:
    """Return how many connections to one address this machine has ports for; None if unknown."""
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        low, high = map(int, text.split())
        return high - low + 1
    return None


def _files() -> int | None:
    """Return how many more files all processes of this machine may open; None if unknown."""
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/sys/fs/file-nr").read_text(encoding="ascii")
        opened, unused, most = map(int, text.split())
        return most - opened + unused
    return None
