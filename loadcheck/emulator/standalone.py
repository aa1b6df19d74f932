"""The emulator on its own, for clients other than loadcheck: ``loadcheck emulate``.

Running an emulator until it is asked to stop: the event loop, the socket, the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.control import Control
from loadcheck.emulator.journal import Journal
from loadcheck.emulator.message import Application
from loadcheck.emulator.protocol import listening
from loadcheck.emulator.recording import Recorder, replay
from loadcheck.emulator.service import Emulator


@asynccontextmanager
async def serving(
    emulator: Emulator,
    host: str,
    port: int,
    journal: Journal | None = None,
    *,
    bound: socket.socket | None = None,
    before: Application | None = None,
) -> AsyncIterator[str]:
    """Serve for the length of a block, which gets the base URL.

    A journal is closed at its end. A bound socket stands for the address. ``before`` stands
    before the emulator.

    Raises:
        OSError: The address cannot be had.
        JournalWriteError: Not everything that was stored could be kept.
    """
    async with listening(before or emulator, host, port, bound) as url:
        try:
            yield url
        finally:
            if journal is not None:
                journal.close()


def open_emulator(config: EmulatorConfig, data: Path | None) -> tuple[Emulator, Journal | None]:
    """Make an emulator, with the events of an earlier one if there is a data file.

    Raises:
        JournalError: The file cannot be used.
    """
    journal = None if data is None else Journal(data)
    return Emulator(config, journal=journal), journal


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run on the fastest event loop there is, with room for many connections."""
    _allow_many_connections()
    gc.freeze()  # what is there by now stays: the collector need not look at it again
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop  # noqa: PLC0415 - not there on Windows

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


def _allow_many_connections() -> None:
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not there on Windows

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is kept of what comes in, and what came before.

    Attributes:
        data: SQLite file that keeps the events across restarts; None: in memory only.
        record: File that takes a line for each request.
        replay: Such a file, whose requests are asked first.
        log: Whether each request is a line on stderr.
    """

    data: Path | None = None
    record: Path | None = None
    replay: Path | None = None
    log: bool = False


def serve(
    config: EmulatorConfig,
    host: str,
    port: int,
    *,
    keeping: Keeping,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Args:
        config: The emulator's configuration.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        keeping: What is kept of what comes in.
        ready: Called with the base URL once it serves.

    Raises:
        OSError: The address cannot be had.
        JournalError: A file cannot be used.
        JournalWriteError: Not everything that was stored, or recorded, could be kept.
    """
    run(_serve(config, host, port, keeping, ready))


async def _serve(
    config: EmulatorConfig, host: str, port: int, keeping: Keeping, ready: Callable[[str], None]
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(number, ended.set)
    emulator, journal = open_emulator(config, keeping.data)
    Control(emulator).install(emulator.router, "/control", keys=True)
    if keeping.replay is not None:
        number_of, others = await replay(keeping.replay, emulator, config)
        sys.stderr.write(f"replayed {number_of:,} requests of {keeping.replay}\n")
        for (before, now), times in sorted(others.items()):
            sys.stderr.write(f"{times:,} were answered with {before} then and with {now} now\n")
    recorder = None
    if keeping.record is not None or keeping.log:
        log = sys.stderr if keeping.log else None
        recorder = Recorder(emulator, config, emulator.clock, keeping.record, log)
    async with serving(emulator, host, port, journal, before=recorder) as url:
        ready(url)
        await ended.wait()
    state = emulator.state()
    sys.stderr.write(f"ended with {state['events']:,} events of {state['users']:,} users\n")
    if recorder is not None:
        recorder.close()


def greeting(config: EmulatorConfig, url: str) -> str:
    """Return what a person wants to know: where it is, its keys, and what to try first."""
    upload = (
        f'{{"api_key":"{config.api_key}","events":'
        '[{"user_id":"user-00001","event_type":"hello"}]}'
    )
    day = "$(date -u +%Y%m%d)"
    return f"""Amplitude emulator at {url}

  status      {url}/
  OpenAPI     {url}/openapi.json
  healthy     {url}/health
  control     {url}/control/clock, faults, truth, state, with the keys
  api key     {config.api_key}
  secret key  {config.secret_key}
  limits      {config.limits_name}, cache {"as documented" if config.cache else "off"}
  faults      {", ".join(dict.fromkeys(fault.kind for fault in config.faults)) or "none"}
  visible     after {str(config.visibility).strip('"')}

Upload an event, then count its users:

  curl -s {url}/2/httpapi -H 'Content-Type: application/json' \\
    -d '{upload}'

  curl -s -G {url}/api/2/events/segmentation -u {config.api_key}:{config.secret_key} \\
    --data-urlencode 'e={{"event_type":"hello"}}' -d "start={day}&end={day}&m=uniques&i=-3600000"

Ctrl-C ends it.
"""
