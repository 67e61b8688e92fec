"""Times of the database's own clock, so that hosts with different clocks agree on a lease."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

# Milliseconds padded to the microseconds that SQLAlchemy reads back; sorts as text.
SQLITE_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"
# Unlike clock_timestamp() it is constant within a statement, so an index can answer for it.
POSTGRES_NOW = "statement_timestamp()"


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, aware and in UTC: timestamptz on Postgres, sortable text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - named by SQLAlchemy
    ) -> datetime | None:
        """Store UTC; SQLite keeps no zone."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - named by SQLAlchemy
    ) -> datetime | None:
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class now(FunctionElement[datetime]):
    """The database's clock when the statement began."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite_now(_element: now, _compiler: SQLCompiler, **_: object) -> str:
    return SQLITE_NOW


@compiles(now, "postgresql")
def _postgres_now(_element: now, _compiler: SQLCompiler, **_: object) -> str:
    return POSTGRES_NOW
