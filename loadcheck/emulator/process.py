"""The emulator as a child process, which ends with its parent."""

from __future__ import annotations

import base64
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import anyio.abc
import orjson

_HOST = "127.0.0.1"
_START_S = 30.0
_STOP_S = 5.0


class EmulatorStartError(Exception):
    """The embedded emulator did not start; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running emulator.

    Attributes:
        url: Base URL of all its endpoints.
        api_key: API key of its project.
        secret_key: Secret key of its project, for queries.
        control: Base URL of its control endpoint.
        pid: Process id.
    """

    url: str
    api_key: str
    secret_key: str = field(repr=False)
    control: str
    pid: int
    _process: anyio.abc.Process = field(repr=False)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.returncode is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Address and keys of an emulator that has not been started.

    Attributes:
        url: Base URL of all its endpoints; nothing listens there yet.
        api_key: API key of its project.
        secret_key: Secret key of its project, for queries.
        bound: Socket that holds the port until the emulator takes it over.
    """

    url: str
    api_key: str
    secret_key: str = field(repr=False)
    bound: socket.socket = field(repr=False)


KEY_VARIABLES: Final = ("AMPLITUDE_API_KEY", "AMPLITUDE_SECRET_KEY")
"""Environment variables that hold a project's keys."""


def project_credentials(api_key: str, secret_key: str) -> dict[str, str]:
    """Return a project's keys as requests use them, under the names that workflows refer to."""
    pair = base64.b64encode(f"{api_key}:{secret_key}".encode()).decode("ascii")
    return {"apiKey": api_key, "secretKey": secret_key, "basicAuth": pair}


@contextmanager
def reserve(config: Mapping[str, Any]) -> Iterator[Reservation]:
    """Reserve a local port and draw keys, so that both are known before anything starts.

    Args:
        config: The emulator's configuration; keys in it take precedence.
    """
    with socket.socket() as bound:
        bound.bind((_HOST, 0))
        yield Reservation(
            url=f"http://{_HOST}:{bound.getsockname()[1]}",
            api_key=config.get("api_key") or secrets.token_hex(16),
            secret_key=config.get("secret_key") or secrets.token_hex(16),
            bound=bound,
        )


@asynccontextmanager
async def embedded(
    config: Mapping[str, Any], reserved: Reservation | None = None
) -> AsyncIterator[Running]:
    """Run an emulator in a separate process for the length of a block.

    Args:
        config: The configuration, as :func:`loadcheck.emulator.config.parse` takes it.
        reserved: Its address and keys; None: a free port, and the keys of ``config`` or random.

    Raises:
        EmulatorStartError: It refused the configuration, or ended, or did not answer in time.
    """
    command = [sys.executable, "-m", "loadcheck.emulator", "--embedded"]
    inherited: tuple[int, ...] = ()
    if reserved is not None:
        keys = {"api_key": reserved.api_key, "secret_key": reserved.secret_key}
        config, inherited = {**config, **keys}, (reserved.bound.fileno(),)
        command.append(str(inherited[0]))
    try:
        process = await anyio.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            pass_fds=inherited,
            # a terminal, or timeout(1), signals the whole group: the parent decides what follows
            start_new_session=True,
        )
    except OSError as error:  # out of processes, or the program is missing
        raise EmulatorStartError(f"{command[0]}: {error.strerror}") from None
    try:
        running = await _greet(process, config)
        if reserved is not None:
            reserved.bound.close()  # from now on only the emulator holds the port
        yield running
    finally:
        with anyio.CancelScope(shield=True):
            await _stop(process)


async def _greet(process: anyio.abc.Process, config: Mapping[str, Any]) -> Running:
    assert process.stdin is not None
    assert process.stdout is not None
    answer = b""
    try:
        with anyio.fail_after(_START_S):
            await process.stdin.send(orjson.dumps(config) + b"\n")
            while not answer.endswith(b"\n"):
                answer += await process.stdout.receive()
    except TimeoutError:
        raise EmulatorStartError(f"it did not answer within {_START_S:g} s") from None
    except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
        code = await process.wait()
        raise EmulatorStartError(f"it ended with exit code {code}") from None
    said = orjson.loads(answer)
    if "error" in said:
        raise EmulatorStartError(said["error"])
    return Running(**said, _process=process)


async def _stop(process: anyio.abc.Process) -> None:
    """Close its stdin, which ends it; kill it if it does not."""
    assert process.stdin is not None
    with anyio.move_on_after(_STOP_S):
        await process.stdin.aclose()
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    await process.aclose()
