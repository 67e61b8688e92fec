"""`make serve` keeps both processes up, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from api import serve
from api.serve import Restarted
from fewstep.client import Client
from tests.service_database import open_database
from tests.service_process import ROOT, printed_address, running, wait_until_healthy

TIMEOUT_S = 60.0
COMMAND = [sys.executable, "-m", "api.serve"]


def environment(data_dir: Path, port: int = 0) -> dict[str, str]:
    return {
        "FEWSTEP_DATA_DIR": str(data_dir),
        "FEWSTEP_PORT": str(port),
        "FEWSTEP_EXECUTOR": "inline",
        "FEWSTEP_POLL_MS": "50",
    }


def child(parent: subprocess.Popen[bytes], module: str) -> psutil.Process:
    """Wait for the child that runs `module`."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        for process in psutil.Process(parent.pid).children():
            # Between fork and exec a child still has its parent's command line.
            if process.cmdline()[-1:] == [module]:
                return process
        assert time.monotonic() < deadline, f"no {module}"
        time.sleep(0.05)


def assert_gone(*processes: psutil.Process) -> None:
    _, alive = psutil.wait_procs(processes, timeout=TIMEOUT_S)
    assert not alive


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_one_command_starts_both_and_one_signal_stops_both(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    with running(COMMAND, environment(tmp_path), log) as service:
        wait_until_healthy(printed_address(service, log))
        children = child(service, "api"), child(service, "search.worker")
        service.send_signal(number)
        assert service.wait(TIMEOUT_S) == 0, log.read_text()
        assert_gone(*children)


def test_a_killed_worker_is_started_again(tmp_path: Path) -> None:
    with running(COMMAND, environment(tmp_path), tmp_path / "log") as service:
        first = child(service, "search.worker")
        first.kill()
        assert_gone(first)
        assert child(service, "search.worker").pid != first.pid


@pytest.mark.slow
def test_the_service_ends_when_its_api_does(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(COMMAND, environment(tmp_path), log) as service:
        wait_until_healthy(printed_address(service, log))
        worker = child(service, "search.worker")
        child(service, "api").kill()
        assert service.wait(TIMEOUT_S) != 0
        assert_gone(worker)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_killed_service_takes_both_with_it(tmp_path: Path) -> None:
    with running(COMMAND, environment(tmp_path), tmp_path / "log") as service:
        children = child(service, "api"), child(service, "search.worker")
        service.kill()
        assert_gone(*children)


@pytest.mark.parametrize("module", ["api", "api.serve"])
def test_a_taken_port_is_refused_with_its_name(tmp_path: Path, module: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env={**os.environ, **environment(tmp_path, port)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 2
    assert f"FEWSTEP_PORT={port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_pauses_before_a_crashing_worker_grow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "FIRST_PAUSE_S", 0.125)
    crashing = Restarted((sys.executable, "-c", "raise SystemExit(3)"))
    lines: list[str] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(lines) < 3:
        assert time.monotonic() < deadline, lines
        crashing.keep_up()
        lines += capsys.readouterr().out.splitlines()
        time.sleep(0.01)
    assert [line.split()[4] for line in lines] == ["3;"] * 3
    assert [line.split()[-2] for line in lines] == ["0.1", "0.2", "0.5"]
    crashing.process.wait()


def test_the_api_process_loads_no_torch_and_stays_small(tmp_path: Path) -> None:
    open_database(tmp_path).dispose()
    log = tmp_path / "log"
    command = [sys.executable, "-m", "api"]
    with running(command, environment(tmp_path), log) as process:
        url = printed_address(process, log)
        wait_until_healthy(url)
        with Client(url) as client:
            client.submit({"model": "zoo:digits", "nfe": 4, "solver": "ddim"})
            assert list(client.models())
        api = psutil.Process(process.pid)
        loaded = {Path(area.path).name for area in api.memory_maps()}
        assert not [name for name in loaded if "torch" in name]
        assert api.memory_info().rss <= 300e6
