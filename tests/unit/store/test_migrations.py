"""Migrations and models are one schema, on both databases, and migrations can be undone."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from store.engine import open_engine, reading, writing
from store.migrate import downgrade, upgrade
from store.settings import normalise_url
from store.tables import Base
from tests.postgres import PostgresServer
from tests.stores import KINDS

_SQLITE_SCHEMA = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
# Everything that Postgres knows of a table's shape, in its own canonical words.
_POSTGRES_SCHEMA = """
SELECT c.oid::regclass || '.' || a.attname,
       format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
         || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
"""


@pytest.fixture(params=KINDS)
def two_empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """Two empty databases of one kind."""
    if request.param == "sqlite":
        engines = [open_engine(f"sqlite:///{tmp_path / name}") for name in ("a", "b")]
        yield engines[0], engines[1]
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.new_database() as first, server.new_database() as second:
            engines = [open_engine(normalise_url(url)) for url in (first, second)]
            yield engines[0], engines[1]
    for engine in engines:
        engine.dispose()


def schema(engine: Engine) -> dict[str, str]:
    """What the database itself says about its tables."""
    query = _POSTGRES_SCHEMA if engine.dialect.name == "postgresql" else _SQLITE_SCHEMA
    with reading(engine) as connection:
        rows = connection.execute(text(query)).all()
    described = {name: _normal(definition) for name, definition in rows}
    return {name: sql for name, sql in described.items() if "alembic_version" not in name}


def _normal(definition: str) -> str:
    """One spacing, and one order of a table's constraints: SQLite keeps the text as it came."""
    words = re.sub(r"\s+", " ", definition).replace("( ", "(").removesuffix(")").rstrip()
    words = words.replace('"', "")  # SQLite quotes the name of a table that was copied
    columns, *constraints = words.split(", CONSTRAINT ")
    return " | ".join([columns, *sorted(constraints)])


def test_migrated_schema_is_the_schema_of_the_models(two_empty: tuple[Engine, Engine]) -> None:
    migrated, modelled = two_empty
    upgrade(migrated)
    with writing(modelled) as connection:
        Base.metadata.create_all(connection)
    assert len(schema(migrated)) > 10
    assert schema(migrated) == schema(modelled)


def test_autogenerate_finds_nothing_left_to_migrate(store_engine: Engine) -> None:
    with reading(store_engine) as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_a_changed_model_is_noticed(two_empty: tuple[Engine, Engine]) -> None:
    migrated, changed = two_empty
    upgrade(migrated)
    with writing(changed) as connection:
        Base.metadata.create_all(connection)
        connection.execute(text("DROP INDEX ix_searches_open"))
        connection.execute(text("CREATE INDEX ix_searches_open ON searches (created_at, id)"))
    assert schema(migrated) != schema(changed)


def test_downgrade_removes_everything_and_upgrade_brings_it_back(store_engine: Engine) -> None:
    before = schema(store_engine)
    downgrade(store_engine, "base")
    assert set(inspect(store_engine).get_table_names()) == {"alembic_version"}
    upgrade(store_engine)
    assert schema(store_engine) == before


def test_upgrade_of_a_migrated_database_changes_nothing(store_engine: Engine) -> None:
    before = schema(store_engine)
    upgrade(store_engine)
    assert schema(store_engine) == before


def test_processes_that_start_together_migrate_once(two_empty: tuple[Engine, Engine]) -> None:
    engine, _ = two_empty
    url = engine.url.render_as_string(hide_password=False)
    engines = [open_engine(url) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(upgrade, engines))
    assert set(Base.metadata.tables) <= set(inspect(engine).get_table_names())
    for other in engines:
        other.dispose()


def test_the_command_migrates_the_database_of_the_environment(
    tmp_path: Path, repository: Path
) -> None:
    environment = {"FEWSTEP_DATA_DIR": str(tmp_path / "new"), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "store.migrate"]
    subprocess.run(command, cwd=repository, env=environment, check=True, timeout=60)
    engine = open_engine(f"sqlite:///{tmp_path / 'new' / 'fewstep.sqlite3'}")
    assert set(Base.metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


_OLD_SEARCH = """
INSERT INTO searches (id, created_at, updated_at, status, request, request_hash, lease_epoch,
                      calls_spent, calls_budget)
VALUES ('s', '2026-01-01 00:00:00', '2026-01-01 00:00:00', 'succeeded', '{}', 'h', 1, 0, 1)
"""
_OLD_SCHEDULE = """
INSERT INTO schedules (id, search_id, model, reference, solver, nfe, guidance_scale, fid,
                       standard_error, document, created_at)
VALUES ('p', 's', 'm', 'r', 'ddim', 4, 1.0, 3.25, 0.5, '{"a": 1}', '2026-01-01 00:00:00')
"""
_OTHER_POINT = """
INSERT INTO schedules (id, search_id, model, reference, solver, nfe, guidance_scale, fid,
                       standard_error, document, created_at, point, cost_share)
VALUES ('q', 's', 'm', 'r', 'ddim', 4, 1.0, 4.5, 0.5, '{"a": 2}', '2026-01-01 00:00:00', 1, 0.5)
"""
_SHOWN = "SELECT id, fid, point, cost_share, macs, weights_sha256 FROM schedules ORDER BY id"


def test_a_schedule_of_before_is_the_best_of_its_search_and_survives_the_way_back(
    two_empty: tuple[Engine, Engine],
) -> None:
    engine, _ = two_empty
    upgrade(engine, "0001")
    _execute(engine, _OLD_SEARCH, _OLD_SCHEDULE)
    upgrade(engine)
    assert _rows(engine, _SHOWN) == [("p", 3.25, 0, 1.0, None, None)]
    _execute(engine, _OTHER_POINT)
    downgrade(engine, "0001")
    assert _rows(engine, "SELECT id, fid FROM schedules") == [("p", 3.25)]
    upgrade(engine)
    assert _rows(engine, _SHOWN) == [("p", 3.25, 0, 1.0, None, None)]


def _execute(engine: Engine, *statements: str) -> None:
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement.replace(":", "\\:")))


def _rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(text(query)).all()]
