"""The control endpoint of an emulator: clock, faults and the truth about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from loadcheck.emulator.config import ConfigError, parse_faults
from loadcheck.emulator.config.faults import Reader
from loadcheck.emulator.message import Answer, Request, Router, error_answer, json_answer
from loadcheck.emulator.query.dashboard import authorized
from loadcheck.emulator.service import Emulator

_LATEST_MS = 253_402_300_799_999
_SLOWEST, _FASTEST = 0.001, 1_000_000.0


class Control:
    """Moves the clock, plants faults, and reports what they did.

    The embedded emulator's paths begin with a secret, so that only the parent process finds them.
    The one that stands alone has them at ``/control``, for those who have its keys.
    """

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def install(self, router: Router, prefix: str, *, keys: bool = False) -> None:
        """Add its routes.

        Args:
            router: Where to.
            prefix: What their paths begin with.
            keys: Only for requests with the project's keys, as queries have them.
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

        In this order; all may be left out.
        """
        try:
            table = Reader(_table(request))
            table.only({"stopped", "speed", "now_ms", "advance"})
            clock = self._emulator.clock
            stopped = table.flag("stopped", default=clock.stopped)
            speed = table.number("speed", clock.speed, least=_SLOWEST, most=_FASTEST)
            now_ms = table.integer("now_ms", clock.now_ms(), most=_LATEST_MS)
            advance_ms = table.duration_ms("advance", 0.0)
            if table.problems:
                raise ConfigError(table.problems)  # noqa: TRY301 - one place answers
        except ConfigError as error:
            return _refused(error)
        if stopped != clock.stopped:
            (clock.stop if stopped else clock.start)()
        if speed != clock.speed:
            clock.set_speed(speed)
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
