"""The service as `make serve` starts it: a real search from the command line to its images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from fewstep.client import Client
from fewstep.schedule import Schedule
from fewstep.status import SearchStatus
from store import teacher_checks
from store.records import TeacherCheck
from tests.service_database import open_database
from tests.service_process import ROOT, printed_address, running, wait_until_healthy
from tests.workers import SMALL

pytestmark = pytest.mark.timeout(400)
TIMEOUT_S = 200


@pytest.fixture(scope="module")
def url(
    tmp_path_factory: pytest.TempPathFactory, passed_teacher: tuple[str, TeacherCheck]
) -> Iterator[str]:
    """A running service on the embedded defaults, but for free ports and speed."""
    folder = tmp_path_factory.mktemp("service")
    engine = open_database(folder / "data")
    teacher_checks.put(engine, *passed_teacher)
    engine.dispose()
    environment = {
        "FEWSTEP_DATA_DIR": str(folder / "data"),
        "FEWSTEP_PORT": "0",
        "FEWSTEP_EXECUTOR": "inline",
        "FEWSTEP_SLOTS": "1",
        "FEWSTEP_POLL_MS": "50",
    }
    log = folder / "log"
    with running([sys.executable, "-m", "api.serve"], environment, log) as process:
        address = printed_address(process, log)
        wait_until_healthy(address)
        yield address


def fewstep(url: str, *arguments: str) -> str:
    """Run the program; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "fewstep.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "FEWSTEP_URL": url},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_search_goes_from_one_command_to_images(url: str, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(SMALL))
    printed = fewstep(url, "submit", "--request", str(tmp_path / "request.json"), "--watch")
    search_id = next(line.split("\t")[1] for line in printed.splitlines() if line[:3] == "id\t")
    assert "\nstatus\tsucceeded\n" in printed
    assert "\nsearched\tddim\t" in printed
    assert " progress report: best small-batch FID " in printed
    file, picture = tmp_path / "schedule.json", tmp_path / "grid.png"
    fewstep(url, "download", search_id, "--out", str(file))
    assert Schedule.load(file).solver.nfe == SMALL["nfe"]
    fewstep(url, "sample", "--schedule", str(file), "--num", "4", "--out", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_a_search_shows_agrees_with_what_it_publishes(url: str) -> None:
    with Client(url) as client:
        search = client.wait(client.submit({**SMALL, "seed": 1}).id, timeout_s=TIMEOUT_S)
        assert search.status is SearchStatus.SUCCEEDED, search.error
        assert search.result is not None
        searched = search.result.rows[0]
        (entry,) = [e for e in client.schedules(nfe=2) if e.search_id == search.id]
        assert (entry.fid, entry.standard_error) == (searched.fid, searched.standard_error)
        assert (entry.num_samples, entry.num_sets) == (64, 2)
        assert client.schedule(search.id).times == tuple(searched.times)
        evaluations = list(client.candidates(search.id, page_size=7))
        assert [evaluation.seq for evaluation in evaluations] == list(range(len(evaluations)))
        events = list(client.events(search.id))
        assert sum(event.kind == "evaluation" for event in events) == len(evaluations)


def test_every_watcher_of_a_running_search_sees_the_same_events(url: str) -> None:
    with Client(url) as client:
        search_id = client.submit({**SMALL, "seed": 2}).id
    seen: dict[int, list[int]] = {}

    def watch(place: int) -> None:
        with Client(url) as watcher:
            seen[place] = [event.id for event in watcher.events(search_id)]

    watchers = [threading.Thread(target=watch, args=(place,)) for place in range(4)]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join(TIMEOUT_S)
    assert sorted(seen) == [0, 1, 2, 3]
    assert len(seen[0]) > 10
    assert all(ids == seen[0] for ids in seen.values())


def test_a_bad_request_in_between_disturbs_no_search(url: str) -> None:
    with Client(url) as client:
        search_id = client.submit({**SMALL, "seed": 3}).id
        for body in ("{", '{"nfe": NaN}', json.dumps({**SMALL, "nfe": 0}), " " * 10_000_000):
            headers = {"content-type": "application/json"}
            reply = httpx2.post(f"{url}/v1/searches", content=body, headers=headers)
            assert 400 <= reply.status_code < 500, reply.text
        assert client.wait(search_id, timeout_s=TIMEOUT_S).status is SearchStatus.SUCCEEDED
        assert client.list(status=SearchStatus.QUEUED).items == []
