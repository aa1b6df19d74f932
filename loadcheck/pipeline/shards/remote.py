"""Where shards run, and how messages get there and back.

An engine starts shards and detects when one is gone; everything else is the same for all engines.
The one here runs child processes, on this machine or behind a command such as ``ssh host``.

A message is its length in four bytes, then MessagePack. Any pair of byte streams carries messages:
pipes, ``ssh``, ``kubectl exec -i``. The run sends ``spec``, ``warm``, ``outputs``, ``ping``,
``begin``, ``cancel`` and ``stop``; a shard sends ``hello``, ``ready``, ``warmed``, ``pong``,
``armed``, ``late``, ``cancelled``, ``snap``, ``done`` and ``failed``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from loadcheck.errors import InputError, Problem
from loadcheck.measure.changes import BrokenChangeError, decode, encode

PROTOCOL: Final = 4
"""Version of the messages, raised whenever their meaning changes."""
MOST_BYTES: Final = 1 << 27
"""Limit for one message. A greater length means that something else writes into the stream.

Text read as a length is greater, even text that begins with a tab or an empty line.
"""
HERE: Final = "this machine"
"""The place of a worker that runs without a prefix command."""
_SHOWN_BYTES: Final = 160
_LENGTH: Final = struct.Struct(">I")

Message = Mapping[str, Any]
"""A message; ``is`` names its kind."""


class FrameError(ValueError):
    """A message is too long, or what was received is not a message."""


class Secret(dict[str, Any]):
    """Values by name that ``repr`` does not show."""

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
    """Splits a stream of bytes into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Add bytes to the stream, and yield the messages that are complete by now.

        Raises:
            FrameError: The stream holds something else.
        """
        held = self._bytes
        held += data
        while len(held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held)
            if length > MOST_BYTES:
                beginning = (
                    bytes(held[:_SHOWN_BYTES]).partition(b"\0")[0].decode("utf-8", "replace")
                )
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


_READ_BYTES = 1 << 16
_TAIL_BYTES = 2000
_REAP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A shard has ended, or cannot be reached.

    Attributes:
        why: The reason, for a message.
        certain: Whether its process has certainly ended, so that it sends nothing more.
    """

    why: str
    certain: bool


class Remote(Protocol):
    """One shard, wherever it runs.

    Attributes:
        where: Name of the place, for messages.
    """

    where: str

    @property
    def said(self) -> str:
        """The last line on stderr of the shard, or of the command behind which it is; or ""."""

    async def send(self, message: Message) -> None:
        """Send a message; it is lost if the shard is gone."""

    async def receive(self) -> tuple[int, dict[str, Any] | Gone]:
        """Return when the next message came, by our monotonic clock in ns, and the message."""

    async def kill(self) -> bool:
        """Kill the shard; return whether its process has certainly ended."""

    async def end(self) -> None:
        """End the shard: no more messages will follow."""


class Engine(Protocol):
    """Starts shards.

    Attributes:
        name: Its name in the results file.
        foreign: Whether shards may run in another environment than ours.
        private: Whether nobody else can read what is sent to shards.
    """

    name: str
    foreign: bool
    private: bool

    async def launch(self, index: int) -> Remote:
        """Start a shard.

        Raises:
            InputError: It cannot be started.
        """

    async def close(self) -> None:
        """Release what the engine holds."""


class Local:
    """Runs shards as children of this process.

    Args:
        prefixes: Commands that run another one on another machine, such as ``["ssh", "host"]``,
            used in turn. Empty: shards run on this machine.
    """

    name = "processes"
    private = True

    def __init__(self, prefixes: Sequence[Sequence[str]] = ()) -> None:
        self._prefixes = prefixes
        self.foreign = bool(prefixes)

    async def launch(self, index: int) -> Child:
        """Start a shard.

        Raises:
            InputError: The command cannot be run.
        """
        command = [sys.executable, "-m", "loadcheck", "shard"]
        where = HERE
        if self._prefixes:
            prefix = self._prefixes[index % len(self._prefixes)]
            command, where = [*prefix, "loadcheck", "shard"], " ".join(prefix)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # a terminal's signals are for this process, which decides when shards stop
                start_new_session=True,
            )
        except OSError as error:
            message = f'worker {index + 1} cannot be started by "{command[0]}": {error.strerror}'
            remedy = "is the command there, and may it be run?"
            raise InputError(Problem(message=message, remedy=remedy)) from None
        return Child(process, where)

    async def close(self) -> None:
        """Do nothing: each child ends when its input ends."""


class Child:
    """A shard that is a child of this process."""

    def __init__(self, process: asyncio.subprocess.Process, where: str) -> None:
        self.where = where
        self._process = process
        self._unframer = Unframer()
        self._came: deque[tuple[int, dict[str, Any]]] = deque()
        self._said = bytearray()
        self._listening = asyncio.ensure_future(self._listen())

    @property
    def pid(self) -> int:
        """Process id of the shard, or of the command behind which it is."""
        return self._process.pid

    @property
    def said(self) -> str:
        """The last line on its stderr, even if unfinished, as a prompt is; "" if none."""
        # of a traceback the line with the error: the advice after it is useless without the rest
        lines = (line.strip() for line in self._said.decode("utf-8", "replace").splitlines())
        said = [line for line in lines if line and not line.startswith("This is a bug")]
        return said[-1] if said else ""

    async def _listen(self) -> None:
        """Keep the end of its stderr."""
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(_READ_BYTES):
            self._said += data
            del self._said[:-_TAIL_BYTES]

    async def send(self, message: Message) -> None:
        """Send a message; it is lost if the shard is gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):
            self._process.stdin.write(frame(message))

    async def receive(self) -> tuple[int, dict[str, Any] | Gone]:
        """Return when the next message came, and the message; ``Gone`` if there is no more."""
        assert self._process.stdout is not None
        while not self._came:
            data = await self._process.stdout.read(_READ_BYTES)
            now_ns = time.monotonic_ns()
            if not data:
                return now_ns, await self._gone()
            try:
                self._came += [(now_ns, message) for message in self._unframer.feed(data)]
            except FrameError as error:
                certain = await self.kill()
                return time.monotonic_ns(), Gone(why=str(error), certain=certain)
        return self._came.popleft()

    async def _gone(self) -> Gone:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _REAP_S)
        code = self._process.returncode
        if code is None:
            return Gone(why="it closed its output", certain=await self.kill())
        why = f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), _REAP_S / 2)
        # behind a command, only the command is known to have ended
        said = f": {self.said}" if self.said else ""
        return Gone(why=f"{why}{said}", certain=self.where == HERE)

    async def kill(self) -> bool:
        """Kill its process group; return whether the shard has certainly ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _REAP_S)
        self._listening.cancel()
        return self._process.returncode is not None and self.where == HERE

    async def end(self) -> None:
        """Close its input and give it time to end by itself, then kill it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _REAP_S)
        await self.kill()
