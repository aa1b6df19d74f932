"""The emulator on its own, for clients other than loadcheck: ``loadcheck emulate``.

It runs until a signal stops it: the event loop, the socket, the journal, and the control endpoint
for the clock, the faults and the record of their hits.
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

import orjson

from loadcheck.emulator.check import LATEST_MS
from loadcheck.emulator.commit import Journal
from loadcheck.emulator.config import ConfigError, EmulatorConfig, parse_faults
from loadcheck.emulator.config.keys import Keys
from loadcheck.emulator.config.reader import Reader
from loadcheck.emulator.limits import authorized
from loadcheck.emulator.message import (
    Answer,
    Application,
    Request,
    Router,
    error_answer,
    json_answer,
)
from loadcheck.emulator.protocol import listening
from loadcheck.emulator.recording import Recorder, replay
from loadcheck.emulator.service import Emulator

_CLOCK: Keys = {
    "stopped": {"type": "boolean"},
    "speed": {"type": "number", "minimum": 0.001, "maximum": 1_000_000.0},
    "now_ms": {"type": "integer", "minimum": 0, "maximum": LATEST_MS},
    "advance": {"title": "duration"},
}
"""The keys of a request that moves the clock."""


class Control:
    """Moves the clock, plants faults, and reports what they did.

    The embedded emulator's paths begin with a secret that only the parent process knows. The
    standalone one has them under ``/control`` and requires the project's keys.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def install(self, router: Router, prefix: str, *, keys: bool = False) -> None:
        """Add its routes.

        Args:
            router: The router to add them to.
            prefix: Prefix of their paths.
            keys: Whether requests need the project's keys, as queries do.
        """
        for method, name, handler in (
            ("GET", "clock", self._clock),
            ("POST", "clock", self._move),
            ("GET", "faults", self._faults),
            ("PUT", "faults", self._replace),
            ("GET", "truth", self._truth),
            ("GET", "state", self._state),
        ):
            router.add(method, f"{prefix}/{name}", self._with_keys(handler) if keys else handler)

    def _with_keys(self, handler: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        config = self._emulator.config
        credentials = f"{config.api_key}:{config.secret_key}".encode()

        def guarded(request: Request) -> Answer:
            if not authorized(request, credentials):
                return error_answer(401, "Invalid API key or secret key")
            return handler(request)

        return guarded

    def _clock(self, request: Request) -> Answer:  # noqa: ARG002 - it has no parameters
        clock = self._emulator.clock
        return json_answer(
            200, {"now_ms": clock.now_ms(), "stopped": clock.stopped, "speed": clock.speed}
        )

    def _move(self, request: Request) -> Answer:
        """Move the clock: ``{"stopped": true, "speed": 10, "now_ms": 0, "advance": "1h"}``.

        Applied in this order; all are optional.
        """
        try:
            table = Reader(_table(request), _CLOCK)
            clock = self._emulator.clock
            stopped = table.flag("stopped") if "stopped" in table.table else clock.stopped
            speed = table.number("speed")
            now_ms, advance_ms = table.integer("now_ms"), table.duration_ms("advance")
            if table.problems:
                raise ConfigError(table.problems)  # noqa: TRY301 - one place answers
        except ConfigError as error:
            return _refused(error)
        if stopped != clock.stopped:
            (clock.stop if stopped else clock.start)()
        if speed is not None and speed != clock.speed:
            clock.set_speed(speed)
        if "now_ms" in table.table:
            clock.set_to(now_ms)
        clock.advance(advance_ms)
        return self._clock(request)

    def _replace(self, request: Request) -> Answer:
        """Replace the faults by those of the body, in the form of ``[target.faults]``."""
        emulator = self._emulator
        try:
            faults = parse_faults(_table(request), emulator.config.seed)
        except ConfigError as error:
            return _refused(error)
        emulator.injector.replace(faults, emulator.clock.now_ms())
        return self._faults(request)

    def _faults(self, request: Request) -> Answer:  # noqa: ARG002 - it has no parameters
        faults = self._emulator.injector.faults
        return json_answer(
            200, [{"kind": fault.kind, "hits": fault.truth.hits} for fault in faults]
        )

    def _truth(self, request: Request) -> Answer:  # noqa: ARG002 - it has no parameters
        faults = self._emulator.injector.faults
        return json_answer(200, [{"kind": fault.kind, **fault.truth.as_json()} for fault in faults])

    def _state(self, request: Request) -> Answer:  # noqa: ARG002 - it has no parameters
        return json_answer(200, self._emulator.state())


def _table(request: Request) -> dict[str, Any]:
    try:
        content = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError:
        content = None
    reader = Reader({})
    if type(content) is not dict:
        reader.problem("", "the body is not a JSON object", "expected a table as JSON")
        raise ConfigError(reader.problems)
    return content


def _refused(error: ConfigError) -> Answer:
    problems = [
        {"path": problem.path, "message": problem.message, "remedy": problem.remedy}
        for problem in error.problems
    ]
    return json_answer(400, {"code": 400, "error": str(error), "problems": problems})


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
    """Serve for the length of a block, and yield the base URL.

    The journal is closed at the end. A bound socket replaces the address. ``before`` answers in
    place of the emulator, which it wraps.

    Raises:
        OSError: The address is not available.
        JournalWriteError: Not everything that was stored could be kept.
    """
    async with listening(before or emulator, host, port, bound) as url:
        try:
            yield url
        finally:
            if journal is not None:
                journal.close()


def open_emulator(config: EmulatorConfig, data: Path | None) -> tuple[Emulator, Journal | None]:
    """Create an emulator, with the events of its data file if there is one.

    Raises:
        JournalError: The file cannot be used.
    """
    journal = None if data is None else Journal(data)
    return Emulator(config, journal=journal), journal


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop (not on Windows), with the limit on open files raised."""
    _allow_many_connections()
    gc.freeze()  # objects created so far live on: the collector need not scan them again
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
    """What is kept of events and requests, and what is replayed first.

    Attributes:
        data: SQLite file that keeps the events across restarts; None: in memory only.
        record: File that gets a line for each request.
        replay: Such a file, whose requests are replayed first.
        log: Whether each request is logged to stderr.
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
        keeping: What is kept of events and requests.
        ready: Called with the base URL once it serves.

    Raises:
        OSError: The address is not available.
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
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            loop.add_signal_handler(number, ended.set)
    emulator, journal = open_emulator(config, keeping.data)
    Control(emulator).install(emulator.router, "/control", keys=True)
    if keeping.replay is not None:
        number_of, others = await replay(keeping.replay, emulator, config)
        sys.stderr.write(f"Replayed {_many(number_of, 'request')} of {keeping.replay}.\n")
        for (before, now), times in sorted(others.items()):
            were = "was" if times == 1 else "were"
            line = f"{times:,} {were} answered with {before} then and with {now} now"
            sys.stderr.write(f"{line}\n")
    recorder = None
    if keeping.record is not None or keeping.log:
        log = sys.stderr if keeping.log else None
        recorder = Recorder(emulator, config, emulator.clock, keeping.record, log)
    async with serving(emulator, host, port, journal, before=recorder) as url:
        ready(url)
        await ended.wait()
    state = emulator.state()
    held = f"{_many(state['events'], 'event')} of {_many(state['users'], 'user')}"
    sys.stderr.write(f"Ended with {held}.\n")
    if recorder is not None:
        recorder.close()


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _visible(config: EmulatorConfig) -> str:
    delay = str(config.visibility).strip('"')
    return "at once" if delay == "0ms" else f"after {delay}"


def greeting(config: EmulatorConfig, url: str) -> str:
    """Return the text shown at the start: its addresses, its keys, and what to try first."""
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
  visible     {_visible(config)}

Upload an event, then count its users:

  curl -s {url}/2/httpapi -H 'Content-Type: application/json' \\
    -d '{upload}'

  curl -s -G {url}/api/2/events/segmentation -u {config.api_key}:{config.secret_key} \\
    --data-urlencode 'e={{"event_type":"hello"}}' -d "start={day}&end={day}&m=uniques&i=-3600000"

Ctrl-C ends it.
"""
