"""One worker at a time, by the database's clock, with epochs; on SQLite and on Postgres."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from fewstep.errors import Cancelled, LeaseLost, NotFound
from fewstep.status import EventKind, SearchStatus
from store import evaluations, events, lease_sql, leases, schedules, searches
from store.engine import open_engine, reading, writing
from store.records import Lease
from store.settings import normalise_url
from store.tables import Base
from tests.postgres import PostgresServer
from tests.unit.store.examples import (
    LONG_MS,
    REQUEST,
    claim,
    evaluation,
    expire,
    new_schedule,
    submit,
)


def _progress(engine: Engine, lease: Lease) -> None:
    evaluations.progress(engine, lease, phase="search", calls_spent=7, best_fid=1.5, message="late")


# Every write that a worker makes under its lease.
WRITES: dict[str, Callable[[Engine, Lease], object]] = {
    "renew": lambda engine, lease: leases.renew(engine, lease, lease_ms=LONG_MS),
    "record": lambda engine, lease: evaluations.record(engine, lease, evaluation()),
    "progress": _progress,
    "release": leases.release,
    "succeed": lambda engine, lease: leases.succeed(
        engine, lease, result={"rows": []}, schedules=[new_schedule()]
    ),
    "fail": lambda engine, lease: leases.fail(engine, lease, code="c", message="m"),
}


def dump(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with reading(engine) as connection:
        return {
            name: [tuple(row) for row in connection.execute(table.select())]
            for name, table in Base.metadata.tables.items()
        }


def test_the_oldest_search_is_claimed_first(store_engine: Engine) -> None:
    order = [submit(store_engine).id for _ in range(3)]
    created = [searches.show(store_engine, each).created_at for each in order]
    claimed = [claim(store_engine).search_id for _ in order]
    assert [searches.show(store_engine, each).created_at for each in claimed] == created
    assert leases.claim(store_engine, owner="w", lease_ms=LONG_MS) is None


def test_a_claim_marks_the_search_as_running_under_its_owner(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine, "host-7", lease_ms=60_000)
    search = searches.show(store_engine, lease.search_id)
    assert (search.status, search.owner, search.lease_epoch) == ("running", "host-7", 1)
    assert lease.epoch == 1
    assert search.lease_expires_at is not None
    assert (search.lease_expires_at - search.updated_at).total_seconds() == pytest.approx(60, abs=1)
    assert events.after(store_engine, 0)[-1].kind is EventKind.RUNNING


def test_concurrent_claimers_never_get_the_same_search(store_engine: Engine) -> None:
    num_searches, num_claimers = 40, 8
    for _ in range(num_searches):
        submit(store_engine)
    start = threading.Barrier(num_claimers)

    def claim_all(number: int) -> list[str]:
        start.wait()
        claimed = []
        while lease := leases.claim(store_engine, owner=f"w{number}", lease_ms=LONG_MS):
            claimed.append(lease.search_id)
        return claimed

    with ThreadPoolExecutor(num_claimers) as pool:
        shares = list(pool.map(claim_all, range(num_claimers)))
    claimed = [search_id for share in shares for search_id in share]
    assert len(claimed) == num_searches
    assert len(set(claimed)) == num_searches


def test_a_claimer_passes_over_a_row_that_another_one_is_taking(
    postgres_server: PostgresServer, migrated_template: str
) -> None:
    """Claims do not queue up behind one another; SQLite has one writer anyway."""
    with postgres_server.new_database(migrated_template) as url:
        engine = open_engine(normalise_url(url))
        for _ in range(2):
            submit(engine)
        with writing(engine) as connection:
            statement = lease_sql.prepare(connection, lease_sql.CLAIM)
            taken = connection.execute(statement, {"owner": "slow", "lease_ms": LONG_MS}).one()
            other = claim(engine, "quick")  # without SKIP LOCKED it would wait here for itself
        assert taken.id != other.search_id
        engine.dispose()


def test_a_live_lease_is_not_claimed_and_an_expired_one_is(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    assert leases.claim(store_engine, owner="w2", lease_ms=LONG_MS) is None
    expire(store_engine, lease)
    taken = claim(store_engine, "w2")
    assert (taken.search_id, taken.epoch) == (lease.search_id, 2)


def test_a_lease_ends_by_the_databases_clock_alone(
    store_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object) -> float:
        raise AssertionError("the store read this host's clock")

    submit(store_engine)
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, wrong)
    claim(store_engine, lease_ms=100)
    deadline = time.monotonic() + 20
    while (taken := leases.claim(store_engine, owner="w2", lease_ms=LONG_MS)) is None:
        assert time.monotonic() < deadline, "a lease of 100 ms did not end in 20 s"
    assert taken.epoch == 2


def test_renewal_extends_from_now(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine, lease_ms=1000)
    before = searches.show(store_engine, lease.search_id).lease_expires_at
    leases.renew(store_engine, lease, lease_ms=LONG_MS)
    after = searches.show(store_engine, lease.search_id).lease_expires_at
    assert before is not None
    assert after is not None
    assert 3590 < (after - before).total_seconds() < 3720


def test_a_lease_that_ran_out_unnoticed_can_still_be_renewed(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    expire(store_engine, lease)
    leases.renew(store_engine, lease, lease_ms=LONG_MS)
    assert leases.claim(store_engine, owner="w2", lease_ms=LONG_MS) is None


@pytest.mark.parametrize("write", WRITES)
def test_late_write_after_takeover_changes_nothing(store_engine: Engine, write: str) -> None:
    submit(store_engine)
    late = claim(store_engine)
    expire(store_engine, late)
    claim(store_engine, "w2")
    before = dump(store_engine)
    with pytest.raises(LeaseLost, match="epoch 2, owner w2"):
        WRITES[write](store_engine, late)
    assert dump(store_engine) == before


@pytest.mark.parametrize("write", WRITES)
def test_a_write_after_cancellation_changes_nothing(store_engine: Engine, write: str) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    searches.cancel(store_engine, lease.search_id)
    before = dump(store_engine)
    with pytest.raises(Cancelled, match=lease.search_id):
        WRITES[write](store_engine, lease)
    assert dump(store_engine) == before


@pytest.mark.parametrize("write", WRITES)
def test_a_write_after_release_changes_nothing(store_engine: Engine, write: str) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    leases.release(store_engine, lease)
    before = dump(store_engine)
    with pytest.raises(LeaseLost):
        WRITES[write](store_engine, lease)
    assert dump(store_engine) == before


@pytest.mark.parametrize("write", WRITES)
def test_a_write_under_a_live_lease_takes_effect(store_engine: Engine, write: str) -> None:
    submit(store_engine)
    lease = claim(store_engine, lease_ms=1000)
    before = dump(store_engine)
    WRITES[write](store_engine, lease)
    assert dump(store_engine) != before


def test_check_says_whether_the_search_is_still_ours(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    leases.check(store_engine, lease)
    expire(store_engine, lease)
    leases.check(store_engine, lease)  # ran out, but nobody has taken it
    claim(store_engine, "w2")
    with pytest.raises(LeaseLost):
        leases.check(store_engine, lease)
    searches.cancel(store_engine, lease.search_id)
    with pytest.raises(Cancelled):
        leases.check(store_engine, lease)
    with pytest.raises(NotFound):
        leases.check(store_engine, Lease(search_id="nope", owner="w", epoch=1))


def test_a_released_search_is_claimed_at_once(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    leases.release(store_engine, lease)
    released = searches.show(store_engine, lease.search_id)
    assert (released.status, released.owner) == (SearchStatus.QUEUED, None)
    assert claim(store_engine, "w2").epoch == 2


def test_success_stores_result_and_schedule_together(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    leases.succeed(store_engine, lease, result={"rows": [1.5]}, schedules=[new_schedule()])
    search = searches.show(store_engine, lease.search_id)
    assert (search.status, search.owner, search.lease_expires_at) == ("succeeded", None, None)
    assert search.result == {"rows": [1.5]}
    published = schedules.of_search(store_engine, search.id)
    assert published.document == new_schedule().document
    last = events.after(store_engine, 0)[-1]
    assert (last.kind, last.payload["schedule_id"]) == (EventKind.SUCCEEDED, published.id)


def test_failure_stores_code_and_message(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    leases.fail(store_engine, lease, code="teacher-implausible", message="fid 99 > 20")
    search = searches.show(store_engine, lease.search_id)
    assert (search.error_code, search.error_message) == ("teacher-implausible", "fid 99 > 20")
    assert events.after(store_engine, 0)[-1].payload == {
        "code": "teacher-implausible",
        "message": "fid 99 > 20",
    }


@pytest.mark.parametrize("ending", ["succeed", "fail"])
def test_what_has_ended_stays_as_it_ended(store_engine: Engine, ending: str) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    WRITES[ending](store_engine, lease)
    before = dump(store_engine)
    for write in WRITES.values():
        with pytest.raises(LeaseLost):
            write(store_engine, lease)
    assert leases.claim(store_engine, owner="w2", lease_ms=LONG_MS) is None
    assert dump(store_engine) == before


def test_a_claim_reads_the_index_of_open_searches(store_engine: Engine) -> None:
    """However many searches have ended, a claim does not look at them."""
    with writing(store_engine) as connection:
        connection.execute(Base.metadata.tables["searches"].insert(), _ended(3000))
    for _ in range(20):
        submit(store_engine)
    plan = _plan(store_engine, lease_sql.CLAIM)
    assert "ix_searches_open" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "SCAN searches USING INDEX ix_searches_open" in plan or "Index Scan" in plan, plan
    assert "Sort" not in plan, plan
    assert "TEMP B-TREE" not in plan, plan


def _ended(number: int) -> list[dict[str, object]]:
    template = {
        "request": REQUEST, "request_hash": "h", "lease_epoch": 1, "calls_spent": 0,
        "calls_budget": 1, "status": "succeeded",
    }  # fmt: skip
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        template | {"id": f"ended-{i}", "created_at": at, "updated_at": at} for i in range(number)
    ]


def _plan(engine: Engine, statement: str) -> str:
    is_postgres = engine.dialect.name == "postgresql"
    with writing(engine) as connection:
        connection.execute(text("ANALYZE searches"))
        prepared = lease_sql.prepare(connection, statement)
        explain = text(("EXPLAIN " if is_postgres else "EXPLAIN QUERY PLAN ") + prepared.text)
        rows = connection.execute(explain, {"owner": "w", "lease_ms": 1000}).all()
    return "\n".join(str(row[-1]) for row in rows)


def test_two_engines_on_one_database_share_its_leases(store_engine: Engine) -> None:
    other = open_engine(store_engine.url.render_as_string(hide_password=False))
    submit(store_engine)
    lease = claim(store_engine)
    assert leases.claim(other, owner="w2", lease_ms=LONG_MS) is None
    leases.release(other, lease)
    assert claim(other, "w2").epoch == 2
    other.dispose()
