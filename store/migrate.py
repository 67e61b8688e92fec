"""Bring a database to the newest schema: `python -m store.migrate`, also done at every start."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from store.engine import open_engine, writing
from store.settings import Settings

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
# Any number that nothing else in this database uses.
_MIGRATION_LOCK = 0x6D696772
log = logging.getLogger(__name__)


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Migrate up to a revision; processes that start together wait for one another."""
    _run(engine, revision, is_upgrade=True)


def downgrade(engine: Engine, revision: str) -> None:
    """Migrate down to a revision; "base" drops everything."""
    _run(engine, revision, is_upgrade=False)


def _run(engine: Engine, revision: str, *, is_upgrade: bool) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with writing(engine) as connection:  # on SQLite this waits for whoever migrates already
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK}
            )
        config.attributes["connection"] = connection
        (command.upgrade if is_upgrade else command.downgrade)(config, revision)


def main() -> None:
    """Migrate the database that the environment names."""
    engine = open_engine(Settings().sqlalchemy_url)
    upgrade(engine)
    log.info("migrated", extra={"event": "migrated", "database": engine.url.render_as_string()})
    engine.dispose()


if __name__ == "__main__":
    main()
