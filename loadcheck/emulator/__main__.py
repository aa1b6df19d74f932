"""The embedded emulator: ``python -m loadcheck.emulator --embedded``.

Reads one line of JSON, its configuration, from stdin; answers with one line of JSON on stdout that
says where it listens; and serves until stdin ends, which it does when the parent does, however
that comes about.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
from typing import Any

import orjson

from loadcheck.emulator.config import ConfigError, parse
from loadcheck.emulator.http.server import listening
from loadcheck.emulator.service import Emulator

_HOST = "127.0.0.1"
_USAGE_ERROR = 2


def main(arguments: list[str]) -> int:
    """Serve until stdin ends; return the exit code."""
    if arguments != ["--embedded"]:
        sys.stderr.write("usage: python -m loadcheck.emulator --embedded\n")
        return _USAGE_ERROR
    # Ctrl-C in a terminal reaches the whole process group; what it means the parent decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        config = parse(orjson.loads(sys.stdin.buffer.readline() or b"{}"))
    except (ConfigError, orjson.JSONDecodeError) as error:
        _say({"error": str(error)})
        return _USAGE_ERROR
    _allow_many_connections()
    gc.freeze()  # what is there by now stays: the collector need not look at it again
    run = _serve(Emulator(config))
    if sys.platform == "win32":
        asyncio.run(run)
    else:
        import uvloop  # noqa: PLC0415 - not there on Windows

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run)
    return 0


async def _serve(emulator: Emulator) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with listening(emulator.router, _HOST, 0) as url:
        _say(
            {
                "url": url,
                "api_key": emulator.config.api_key,
                "secret_key": emulator.config.secret_key,
                "pid": os.getpid(),
                "control": f"{url}/control",
            }
        )
        descriptor = sys.stdin.fileno()
        os.set_blocking(descriptor, False)

        def readable() -> None:
            if not os.read(descriptor, 65536):
                loop.remove_reader(descriptor)
                ended.set()

        loop.add_reader(descriptor, readable)
        await ended.wait()


def _say(content: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(orjson.dumps(content) + b"\n")
        sys.stdout.buffer.flush()


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
