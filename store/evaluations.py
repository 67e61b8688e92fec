"""The evaluations of a search in ask order: its table, its memory, its ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, case, func, select, tuple_, update

from fewstep.errors import Conflict
from fewstep.status import EventKind
from store import cursor as cursors
from store import events, leases
from store.clock import now
from store.documents import Document
from store.engine import reading, writing
from store.records import Evaluation, Lease, NewEvaluation, Page, StoredScore
from store.scores import KEYS_PER_QUERY, as_score, put_in, score_columns
from store.tables import EvaluationRow, SearchRow
from store.upsert import insert_once

# Sorts failed candidates last; no distance comes near it.
_WORST = 1e308


def record(engine: Engine, lease: Lease, evaluation: NewEvaluation) -> bool:
    """Store score, evaluation and event together; say whether it was new.

    A replay records the same again: that changes nothing.

    Raises:
        LeaseLost, Cancelled: as `leases.renew`; nothing is stored.
        Conflict: `seq` holds an evaluation with another score key: this is no replay.
    """
    with writing(engine) as connection:
        leases.hold(connection, lease)
        put_in(connection, evaluation.score_key, evaluation.score)
        values = {"search_id": lease.search_id, **_columns(evaluation), "created_at": now()}
        if not insert_once(connection, EvaluationRow, values, unique=["search_id", "seq"]):
            _check_same(connection, lease.search_id, evaluation)
            return False
        events.append(connection, lease.search_id, EventKind.EVALUATION, _payload(evaluation))
        return True


def progress(
    engine: Engine,
    lease: Lease,
    *,
    phase: str,
    calls_spent: int,
    best_fid: float | None,
    message: str,
) -> None:
    """Say how far a search is, in its row and as an event; raise as `leases.renew` does."""
    state = {"phase": phase, "calls_spent": calls_spent, "best_fid": best_fid}
    with writing(engine) as connection:
        leases.hold(connection, lease)
        of_search = SearchRow.id == lease.search_id
        connection.execute(update(SearchRow).where(of_search).values(state))
        payload: Document = {**state, "message": message}
        events.append(connection, lease.search_id, EventKind.PROGRESS, payload)


def count(engine: Engine, search_id: str) -> int:
    """Count the evaluations of a search."""
    query = select(func.count()).select_from(EvaluationRow)
    with reading(engine) as connection:
        return connection.execute(query.where(EvaluationRow.search_id == search_id)).scalar_one()


def known(engine: Engine, search_id: str, score_keys: Sequence[str]) -> dict[str, StoredScore]:
    """Look up the scores that this search itself was told; a replay must be told the same."""
    found: dict[str, StoredScore] = {}
    with reading(engine) as connection:
        for start in range(0, len(score_keys), KEYS_PER_QUERY):
            some = score_keys[start : start + KEYS_PER_QUERY]
            query = select(EvaluationRow.__table__).where(
                EvaluationRow.search_id == search_id, EvaluationRow.score_key.in_(some)
            )
            found |= {row.score_key: as_score(row) for row in connection.execute(query)}
    return found


def list_page(
    engine: Engine, search_id: str, *, limit: int = 100, cursor: str | None = None
) -> Page[Evaluation]:
    """List evaluations in ask order. Raises InvalidInput on a bad cursor or limit."""
    cursors.check_limit(limit)
    query = select(EvaluationRow.__table__).where(EvaluationRow.search_id == search_id)
    if cursor is not None:
        (seq,) = cursors.decode(cursor, (int,))
        query = query.where(EvaluationRow.seq > seq)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(EvaluationRow.seq).limit(limit + 1)).all()
    items = [_evaluation(row) for row in rows[:limit]]
    next_cursor = cursors.encode((items[-1].seq,)) if len(rows) > limit else None
    return Page(items=items, next_cursor=next_cursor)


def list_ranked(
    engine: Engine,
    search_id: str,
    *,
    bank: str = "search",
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Evaluation]:
    """List the candidates of a search, best first, each by its evaluation with the most samples.

    Distances of different sample counts do not compare, so more samples come first; failed
    candidates come last. Raises InvalidInput on a bad cursor or limit.
    """
    cursors.check_limit(limit)
    best = _best_per_candidate(search_id, bank)
    # Negated, so that one row comparison walks all three columns upwards.
    order = tuple_(best.c.failed, -best.c.num_samples, best.c.distance, best.c.candidate_key)
    query = select(best).where(best.c.place == 1)
    if cursor is not None:
        failed, samples, distance, key = cursors.decode(cursor, (int, int, (int, float), str))
        query = query.where(order > tuple_(failed, samples, distance, key))
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(*order.clauses).limit(limit + 1)).all()
    items = [_evaluation(row) for row in rows[:limit]]
    return Page(
        items=items, next_cursor=_rank_cursor(rows[limit - 1]) if len(rows) > limit else None
    )


def _best_per_candidate(
    search_id: str, bank: str
) -> Any:  # a subquery's columns have no static type
    place = func.row_number().over(
        partition_by=EvaluationRow.candidate_key,
        order_by=(EvaluationRow.num_samples.desc(), EvaluationRow.set_index, EvaluationRow.seq),
    )
    failed = case((EvaluationRow.fid.is_(None), 1), else_=0)
    columns = (
        EvaluationRow.__table__,
        place.label("place"),
        failed.label("failed"),
        func.coalesce(EvaluationRow.fid, _WORST).label("distance"),
    )
    of_bank = (EvaluationRow.search_id == search_id, EvaluationRow.bank == bank)
    return select(*columns).where(*of_bank).subquery()


def _rank_cursor(row: Row[Any]) -> str:
    return cursors.encode((row.failed, -row.num_samples, row.distance, row.candidate_key))


def _columns(evaluation: NewEvaluation) -> dict[str, object]:
    names = [name for name in NewEvaluation.__slots__ if name != "score"]
    return {name: getattr(evaluation, name) for name in names} | score_columns(evaluation.score)


def _payload(evaluation: NewEvaluation) -> Document:
    payload = _columns(evaluation)
    del payload["candidate"], payload["score_key"]  # watchers draw; whoever wants more lists it
    return payload


def _check_same(connection: Connection, search_id: str, evaluation: NewEvaluation) -> None:
    query = select(EvaluationRow.score_key).where(
        EvaluationRow.search_id == search_id, EvaluationRow.seq == evaluation.seq
    )
    stored = connection.execute(query).scalar_one()
    if stored != evaluation.score_key:
        raise Conflict(
            f"evaluation {evaluation.seq} of search {search_id} has score key {stored}, now "
            f"{evaluation.score_key}: it was begun with other weights, code or numerics (torch "
            "version, threads, device); submit it anew"
        )


def _evaluation(row: Row[Any]) -> Evaluation:
    names = [name for name in NewEvaluation.__slots__ if name != "score"]
    fields = {name: row._mapping[name] for name in names}
    return Evaluation(
        **fields, score=as_score(row), search_id=row.search_id, created_at=row.created_at
    )
