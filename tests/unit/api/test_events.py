"""The feed: every event once and in order, for any reader, with bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from api import events as feeds
from api.events import EventFeed
from fewstep.errors import TooMany
from store import evaluations, leases, searches
from store.engine import Engine
from store.records import Lease
from tests.unit.api.requests import SMALL

LONG_MS = 3_600_000
TIMEOUT_S = 30.0


def submit(engine: Engine) -> str:
    submission = searches.submit(engine, request=dict(SMALL), calls_budget=5_000, max_queued=100)
    return submission.search.id


def start(engine: Engine) -> Lease:
    submit(engine)
    lease = leases.claim(engine, owner="worker", lease_ms=LONG_MS)
    assert lease is not None
    return lease


def progress(engine: Engine, lease: Lease, num: int) -> None:
    for step in range(num):
        evaluations.progress(
            engine, lease, phase="search", calls_spent=step, best_fid=None, message=""
        )


@asynccontextmanager
async def listening(engine: Engine, *, max_streams: int = 10) -> AsyncIterator[EventFeed]:
    feed = EventFeed(engine, poll_s=0.01, max_streams=max_streams)
    task = asyncio.create_task(feed.listen())
    try:
        yield feed
    finally:
        feed.close()
        await task


async def kinds_of(feed: EventFeed, search_id: str, after: int = 0) -> list[str]:
    return [event.kind.value async for event in feed.follow(search_id, after)]


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), TIMEOUT_S))


def test_a_finished_search_is_replayed_and_the_stream_ends(store_engine: Engine) -> None:
    lease = start(store_engine)
    progress(store_engine, lease, 2)
    leases.fail(store_engine, lease, code="x", message="y")

    async def test() -> None:
        async with listening(store_engine) as feed:
            expected = ["queued", "running", "progress", "progress", "failed"]
            assert await kinds_of(feed, lease.search_id) == expected

    run(test)


def test_a_replay_starts_after_the_last_event_seen(store_engine: Engine) -> None:
    lease = start(store_engine)
    progress(store_engine, lease, 3)
    leases.fail(store_engine, lease, code="x", message="y")

    async def test() -> None:
        async with listening(store_engine) as feed:
            all_ids = [event.id async for event in feed.follow(lease.search_id, 0)]
            for place, seen in enumerate(all_ids):
                rest = [event.id async for event in feed.follow(lease.search_id, seen)]
                assert rest == all_ids[place + 1 :]

    run(test)


def test_events_arrive_while_they_happen_and_only_those_of_the_search(
    store_engine: Engine,
) -> None:
    lease = start(store_engine)
    other = submit(store_engine)

    async def test() -> None:
        async with listening(store_engine) as feed:
            seen: list[str] = []
            async for event in feed.follow(lease.search_id, 0):
                assert event.search_id == lease.search_id
                seen.append(event.kind.value)
                if seen == ["queued", "running"]:
                    await asyncio.to_thread(searches.cancel, store_engine, other)
                    await asyncio.to_thread(progress, store_engine, lease, 1)
                elif seen[-1] == "progress":
                    await asyncio.to_thread(searches.cancel, store_engine, lease.search_id)
            assert seen == ["queued", "running", "progress", "cancelled"]

    run(test)


@pytest.mark.parametrize("is_late", [False, True], ids=["all at once", "one late"])
def test_every_reader_sees_every_event_once(store_engine: Engine, is_late: bool) -> None:
    lease = start(store_engine)

    async def test() -> None:
        async with listening(store_engine) as feed:
            readers = [asyncio.create_task(kinds_of(feed, lease.search_id)) for _ in range(3)]
            await asyncio.to_thread(progress, store_engine, lease, 20)
            if is_late:
                readers.append(asyncio.create_task(kinds_of(feed, lease.search_id)))
            await asyncio.to_thread(leases.fail, store_engine, lease, code="x", message="y")
            expected = ["queued", "running", *["progress"] * 20, "failed"]
            assert await asyncio.gather(*readers) == [expected] * len(readers)

    run(test)


def test_a_reader_slower_than_its_queue_misses_nothing(
    store_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "QUEUE_SIZE", 2)
    lease = start(store_engine)

    async def test() -> None:
        async with listening(store_engine) as feed:
            ids: list[int] = []
            async for event in feed.follow(lease.search_id, 0):
                ids.append(event.id)
                if event.kind == "running":  # ten events while this reader looks away
                    await asyncio.to_thread(progress, store_engine, lease, 10)
                    await asyncio.sleep(0.1)
                    fail = asyncio.to_thread(
                        leases.fail, store_engine, lease, code="x", message="y"
                    )
                    await fail
            assert len(ids) == 13
            assert ids == sorted(set(ids))

    run(test)


def test_a_reader_that_goes_away_is_forgotten(store_engine: Engine) -> None:
    lease = start(store_engine)

    async def test() -> None:
        async with listening(store_engine, max_streams=1) as feed:
            reader = feed.follow(lease.search_id, 0)
            await anext(reader)
            assert feed.num_streams == 1
            with pytest.raises(TooMany, match="1 clients"):
                feed.check_room()
            await reader.aclose()
            assert feed.num_streams == 0
            feed.check_room()

    run(test)


def test_closing_ends_every_stream(store_engine: Engine) -> None:
    lease = start(store_engine)

    async def test() -> None:
        async with listening(store_engine) as feed:
            reader = asyncio.create_task(kinds_of(feed, lease.search_id))
            while feed.num_streams == 0:
                await asyncio.sleep(0.01)
            feed.close()
            assert await reader == ["queued", "running"]

    run(test)
