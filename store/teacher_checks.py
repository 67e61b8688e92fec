"""Full-step models that passed their check: measured once per weights and reference."""

from __future__ import annotations

from sqlalchemy import Engine, select

from store.clock import now
from store.engine import reading, writing
from store.records import TeacherCheck
from store.tables import TeacherCheckRow
from store.upsert import insert_once


def find(engine: Engine, key: str) -> TeacherCheck | None:
    """Read a passed check; None if there was none."""
    query = select(TeacherCheckRow.__table__).where(TeacherCheckRow.key == key)
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return TeacherCheck(**{name: row._mapping[name] for name in TeacherCheck.__slots__})


def put(engine: Engine, key: str, check: TeacherCheck) -> None:
    """Store a passed check; the first one stays."""
    fields = {name: getattr(check, name) for name in TeacherCheck.__slots__}
    with writing(engine) as connection:
        values = {"key": key, **fields, "created_at": now()}
        insert_once(connection, TeacherCheckRow, values, unique=["key"])
