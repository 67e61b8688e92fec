"""Everything an operator can set, read from FEWSTEP_* environment variables and passed around."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

# The one Postgres driver that is installed; bare URLs, as hosting services hand them out, mean it.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}


class Settings(BaseSettings):
    """Settings of API and worker; each field is the variable FEWSTEP_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix="FEWSTEP_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data_dir: Path = Path("data")
    """Holds the SQLite file and whatever else the service writes; relative to where it starts."""
    database_url: SecretStr | None = None
    """sqlite:///FILE or postgresql://...; unset: fewstep.sqlite3 in the data directory. Secret, for
    it can hold a password."""
    model_roots: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders whose models requests may name as file:NAME; separated like PATH."""
    executor: Literal["ray", "inline"] = "ray"
    """Where candidates are scored: on Ray actors, or in threads of the worker process."""
    slots: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=1024)
    """Ray actors, or threads; results do not depend on it."""
    ray_address: str | None = None
    """Cluster to join; unset: a private one, started by the worker."""
    device: str = "cpu"
    """Torch device that scores."""
    host: str = "127.0.0.1"
    """Address the API listens on."""
    port: int = Field(default=8321, ge=0, le=65535)
    """Port the API listens on; 0 takes a free one."""
    lease_ms: int = Field(default=30_000, ge=100, le=3_600_000)
    """How long a worker that fell silent keeps its search; renewed three times within it."""
    poll_ms: int = Field(default=500, ge=10, le=60_000)
    """Pause of an idle worker between two looks at the queue, and of the API at new events."""
    max_claims: int = Field(default=50, ge=1)
    """Claims after which a search that keeps killing its workers is failed, not claimed again."""
    max_body_bytes: int = Field(default=1_048_576, ge=1_000)
    """Largest request body."""
    max_queued_searches: int = Field(default=1_000, ge=1)
    """Searches that may wait at once."""
    max_calls_budget: int = Field(default=10_000_000, ge=1)
    """Largest budget of one search, in network calls."""
    max_event_streams: int = Field(default=500, ge=1)
    """Clients that may follow searches at once, over one process."""

    @field_validator("model_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        """Read a PATH-like list, the one way to list folders in an environment variable."""
        return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            normalise_url(value.get_secret_value())
        return value

    @property
    def sqlalchemy_url(self) -> str:
        """The database as SQLAlchemy names it, with its password: for the engine, not for logs."""
        if self.database_url is not None:
            return normalise_url(self.database_url.get_secret_value())
        return f"sqlite:///{self.data_dir.absolute() / 'fewstep.sqlite3'}"


def normalise_url(url: str) -> str:
    """Name the driver in a database URL: postgresql://... becomes postgresql+psycopg://...

    Raises:
        ValueError: not a URL, or neither SQLite in a file nor Postgres. Never shows the URL: it
            can hold a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(
            "database URL cannot be read: use sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ValueError(
            f"database URL starts with {parsed.drivername!r}: use sqlite:///FILE or postgresql://..."
        )
    if driver == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError("database URL names no file: API and worker share it, use sqlite:///FILE")
    return parsed.set(drivername=driver).render_as_string(hide_password=False)
