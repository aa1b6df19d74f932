"""The command ``loadcheck emulate``."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from loadcheck.errors import InputError, Problem, SaveError


def emulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 for any free one.", min=0, max=65535)
    ] = 8765,
    api_key: Annotated[
        str | None, typer.Option(help="API key of the project.", show_default="random")
    ] = None,
    secret_key: Annotated[
        str | None, typer.Option(help="Its secret key.", show_default="random")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with its behaviour: the keys of a scenario's \\[target]."),
    ] = None,
    fault: Annotated[
        str | None,
        typer.Option(
            help="What services are known to do: replica-lag, partition-late or compaction.",
            metavar="PRESET",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="SQLite file to keep events and deletions across restarts.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Append each request to this file, as a line of JSON without keys."),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            help="Take the requests of such a file first, and list those answered differently."
        ),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Log each request on stderr.")] = False,
) -> None:
    """Run the Amplitude emulator on its own, until Ctrl-C.

    The file of --config may hold api_key, secret_key, region, projects,
    preset, seed, visibility_delay, time_zone, limits, cache, short_ids,
    empty_result, export_lag, deletion_after, capacity,
    blocked_event_types, inactive_event_types, silenced_devices,
    custom_events, block_bots and faults. Durations are
    "500ms" or "2s"; a delay may also be { min, max } or { median, p99 }.

    limits = "documented" or "off", or a table: base, httpapi, batch,
    queries, taxonomy.

    Faults, each with rate, or count with among or first, and after,
    lasting, every: drop, duplicate, miscount, late_ack, late_visibility,
    error_before_commit, error_after_commit, reset_before_commit,
    reset_during_answer, reset_after_commit, throttle, refuse, slow, stall,
    truncated_json, malformed_json, frozen_counts, stale_cache.

    For tests, with the keys as user and password: GET /control/clock,
    /faults, /truth (the users each fault hit) and /state; POST /control/clock
    {"advance": "1h"}, {"stopped": true}, {"now_ms": 0} or {"speed": 50};
    PUT /control/faults with other faults as JSON. GET /health says that it
    serves. SIGTERM ends it.
    """
    from loadcheck.emulator.commit import JournalError, JournalWriteError  # noqa: PLC0415  # keeps --help quick
    from loadcheck.emulator.config import ConfigError, parse  # noqa: PLC0415
    from loadcheck.emulator.standalone import Keeping, greeting, serve  # noqa: PLC0415

    keys = {"api_key": api_key, "secret_key": secret_key, "preset": fault}
    table, lines = _read(config)
    table |= {name: key for name, key in keys.items() if key is not None}
    try:
        checked = parse(table)
    except ConfigError as error:
        raise InputError(
            Problem(
                message=problem.message,
                file="" if config is None else str(config),
                line=lines.get(problem.path),
                key=problem.path,
                remedy=problem.remedy,
            )
            for problem in sorted(error.problems, key=lambda found: lines.get(found.path) or 0)
        ) from None

    def ready(url: str) -> None:
        sys.stdout.write(greeting(checked, url))
        sys.stdout.flush()

    keeping = Keeping(data=data, record=record, replay=replay, log=log)
    try:
        serve(checked, host, port, keeping=keeping, ready=ready)
    except JournalWriteError as error:
        raise SaveError(
            Problem(message=str(error), key=_kept(data, record), remedy="make room for the file")
        ) from None
    except JournalError as error:
        remedy = "name a file of this emulator, or one that is not there yet"
        key = _kept(data, record, replay)
        raise InputError(Problem(message=str(error), key=key, remedy=remedy)) from None
    except OSError as error:
        raise _unavailable(host, port, error) from None


def _unavailable(host: str, port: int, error: OSError) -> InputError:
    # the event loop's wording repeats the address; codes of name resolution are negative
    code = error.errno or 0
    reason = os.strerror(code) if code > 0 else error.strerror or str(error)
    remedy = "choose another address with --host"
    if code in (errno.EADDRINUSE, errno.EACCES):
        remedy = "choose another with --port, or 0 for any free one"
    message = f"cannot listen on {host} port {port}: {reason[:1].lower()}{reason[1:]}"
    return InputError(Problem(message=message, remedy=remedy))


def _kept(*files: Path | None) -> str:
    """Return the names of the options whose files are given."""
    options = zip(("--data", "--record", "--replay"), files, strict=False)
    return ", ".join(option for option, file in options if file is not None)


def _read(path: Path | None) -> tuple[dict[str, Any], dict[str, int | None]]:
    """Return the content of a TOML file, and the line of each key; both empty without a file."""
    from loadcheck.documents.document import dotted  # noqa: PLC0415
    from loadcheck.documents.toml import read  # noqa: PLC0415

    if path is None:
        return {}, {}
    written = read(path, str(path))
    lines = {dotted(place): node.place.line for place, node in written.walk()}
    return written.plain(), lines
