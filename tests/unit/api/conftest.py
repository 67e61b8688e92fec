"""The real app over a real database, with a small model folder beside the bundled one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from store.settings import Settings
from tests.model_folder import write_model


@pytest.fixture(scope="session")
def model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the model file:random."""
    root = tmp_path_factory.mktemp("models")
    write_model(root)
    return root


@pytest.fixture
def settings(database_url: str, tmp_path: Path, model_root: Path) -> Settings:
    """Settings over a database that only this test uses, on SQLite and on Postgres."""
    return Settings.model_validate(
        {
            "database_url": database_url,
            "data_dir": tmp_path,
            "model_roots": (model_root,),
            "max_queued_searches": 5,
            "max_calls_budget": 1_000_000,
            "poll_ms": 10,
        }
    )


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """The application."""
    return create_app(settings)


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    """A client of the application, started."""
    with TestClient(app) as client:
        yield client
