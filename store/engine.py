"""Engines and transactions: short, explicit, and one writer at a time on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy import Engine as Engine  # what callers pass around without importing SQLAlchemy
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from fewstep.errors import ServiceUnreachable
from store.documents import dump

_WRITES = "fewstep_writes"
_BUSY_TIMEOUT_S = 30.0


def open_engine(url: str) -> Engine:
    """Make an engine for a normalised URL (`Settings.sqlalchemy_url`); connects on first use."""
    if make_url(url).get_backend_name() == "sqlite":
        return _open_sqlite(url)
    # A worker holds a connection through hours in which the server may restart: test before use.
    return create_engine(url, json_serializer=dump, pool_pre_ping=True)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes; commits at the end, rolls back on any exception.

    Raises:
        ServiceUnreachable: the database does not answer.
    """
    with _reporting_outages(), engine.connect() as connection:
        connection = connection.execution_options(**{_WRITES: True})
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads; on SQLite no writer waits for it.

    Raises:
        ServiceUnreachable: the database does not answer.
    """
    with _reporting_outages(), engine.connect() as connection:
        yield connection


@contextmanager
def _reporting_outages() -> Iterator[None]:
    """Tell an unreachable or locked database from a mistake of ours; neither shows its address."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        cause = getattr(error, "orig", None) or error
        message = f"the database did not answer ({type(cause).__name__}): try again later"
        raise ServiceUnreachable(message) from error


def _open_sqlite(url: str) -> Engine:
    path = make_url(url).database
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, json_serializer=dump, connect_args={"timeout": _BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Set what SQLite keeps per connection."""
    # The driver would begin transactions by its own rules; `_begin_sqlite` does it by ours.
    connection.isolation_level = None
    # Readers never block the writer, nor it them.
    connection.execute("PRAGMA journal_mode = WAL")
    # Safe against a killed process; a power cut can lose the last commits, never corrupt.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once in writers: taken halfway, it fails instead of waiting."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
