"""The emulator on its own, for clients other than loadcheck: ``loadcheck emulate``."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from loadcheck.emulator.config import EmulatorConfig
from loadcheck.emulator.serve import open_emulator, run, serving


def serve(
    config: EmulatorConfig,
    host: str,
    port: int,
    *,
    data: Path | None = None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        config: What the emulator is told.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        data: SQLite file that keeps the events across restarts; None: in memory only.
        ready: Called with the base URL once it serves.

    Raises:
        OSError: The address cannot be had.
        JournalError: The data file cannot be used.
    """
    run(_serve(config, host, port, data, ready))


async def _serve(
    config: EmulatorConfig, host: str, port: int, data: Path | None, ready: Callable[[str], None]
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    emulator, journal = open_emulator(config, data)
    async with serving(emulator, host, port, journal) as url:
        ready(url)
        await ended.wait()


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
