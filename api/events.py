"""Events of searches as they happen: one listener per process reads the database for every client.

A client first replays what it has not seen, then takes new events from a bounded queue. One that
reads too slowly for its queue falls back to replaying; nothing is lost and nothing piles up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.concurrency import run_in_threadpool

from fewstep.errors import TooMany
from fewstep.status import SearchStatus
from store import events, searches
from store.engine import Engine
from store.records import Event

PAGE = 500
QUEUE_SIZE = 256

_logger = logging.getLogger("fewstep.api")
_FINAL_KINDS = frozenset(status.value for status in SearchStatus if status.is_final)


class _Subscription:
    """One client's queue; None in it ends the stream."""

    def __init__(self, search_id: str) -> None:
        self.search_id = search_id
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUE_SIZE)
        self.is_behind = False

    def offer(self, event: Event) -> None:
        if self.queue.full():
            self.is_behind = True
        if not self.is_behind:
            self.queue.put_nowait(event)

    def rewind(self) -> None:
        """Empty the queue: a replay comes first."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.is_behind = False


class EventFeed:
    """Events for the clients of one process.

    Args:
        engine: the database.
        poll_s: pause between two looks at the database while anybody follows.
        max_streams: clients at once.
    """

    def __init__(self, engine: Engine, *, poll_s: float, max_streams: int) -> None:
        self._engine = engine
        self._poll_s = poll_s
        self._max_streams = max_streams
        self._subscriptions: set[_Subscription] = set()
        self._subscribing = asyncio.Lock()
        self._is_wanted = asyncio.Event()
        self._last_id = 0
        self.is_closed = False

    @property
    def num_streams(self) -> int:
        """Clients that follow a search now."""
        return len(self._subscriptions)

    def check_room(self) -> None:
        """Raise TooMany if as many clients as allowed follow already."""
        if self.num_streams >= self._max_streams:
            raise TooMany(
                f"{self._max_streams} clients follow searches already, the most allowed:"
                " try again later"
            )

    async def follow(self, search_id: str, after: int) -> AsyncGenerator[Event, None]:
        """Yield the events of a search with ids above `after`, up to its last one."""
        async with self._subscribed(search_id) as subscription:
            while not self.is_closed:
                subscription.rewind()
                is_final = await self._is_final(search_id)  # asked first: its replay is complete
                async for event in self._replayed(search_id, after):
                    after = event.id
                    yield event
                    is_final = is_final or event.kind in _FINAL_KINDS
                if is_final:
                    return
                async for event in self._live(subscription, after):
                    after = event.id
                    yield event
                    if event.kind in _FINAL_KINDS:
                        return

    async def listen(self) -> None:
        """Hand new events to whoever follows, until closed."""
        while not self.is_closed:
            await self._is_wanted.wait()
            try:
                page = await run_in_threadpool(
                    events.after, self._engine, self._last_id, limit=PAGE
                )
            except Exception:  # the database is away: clients reconnect, and so do we
                _logger.exception("event-listener-failed", extra={"event": "event-listener-failed"})
                self._end_streams()
                page = []
            self._hand_out(page)
            if len(page) < PAGE:
                await asyncio.sleep(self._poll_s)

    def close(self) -> None:
        """End every stream, so that the server can stop; clients come back to its successor."""
        self.is_closed = True
        self._is_wanted.set()
        self._end_streams()

    @asynccontextmanager
    async def _subscribed(self, search_id: str) -> AsyncIterator[_Subscription]:
        subscription = _Subscription(search_id)
        async with self._subscribing:
            if not self._subscriptions:  # the listener rested: skip what nobody waited for
                self._last_id = await run_in_threadpool(events.last_id, self._engine)
            self._subscriptions.add(subscription)
        self._is_wanted.set()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions and not self.is_closed:
                self._is_wanted.clear()

    async def _replayed(self, search_id: str, after: int) -> AsyncIterator[Event]:
        while True:
            page = await run_in_threadpool(
                events.after, self._engine, after, search_id=search_id, limit=PAGE
            )
            for event in page:
                yield event
            if len(page) < PAGE:
                return
            after = page[-1].id

    async def _live(self, subscription: _Subscription, after: int) -> AsyncIterator[Event]:
        """Take from the queue what the replay did not have, until the queue had to drop some."""
        while not (subscription.is_behind and subscription.queue.empty()):
            event = await subscription.queue.get()
            if event is None:
                return
            if event.id > after:
                yield event

    async def _is_final(self, search_id: str) -> bool:
        search = await run_in_threadpool(searches.show, self._engine, search_id)
        return search.status.is_final

    def _hand_out(self, page: Sequence[Event]) -> None:
        for event in page:
            self._last_id = max(self._last_id, event.id)
            for subscription in self._subscriptions:
                if subscription.search_id == event.search_id:
                    subscription.offer(event)

    def _end_streams(self) -> None:
        for subscription in self._subscriptions:
            subscription.rewind()
            subscription.queue.put_nowait(None)
