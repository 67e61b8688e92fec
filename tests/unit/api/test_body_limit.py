"""The limit holds for what arrives, whatever was announced."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.body_limit import BodyLimit
from fewstep.errors import TooLarge

LIMIT = 1_000
PART = 100


class Exchange:
    """One request to an app that reads its whole body, and what came of it."""

    def __init__(self, *, headers: dict[str, str], num_parts: int) -> None:
        self.num_read = 0
        self.status: int | None = None
        self.error: TooLarge | None = None
        self._num_parts = num_parts
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": raw}
        asyncio.run(BodyLimit(self._read_body, LIMIT)(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        self.num_read += 1
        is_last = self.num_read == self._num_parts
        return {"type": "http.request", "body": b"x" * PART, "more_body": not is_last}

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)

    async def _read_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await Request(scope, receive).body()
        except TooLarge as error:
            self.error = error
        else:
            await Response(body)(scope, receive, send)


def test_a_body_of_exactly_the_limit_passes() -> None:
    exchange = Exchange(headers={"content-length": str(LIMIT)}, num_parts=LIMIT // PART)
    assert (exchange.status, exchange.error) == (200, None)


def test_an_endless_body_is_read_no_further_than_one_part_above_the_limit() -> None:
    exchange = Exchange(headers={}, num_parts=10**9)
    assert exchange.error is not None
    assert exchange.num_read == LIMIT // PART + 1


def test_an_announced_body_is_refused_unread() -> None:
    exchange = Exchange(headers={"content-length": str(LIMIT + 1)}, num_parts=11)
    assert (exchange.status, exchange.num_read) == (413, 0)


def test_more_than_was_announced_is_refused() -> None:
    exchange = Exchange(headers={"content-length": "10"}, num_parts=11)
    assert exchange.error is not None


def test_an_announcement_of_many_digits_is_refused() -> None:
    exchange = Exchange(headers={"content-length": "9" * 5_000}, num_parts=1)
    assert exchange.status == 413
