"""Migrated databases of both kinds, so that one contract suite runs on each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from store.engine import open_engine
from store.migrate import upgrade
from store.settings import normalise_url
from tests.postgres import PostgresServer

KINDS = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> Iterator[str]:
    """Name of a migrated Postgres database to copy; copying takes a tenth of migrating."""
    with postgres_server.new_database() as url:
        engine = open_engine(normalise_url(url))
        upgrade(engine)
        engine.dispose()  # a template may have no connections
        yield str(engine.url.database)


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a migrated database that only this test uses, on SQLite and on Postgres."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield _new_sqlite(tmp_path / "fewstep.sqlite3")
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            template: str = request.getfixturevalue("migrated_template")
            yield stack.enter_context(server.new_database(template))


@pytest.fixture
def store_engine(database_url: str) -> Iterator[Engine]:
    """An engine on such a database."""
    engine = open_engine(normalise_url(database_url))
    yield engine
    engine.dispose()


def _new_sqlite(path: Path) -> str:
    url = f"sqlite:///{path}"
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    return url
