"""INSERT ... ON CONFLICT DO NOTHING, in the dialect at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from store.tables import Base


def insert_once(
    connection: Connection,
    row: type[Base],
    values: Mapping[str, object],
    *,
    unique: Sequence[str],
) -> bool:
    """Insert a row unless one has the same `unique` columns; say whether it was inserted."""
    table = cast(Table, row.__table__)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(dict(values)).on_conflict_do_nothing(index_elements=unique)
    returned = connection.execute(statement.returning(table.c[unique[0]]))
    return len(returned.all()) == 1
