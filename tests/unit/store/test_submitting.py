"""Submit, list, show: idempotent, bounded, newest first; on SQLite and on Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from fewstep.errors import Conflict, InvalidInput, NotFound, TooMany
from fewstep.status import EventKind, SearchStatus
from store import cursor, events, leases, searches
from store.documents import Document
from tests.unit.store.examples import REQUEST, claim, submit

AWKWARD: Document = {
    "é": "\u2028 ☃ 😀",
    "floats": [0.1 + 0.2, 1e-300, 1.0, -2.5e17],
    "none": None,
    "b": True,
}


def test_a_submitted_search_waits_and_is_shown_as_it_was_sent(store_engine: Engine) -> None:
    search = submit(store_engine, AWKWARD)
    assert search.request == AWKWARD
    assert searches.show(store_engine, search.id) == search
    assert (search.status, search.lease_epoch, search.owner) == (SearchStatus.QUEUED, 0, None)
    assert (search.calls_spent, search.calls_budget, search.result) == (0, 1000, None)
    assert [event.kind for event in events.after(store_engine, 0)] == [EventKind.QUEUED]


def test_times_are_utc_and_of_now(store_engine: Engine) -> None:
    created = submit(store_engine).created_at
    assert created.utcoffset() == timedelta(0)
    # Databases run on this machine here; the margin covers a suspended test run.
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=2)


def test_the_same_key_and_request_make_one_search(store_engine: Engine) -> None:
    first = submit(store_engine, key="k")
    reordered = dict(reversed(REQUEST.items()))
    again = searches.submit(
        store_engine, request=reordered, calls_budget=1, max_queued=1, idempotency_key="k"
    )
    assert (again.search, again.is_new) == (first, False)
    assert len(events.after(store_engine, 0)) == 1


def test_a_key_for_another_request_is_a_conflict_that_queues_nothing(store_engine: Engine) -> None:
    first = submit(store_engine, key="k")
    with pytest.raises(Conflict, match=first.id):
        submit(store_engine, REQUEST | {"nfe": 5}, key="k")
    assert searches.count(store_engine, SearchStatus.QUEUED) == 1


def test_concurrent_submits_under_one_key_make_one_search(store_engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(submit, store_engine, key="k") for _ in range(8)]
        ids = {future.result().id for future in futures}
    assert len(ids) == 1
    assert searches.count(store_engine, SearchStatus.QUEUED) == 1


def test_without_a_key_each_submit_is_a_search(store_engine: Engine) -> None:
    assert submit(store_engine).id != submit(store_engine).id


@pytest.mark.parametrize("key", ["", "k" * 201, "nul\0", "half \ud800"])
def test_a_key_that_no_database_holds_is_refused(store_engine: Engine, key: str) -> None:
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        submit(store_engine, key=key)
    assert searches.list_page(store_engine).items == []


@pytest.mark.parametrize("text", ["nul\0", "half \udfff"])
def test_text_that_no_database_holds_is_refused_with_its_place(
    store_engine: Engine, text: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        submit(store_engine, {"names": ["fine", {"x": text}]})
    assert caught.value.field == "request.names[1].x"
    assert searches.list_page(store_engine).items == []


def test_a_full_queue_refuses_and_stores_nothing(store_engine: Engine) -> None:
    submit(store_engine)
    with pytest.raises(TooMany, match="1 searches wait"):
        searches.submit(store_engine, request=REQUEST, calls_budget=1, max_queued=1)
    assert len(searches.list_page(store_engine).items) == 1
    assert len(events.after(store_engine, 0)) == 1


def test_the_place_in_the_queue_counts_earlier_waiting_searches(store_engine: Engine) -> None:
    first, second, third = (submit(store_engine) for _ in range(3))
    assert searches.queue_position(store_engine, third) == 2
    claim(store_engine)
    assert searches.queue_position(store_engine, third) == 1
    searches.cancel(store_engine, second.id)
    assert searches.queue_position(store_engine, third) == 0
    assert searches.queue_position(store_engine, searches.show(store_engine, first.id)) == 0


def test_pages_walk_through_all_newest_first_whatever_comes_in_between(
    store_engine: Engine,
) -> None:
    made = [submit(store_engine).id for _ in range(7)]
    seen: list[str] = []
    position: str | None = None
    while True:
        page = searches.list_page(store_engine, limit=3, cursor=position)
        seen += [search.id for search in page.items]
        submit(store_engine)  # newer than the cursor: must neither shift nor show
        if page.next_cursor is None:
            break
        position = page.next_cursor
    assert len(seen) == 7
    assert set(seen) == set(made)
    times = [searches.show(store_engine, each).created_at for each in seen]
    assert times == sorted(times, reverse=True)


def test_a_status_filters_the_list(store_engine: Engine) -> None:
    waiting, cancelled = submit(store_engine), submit(store_engine)
    searches.cancel(store_engine, cancelled.id)
    for status, expected in [("queued", waiting), ("cancelled", cancelled)]:
        page = searches.list_page(store_engine, status=SearchStatus(status))
        assert [search.id for search in page.items] == [expected.id]


@pytest.mark.parametrize(
    "forged",
    ["", "!", "ä", "e30", cursor.encode((1, 2)), cursor.encode(("x", "y")), cursor.encode(("a",)),
     cursor.encode(("2026-01-01T00:00:00+00:00", "nul\0"))],
)  # fmt: skip
def test_a_forged_cursor_is_invalid_input(store_engine: Engine, forged: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        searches.list_page(store_engine, cursor=forged)
    assert caught.value.field == "cursor"


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_page_size_out_of_range_is_invalid_input(store_engine: Engine, limit: int) -> None:
    with pytest.raises(InvalidInput, match=f"limit={limit}"):
        searches.list_page(store_engine, limit=limit)


def test_an_unknown_search_is_not_found(store_engine: Engine) -> None:
    with pytest.raises(NotFound, match="nope"):
        searches.show(store_engine, "nope")
    with pytest.raises(NotFound, match="nope"):
        searches.cancel(store_engine, "nope")


def test_a_waiting_search_is_cancelled_and_never_claimed(store_engine: Engine) -> None:
    search = submit(store_engine)
    assert searches.cancel(store_engine, search.id).status is SearchStatus.CANCELLED
    assert leases.claim(store_engine, owner="w", lease_ms=1000) is None
    kinds = [event.kind for event in events.after(store_engine, 0)]
    assert kinds == [EventKind.QUEUED, EventKind.CANCELLED]


def test_cancelling_twice_is_cancelling_once(store_engine: Engine) -> None:
    search = submit(store_engine)
    first = searches.cancel(store_engine, search.id)
    assert searches.cancel(store_engine, search.id) == first
    assert len(events.after(store_engine, 0)) == 2


def test_a_search_that_ended_cannot_be_cancelled(store_engine: Engine) -> None:
    search = submit(store_engine)
    leases.fail(store_engine, claim(store_engine), code="some-code", message="why")
    with pytest.raises(Conflict, match="is failed"):
        searches.cancel(store_engine, search.id)
    assert searches.show(store_engine, search.id).error_code == "some-code"
