"""Claim a search, keep it, give it back: one worker at a time, decided by the database alone."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, select, update

from fewstep.errors import Cancelled, FewstepError, LeaseLost, NotFound
from fewstep.status import EventKind, SearchStatus
from store import events, lease_sql
from store.documents import Document
from store.engine import reading, writing
from store.records import Lease, NewSchedule
from store.schedules import publish
from store.tables import SearchRow


def claim(engine: Engine, *, owner: str, lease_ms: int) -> Lease | None:
    """Take the oldest search that waits or whose worker fell silent; None if there is none."""
    with writing(engine) as connection:
        statement = lease_sql.prepare(connection, lease_sql.CLAIM)
        row = connection.execute(statement, {"owner": owner, "lease_ms": lease_ms}).one_or_none()
        if row is None:
            return None
        lease = Lease(search_id=row.id, owner=owner, epoch=row.lease_epoch)
        payload: Document = {"worker": owner, "epoch": lease.epoch}
        events.append(connection, lease.search_id, EventKind.RUNNING, payload)
        return lease


def renew(engine: Engine, lease: Lease, *, lease_ms: int) -> None:
    """Extend a lease from now on.

    Raises:
        LeaseLost: another worker has the search, or it was handed back.
        Cancelled: it was cancelled.
    """
    with writing(engine) as connection:
        _write(connection, lease, lease_sql.RENEW, lease_ms=lease_ms)


def check(engine: Engine, lease: Lease) -> None:
    """Raise as `renew` does if the search is no longer ours; changes nothing."""
    with reading(engine) as connection:
        error = _why_not(connection, lease)
    if error is not None:
        raise error


def hold(connection: Connection, lease: Lease) -> None:
    """Make sure, until this transaction ends, that the search is ours; raise as `renew` does."""
    _write(connection, lease, lease_sql.HOLD)


def release(engine: Engine, lease: Lease) -> None:
    """Hand a search back to the queue, for any worker to resume at once; raise as `renew` does."""
    with writing(engine) as connection:
        _write(connection, lease, lease_sql.RELEASE)
        payload: Document = {"released_by": lease.owner}
        events.append(connection, lease.search_id, EventKind.QUEUED, payload)


def succeed(
    engine: Engine, lease: Lease, *, result: Document, schedules: Sequence[NewSchedule]
) -> None:
    """End a search with its result and publish its schedules, or neither; raise as `renew` does.

    The first schedule is the search's best, the others are the rest of its front.
    """
    with writing(engine) as connection:
        _finish(connection, lease, SearchStatus.SUCCEEDED)
        of_search = SearchRow.id == lease.search_id
        connection.execute(update(SearchRow).where(of_search).values(result=result))
        best_id = publish(connection, lease.search_id, schedules)[0]
        payload: Document = {"schedule_id": best_id, "fid": schedules[0].fid}
        events.append(connection, lease.search_id, EventKind.SUCCEEDED, payload)


def fail(engine: Engine, lease: Lease, *, code: str, message: str) -> None:
    """End a search with an error; raise as `renew` does."""
    with writing(engine) as connection:
        _finish(connection, lease, SearchStatus.FAILED, code=code, message=message)
        payload: Document = {"code": code, "message": message}
        events.append(connection, lease.search_id, EventKind.FAILED, payload)


def _finish(
    connection: Connection,
    lease: Lease,
    status: SearchStatus,
    *,
    code: str | None = None,
    message: str | None = None,
) -> None:
    outcome = {"status": status.value, "error_code": code, "error_message": message}
    _write(connection, lease, lease_sql.FINISH, **outcome)


def _write(
    connection: Connection, lease: Lease, statement: str, **values: int | str | None
) -> None:
    """Run a statement under the lease; raise when it changed nothing."""
    values |= {"search_id": lease.search_id, "epoch": lease.epoch}
    if connection.execute(lease_sql.prepare(connection, statement), values).rowcount == 1:
        return
    raise _why_not(connection, lease) or LeaseLost(f"search {lease.search_id} is not ours to write")


def _why_not(connection: Connection, lease: Lease) -> FewstepError | None:
    """Say why a lease does not hold, or None if it does."""
    columns = select(SearchRow.status, SearchRow.lease_epoch, SearchRow.owner)
    row = connection.execute(columns.where(SearchRow.id == lease.search_id)).one_or_none()
    if row is None:
        return NotFound(f"search {lease.search_id} does not exist")
    if row.status == SearchStatus.CANCELLED:
        return Cancelled(f"search {lease.search_id} was cancelled")
    if row.status == SearchStatus.RUNNING and row.lease_epoch == lease.epoch:
        return None
    return LeaseLost(
        f"search {lease.search_id} is {row.status} under epoch {row.lease_epoch}, owner "
        f"{row.owner}: worker {lease.owner} holds epoch {lease.epoch} and may write no more"
    )
