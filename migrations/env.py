"""Runs migrations on the connection it is given, or on the database the environment names."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from store.engine import open_engine, writing
from store.settings import Settings
from store.tables import Base


def _migrate(connection: Connection) -> None:
    # SQLite can roll schema changes back too, once its driver leaves transactions to us.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _migrate_environment() -> None:
    """Serve the `alembic` command itself, which brings no connection."""
    engine = open_engine(Settings().sqlalchemy_url)
    with writing(engine) as connection:
        _migrate(connection)
    engine.dispose()


given = context.config.attributes.get("connection")
if given is None:
    _migrate_environment()
else:
    _migrate(given)
