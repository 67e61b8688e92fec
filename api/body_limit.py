"""Refuse bodies above a size before they are held in memory, whether or not they announce it."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_of
from fewstep.errors import TooLarge


class BodyLimit:
    """ASGI middleware: a 413 problem for every body of more than `max_bytes`.

    A body with a Content-Length is refused unread. One without is counted as it arrives; the
    error then surfaces where the route reads the body, and becomes the same problem there.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and float(announced) > self._max_bytes:
            await problem_of(self._too_large())(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        num_bytes = 0

        async def receive_counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_bytes:
                raise self._too_large()
            return message

        return receive_counted

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"body: larger than {self._max_bytes} bytes; allowed: at most {self._max_bytes} bytes",
            field="body",
        )
