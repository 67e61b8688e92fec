"""A real API process over a database of its own, the engine behind it, and sampling without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.engine import Engine
from tests.service_database import open_database
from tests.service_process import running_api
from tests.unit.client.program_run import Ended, Sample, run_program


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service's data directory."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def engine(data_dir: Path) -> Iterator[Engine]:
    """The service's database."""
    engine = open_database(data_dir)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def service_environment(data_dir: Path) -> dict[str, str]:
    """What the service is configured by."""
    return {"FEWSTEP_DATA_DIR": str(data_dir), "FEWSTEP_POLL_MS": "20"}


@pytest.fixture(scope="module")
def url(engine: Engine, service_environment: dict[str, str], data_dir: Path) -> Iterator[str]:
    """The address of a running API."""
    assert engine.dialect.name == "sqlite"
    with running_api(service_environment, data_dir / "api.log") as address:
        yield address


@pytest.fixture
def sample(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Sample:
    """Runs `fewstep sample` for two images, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Ended:
        return run_program(capfd, "sample", "--num", "2", *arguments)

    return call
