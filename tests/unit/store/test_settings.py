"""Settings come from FEWSTEP_* alone, name their database's driver and show no password."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from store.settings import Settings, normalise_url


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FEWSTEP_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p%40ss@h:5/d", "postgresql+psycopg://u:p%40ss@h:5/d"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://h/d?host=/run/pg", "postgresql+psycopg://h/d?host=/run/pg"),
        ("sqlite:////srv/a.sqlite3", "sqlite:////srv/a.sqlite3"),
    ],
)
def test_a_database_url_gets_its_driver(given: str, expected: str) -> None:
    assert normalise_url(given) == expected.replace("/run/pg", "%2Frun%2Fpg")


@pytest.mark.parametrize(
    "url",
    ["", "no url", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://h/d"],
)
def test_any_other_database_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///FILE"):
        normalise_url(url)


def test_a_password_shows_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_DATABASE_URL", "postgresql://u:hunter2@h/d")
    settings = Settings()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert settings.sqlalchemy_url == "postgresql+psycopg://u:hunter2@h/d"
    monkeypatch.setenv("FEWSTEP_DATABASE_URL", "oracle://u:hunter2@h/d")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hunter2" not in str(caught.value)


def test_the_default_database_is_a_file_in_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEWSTEP_DATA_DIR", str(tmp_path))
    assert Settings().sqlalchemy_url == f"sqlite:///{tmp_path}/fewstep.sqlite3"
    monkeypatch.delenv("FEWSTEP_DATA_DIR")
    monkeypatch.chdir(tmp_path)
    assert Settings().sqlalchemy_url == f"sqlite:///{tmp_path}/data/fewstep.sqlite3"


def test_model_roots_are_listed_like_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().model_roots == ()
    monkeypatch.setenv("FEWSTEP_MODEL_ROOTS", "/srv/a:/srv/b:")
    assert Settings().model_roots == (Path("/srv/a"), Path("/srv/b"))


def test_slots_are_the_cores_of_this_machine() -> None:
    assert Settings().slots == os.cpu_count()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXECUTOR", "threads"),
        ("SLOTS", "0"),
        ("LEASE_MS", "1"),
        ("PORT", "65536"),
        ("POLL_MS", "x"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FEWSTEP_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
