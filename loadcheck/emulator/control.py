"""The control endpoint of the embedded emulator: clock, faults and the truth about them."""

from __future__ import annotations

from typing import Any

import orjson

from loadcheck.emulator.config import ConfigError, parse_faults
from loadcheck.emulator.config.faults import Reader
from loadcheck.emulator.message import Answer, Request, Router, json_answer
from loadcheck.emulator.service import Emulator

_LATEST_MS = 253_402_300_799_999


class Control:
    """Moves the clock, plants faults, and reports what they did.

    Its paths begin with a secret, so that only the parent process finds them.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def install(self, router: Router, prefix: str) -> None:
        """Add its routes."""
        router.add("GET", f"{prefix}/clock", self._clock)
        router.add("POST", f"{prefix}/clock", self._move)
        router.add("GET", f"{prefix}/faults", self._faults)
        router.add("PUT", f"{prefix}/faults", self._replace)
        router.add("GET", f"{prefix}/truth", self._truth)
        router.add("GET", f"{prefix}/state", self._state)

    def _clock(self, request: Request) -> Answer:  # noqa: ARG002 - it has no parameters
        clock = self._emulator.clock
        return json_answer(200, {"now_ms": clock.now_ms(), "stopped": clock.stopped})

    def _move(self, request: Request) -> Answer:
        """Move the clock: ``{"stopped": true, "now_ms": 0, "advance": "1h"}``, in this order."""
        try:
            table = Reader(_table(request))
            table.only({"stopped", "now_ms", "advance"})
            clock = self._emulator.clock
            stopped = table.flag("stopped", default=clock.stopped)
            now_ms = table.integer("now_ms", clock.now_ms(), most=_LATEST_MS)
            advance_ms = table.duration_ms("advance", 0.0)
            if table.problems:
                raise ConfigError(table.problems)  # noqa: TRY301 - one place answers
        except ConfigError as error:
            return _refused(error)
        if stopped != clock.stopped:
            (clock.stop if stopped else clock.start)()
        if "now_ms" in table.table:
            clock.set_to(now_ms)
        clock.advance(advance_ms)
        return self._clock(request)

    def _replace(self, request: Request) -> Answer:
        """Put other faults to work, as ``[target.faults]`` writes them; their windows begin now."""
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
