"""Bytes by content: stored once under their hash, and never changed."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, Engine, select

from fewstep.errors import NotFound
from store.clock import now
from store.engine import reading, writing
from store.tables import ArtifactRow
from store.upsert import insert_once


def put(engine: Engine, content: bytes) -> str:
    """Store bytes unless they are there; return their SHA-256."""
    with writing(engine) as connection:
        return put_in(connection, content)


def put_in(connection: Connection, content: bytes) -> str:
    """As `put`, within the caller's transaction."""
    sha256 = hashlib.sha256(content).hexdigest()
    values = {"sha256": sha256, "content": content, "created_at": now()}
    insert_once(connection, ArtifactRow, values, unique=["sha256"])
    return sha256


def get(engine: Engine, sha256: str) -> bytes:
    """Read bytes by their hash. Raises NotFound."""
    query = select(ArtifactRow.content).where(ArtifactRow.sha256 == sha256)
    with reading(engine) as connection:
        content = connection.execute(query).scalar_one_or_none()
    if content is None:
        raise NotFound(f"artifact {sha256} does not exist", field="sha256")
    return bytes(content)
