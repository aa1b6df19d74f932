"""The embedded emulator: ``python -m loadcheck.emulator --embedded [DESCRIPTOR]``.

Listens on the bound socket whose descriptor it inherits, else on a free port. Reads one line of
JSON, its configuration, from stdin; answers with one line of JSON on stdout that says where it
listens; and serves until stdin ends, as it does when the parent exits for whatever reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from typing import Any

import orjson

from loadcheck.emulator.config import ConfigError, parse
from loadcheck.emulator.service import Emulator
from loadcheck.emulator.standalone import Control, run, serving

_HOST = "127.0.0.1"
_USAGE_ERROR = 2


def main(arguments: list[str]) -> int:
    """Serve until stdin ends; return the exit code."""
    if arguments[:1] != ["--embedded"] or not all(each.isdecimal() for each in arguments[1:]):
        sys.stderr.write("usage: python -m loadcheck.emulator --embedded [DESCRIPTOR]\n")
        return _USAGE_ERROR
    # a service manager or a container that stops signals every process, and the parent still needs
    # counts; when it has ended, so does stdin
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        config = parse(orjson.loads(sys.stdin.buffer.readline() or b"{}"))
    except (ConfigError, orjson.JSONDecodeError) as error:
        _say({"error": str(error)})
        return _USAGE_ERROR
    bound = socket.socket(fileno=int(arguments[1])) if len(arguments) > 1 else None
    run(_serve(Emulator(config), bound))
    return 0


async def _serve(emulator: Emulator, bound: socket.socket | None) -> None:
    # an unguessable path: clients under test must not move the clock
    control = f"/control/{secrets.token_urlsafe(12)}"
    Control(emulator).install(emulator.router, control)
    async with serving(emulator, _HOST, 0, bound=bound) as url:
        _say(
            {
                "url": url,
                "api_key": emulator.config.api_key,
                "secret_key": emulator.config.secret_key,
                "pid": os.getpid(),
                "control": url + control,
            }
        )
        await _end_of_stdin()


async def _end_of_stdin() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 65536):
            loop.remove_reader(descriptor)
            ended.set()

    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, readable)
    await ended.wait()


def _say(content: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(orjson.dumps(content) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
