"""The services of docker-compose.yml, each by its own command and environment, on this machine.

Hosts, ports and secrets come through the variables that the file offers; nothing else is changed.
Postgres is real, Ray is a cluster of its own.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from fewstep.client import Client
from fewstep.status import SearchStatus
from store import teacher_checks
from store.engine import open_engine
from store.records import TeacherCheck
from store.settings import normalise_url
from tests.compose import ComposeService, read_compose
from tests.service_process import ROOT, running, wait_until_healthy
from tests.workers import SMALL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TIMEOUT_S = 300.0
COMPOSE = ROOT / "docker-compose.yml"
# What the image sets: the code is where the command runs, and `python` is ours.
IMAGE = {
    "PYTHONPATH": str(ROOT),
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_NUM_THREADS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def free_port() -> int:
    """A port below those that Ray hands out to its processes."""
    while True:
        port = 7_000 + secrets.randbelow(2_900)
        with socket.socket() as listener:
            if listener.connect_ex(("127.0.0.1", port)):
                return port


@pytest.fixture
def variables(postgres_url: str) -> dict[str, str]:
    """What an operator may set for `docker compose up`."""
    ray_port = free_port()
    return {
        "FEWSTEP_DATABASE_URL": postgres_url,
        "FEWSTEP_HOST": "127.0.0.1",
        "FEWSTEP_PORT": str(free_port()),
        "FEWSTEP_RAY_PORT": str(ray_port),
        "FEWSTEP_RAY_ADDRESS": f"127.0.0.1:{ray_port}",
        "FEWSTEP_RAY_STORE_BYTES": "100000000",
        "FEWSTEP_SLOTS": "1",
        "FEWSTEP_MODEL_ROOTS": "/models",
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
    }


@pytest.fixture
def services(variables: dict[str, str]) -> dict[str, ComposeService]:
    return read_compose(COMPOSE, variables)


def test_secrets_have_no_defaults(variables: dict[str, str]) -> None:
    for secret in ("POSTGRES_PASSWORD", "RAY_AUTH_TOKEN"):
        rest = {name: value for name, value in variables.items() if name != secret}
        with pytest.raises(KeyError, match=secret):
            read_compose(COMPOSE, rest)


def test_a_search_runs_through_the_compose_services(
    services: dict[str, ComposeService],
    variables: dict[str, str],
    passed_teacher: tuple[str, TeacherCheck],
    tmp_path: Path,
) -> None:
    assert services.keys() == {"migrate", "ray-head", "api", "worker"}
    with ExitStack() as stack:
        _migrate(services["migrate"])
        _remember(variables["FEWSTEP_DATABASE_URL"], passed_teacher)
        for name in ("ray-head", "api", "worker"):
            service = services[name]
            log = tmp_path / f"{name}.log"
            environment = {**IMAGE, **service.environment}
            stack.enter_context(running(service.command, environment, log))
            stack.callback(_show, log)
        with Client(f"http://127.0.0.1:{variables['FEWSTEP_PORT']}") as client:
            wait_until_healthy(client.base_url)
            assert client.health().database == "postgresql"
            search = client.wait(client.submit(SMALL).id, timeout_s=TIMEOUT_S)
            assert search.status is SearchStatus.SUCCEEDED, search.error
            assert client.schedule(search.id).solver.nfe == SMALL["nfe"]


def _migrate(service: ComposeService) -> None:
    subprocess.run(
        service.command,
        cwd=ROOT,
        env={**os.environ, **IMAGE, **service.environment},
        check=True,
        timeout=TIMEOUT_S,
    )


def _remember(url: str, passed_teacher: tuple[str, TeacherCheck]) -> None:
    """Spare the worker the teacher check, which other tests hold to its word."""
    engine = open_engine(normalise_url(url))
    teacher_checks.put(engine, *passed_teacher)
    engine.dispose()


def _show(log: Path) -> None:
    """Into what pytest prints where the test fails."""
    sys.stdout.write(f"--- {log.name}\n{log.read_text()[-4000:]}\n")
