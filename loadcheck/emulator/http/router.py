"""Which handler answers which request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from loadcheck.emulator.http.message import Answer, json_answer

if TYPE_CHECKING:
    from loadcheck.emulator.http.message import Request

Handler = Callable[..., Answer | Awaitable[Answer]]
"""Takes the request and the values of the path's parameters."""


class Router:
    """An :data:`~loadcheck.emulator.http.message.Application` made of routes.

    Paths without parameters are looked up, the few with them are tried in turn.
    """

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._templates: list[tuple[tuple[str, ...], dict[str, Handler]]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Route requests; ``{}`` stands for a path segment that is handed to the handler."""
        if "{}" not in path:
            self._exact.setdefault(path, {})[method] = handler
            return
        template = tuple(path.split("/"))
        for known, handlers in self._templates:
            if known == template:
                handlers[method] = handler
                return
        self._templates.append((template, {method: handler}))

    def __call__(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer a request."""
        handlers = self._exact.get(request.path)
        values: list[str] = []
        if handlers is None:
            handlers, values = self._matching(request.path)
        if handlers is None:
            # an upload to a wrong path is told 400 [D] HTTP V2 API; anything else: [U]
            status = 400 if request.method == "POST" else 404
            return json_answer(status, {"code": status, "error": "Invalid request path"})
        method = "GET" if request.method == "HEAD" and "HEAD" not in handlers else request.method
        handler = handlers.get(method)
        if handler is None:
            answer = json_answer(405, {"code": 405, "error": "Method not allowed"})
            answer.headers = ((b"allow", ", ".join(sorted(handlers)).encode()),)
            return answer
        return handler(request, *values)

    def _matching(self, path: str) -> tuple[dict[str, Handler] | None, list[str]]:
        parts = path.split("/")
        for template, handlers in self._templates:
            if len(parts) == len(template) and all(
                wanted in ("{}", part) for wanted, part in zip(template, parts, strict=True)
            ):
                found = zip(template, parts, strict=True)
                return handlers, [unquote(part) for wanted, part in found if wanted == "{}"]
        return None, []
