"""What all query endpoints share: credentials, faults, limits, and the envelope of errors."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from loadcheck.emulator.query.error import QueryError, error_answer

if TYPE_CHECKING:
    from loadcheck.emulator.clock import Clock
    from loadcheck.emulator.config import EmulatorConfig
    from loadcheck.emulator.faults.injector import Injector
    from loadcheck.emulator.http.message import Answer, Request
    from loadcheck.emulator.query.budget import Slots

Parameters = Mapping[str, str]
Endpoint = Callable[..., Awaitable["Answer"]]
_NOBODY = (None,)


class Dashboard:
    """Guards the query endpoints.

    Args:
        config: Whose credentials count.
        clock: Tells the faults the time.
        injector: The faults.
        before: Brings the store up to date before it is asked.

    Attributes:
        requests: Queries that came.
        refusals: Those refused, by status.
    """

    def __init__(
        self,
        config: EmulatorConfig,
        clock: Clock,
        injector: Injector,
        before: Callable[[], None],
    ) -> None:
        self._credentials = f"{config.api_key}:{config.secret_key}".encode()
        self._clock = clock
        self._injector = injector
        self._before = before
        self.requests = 0
        self.refusals: dict[str, int] = {}

    def guarded(self, endpoint: Endpoint, slots: Slots, cost: int = 1) -> Endpoint:
        """Return a handler that lets only authorized requests through to an endpoint.

        Args:
            endpoint: Takes the request and the parameters of its path.
            slots: How many may be under way, shared with other endpoints.
            cost: What is named where none is free.
        """

        async def handler(request: Request, *values: str) -> Answer:
            self.requests += 1
            if not self._authorized(request):
                # 401 in descriptions by others, 403 in one connector [U]
                answer = error_answer(401, "Invalid API key or secret key")
            else:
                try:
                    with slots.taken(cost):
                        answer = await self._faulty(endpoint, request, values)
                except QueryError as error:
                    answer = error_answer(error.status, str(error))
            if answer.status >= 400:  # noqa: PLR2004
                status = str(answer.status)
                self.refusals[status] = self.refusals.get(status, 0) + 1
            return answer

        return handler

    async def _faulty(
        self, endpoint: Endpoint, request: Request, values: tuple[str, ...]
    ) -> Answer:
        self._before()
        injector = self._injector
        if not injector.active:
            return await endpoint(request, *values)
        now_ms = self._clock.now_ms()
        answer = injector.before("queries", now_ms, _NOBODY)
        if answer is None:
            answer = await endpoint(request, *values)
            answer = injector.after("queries", now_ms, _NOBODY, answer)
        answer = injector.hold("queries", now_ms, _NOBODY, answer)
        # waited for here and not by the connection: a slow query holds its slot
        delay_ms, answer.delay_ms = answer.delay_ms, 0.0
        await asyncio.sleep(delay_ms / 1000)
        return answer

    def _authorized(self, request: Request) -> bool:
        scheme, _, coded = request.header(b"authorization").partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            given = base64.b64decode(coded.strip(), validate=True)
        except binascii.Error:
            return False
        return hmac.compare_digest(given, self._credentials)


def parameters(request: Request) -> Parameters:
    """Return the parameters of the query; the last one of a name counts.

    Raises:
        QueryError: They are not UTF-8.
    """
    try:
        text = request.query.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except ValueError:
        raise QueryError("the query is not valid UTF-8") from None
