"""What all query endpoints share: credentials, faults, limits, and the envelope of errors."""

from __future__ import annotations

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

Parameters = Mapping[str, str]
Endpoint = Callable[..., Awaitable["Answer"]]
_NOBODY = (None,)


class Dashboard:
    """Guards the query endpoints.

    Attributes:
        requests: Queries that came.
        refusals: Those refused, by status.
    """

    def __init__(self, config: EmulatorConfig, clock: Clock, injector: Injector) -> None:
        self._credentials = f"{config.api_key}:{config.secret_key}".encode()
        self._clock = clock
        self._injector = injector
        self.requests = 0
        self.refusals: dict[int, int] = {}

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """Return a handler that lets only authorized requests through to an endpoint.

        The endpoint takes the parameters of the query, and those of the path.
        """

        async def handler(request: Request, *values: str) -> Answer:
            self.requests += 1
            answer = await self._faulty(endpoint, request, values)
            if answer.status >= 400:  # noqa: PLR2004
                self.refusals[answer.status] = self.refusals.get(answer.status, 0) + 1
            return answer

        return handler

    async def _faulty(
        self, endpoint: Endpoint, request: Request, values: tuple[str, ...]
    ) -> Answer:
        injector = self._injector
        if not injector.active:
            return await self._answer(endpoint, request, values)
        now_ms = self._clock.now_ms()
        answer = injector.before("queries", now_ms, _NOBODY)
        if answer is None:
            answer = await self._answer(endpoint, request, values)
            answer = injector.after("queries", now_ms, _NOBODY, answer)
        return injector.hold("queries", now_ms, _NOBODY, answer)

    async def _answer(
        self, endpoint: Endpoint, request: Request, values: tuple[str, ...]
    ) -> Answer:
        if not self._authorized(request):
            # 401 in descriptions by others, 403 in one connector [U]
            return error_answer(401, "Invalid API key or secret key")
        try:
            return await endpoint(request, *values)
        except QueryError as error:
            return error_answer(error.status, str(error))

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
