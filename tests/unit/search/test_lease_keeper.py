"""A lease is renewed while its search runs, handed back on demand, and let go when it is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fewstep.errors import LeaseLost
from fewstep.status import SearchStatus
from search.lease_keeper import LeaseKeeper
from store import leases, searches
from store.engine import open_engine
from store.migrate import upgrade
from store.records import Lease
from tests.unit.store.examples import LONG_MS, claim, expire, submit

SHORT_MS = 150


def _until(claim_holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not claim_holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def _expiry(engine: Engine, lease: Lease) -> datetime:
    expires_at = searches.show(engine, lease.search_id).lease_expires_at
    assert expires_at is not None
    return expires_at


def test_a_kept_lease_is_renewed_again_and_again(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine, lease_ms=SHORT_MS)
    with LeaseKeeper(store_engine, lease, lease_ms=SHORT_MS):
        seen = {_expiry(store_engine, lease)}

        def is_renewed() -> bool:
            seen.add(_expiry(store_engine, lease))
            return len(seen) > 3

        _until(is_renewed, "three renewals")


def test_leaving_stops_renewing_at_once(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    began = time.monotonic()
    with LeaseKeeper(store_engine, lease, lease_ms=LONG_MS):
        pass
    assert time.monotonic() - began < 60, "it waited for the next renewal"
    assert searches.show(store_engine, lease.search_id).owner == lease.owner


def test_handing_back_frees_the_search_at_once(store_engine: Engine) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    with LeaseKeeper(store_engine, lease, lease_ms=LONG_MS) as keeper:
        keeper.hand_back()
        _until(
            lambda: searches.show(store_engine, lease.search_id).status is SearchStatus.QUEUED,
            "the hand-over",
        )
        with pytest.raises(LeaseLost):
            leases.check(store_engine, lease)
    assert claim(store_engine, "w2").epoch == 2


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_lost_lease_is_not_renewed_any_more(
    store_engine: Engine, *, is_cancelled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    submit(store_engine)
    lease = claim(store_engine, lease_ms=SHORT_MS)
    expire(store_engine, lease)
    if is_cancelled:
        searches.cancel(store_engine, lease.search_id)
    else:
        claim(store_engine, "w2")
    before = searches.show(store_engine, lease.search_id)
    with LeaseKeeper(store_engine, lease, lease_ms=SHORT_MS) as keeper:
        _until(lambda: "lease-ended" in caplog.messages, "the end of the lease")
        keeper.hand_back()  # comes too late
    assert searches.show(store_engine, lease.search_id) == before


def test_an_outage_of_the_database_does_not_end_the_lease(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "fewstep.sqlite3"
    engine = open_engine(f"sqlite:///{file}")
    upgrade(engine)
    submit(engine)
    lease = claim(engine, lease_ms=SHORT_MS)
    engine.dispose()  # so that the next renewal opens the file, which is away
    away = file.rename(tmp_path / "away")
    file.mkdir()
    with LeaseKeeper(engine, lease, lease_ms=SHORT_MS):
        _until(lambda: "lease-not-renewed" in caplog.messages, "a renewal that failed")
        file.rmdir()
        away.rename(file)
        before = _expiry(engine, lease)
        _until(lambda: _expiry(engine, lease) > before, "a renewal after the outage")
    engine.dispose()
