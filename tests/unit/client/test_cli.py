"""The `fewstep` program as people and scripts run it, against a real API process."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Protocol

import pytest

from fewstep.cli import main
from fewstep.client import Client
from fewstep.schedule import Schedule
from fewstep.status import SearchStatus
from store.engine import Engine
from tests.service_database import claim, report_progress, succeed
from tests.service_process import ROOT

CLI = [sys.executable, "-m", "fewstep.cli"]
SUBMIT = ["submit", "--model", "zoo:digits", "--solver", "ddim", "--nfe", "3"]
COMMANDS = [
    "submit", "watch", "list", "show", "download", "sample", "cancel", "models", "solvers", "grids",
]  # fmt: skip
TIMEOUT_S = 60


@pytest.fixture(autouse=True)
def _empty_queue(url: str) -> Iterator[None]:
    yield
    with Client(url) as client:
        for status in (SearchStatus.QUEUED, SearchStatus.RUNNING):
            for search in client.list(status=status, limit=200).items:
                client.cancel(search.id)


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


class Run(Protocol):
    """Runs the program in this process, which is much faster than starting one each time."""

    def __call__(self, *arguments: str, url: str | None = None) -> Done:
        """Run it; `url` is the service's unless given."""


@pytest.fixture
def run(url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    service = url

    def call(*arguments: str, url: str | None = None) -> Done:
        monkeypatch.setenv("FEWSTEP_URL", url or service)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capfd.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return call


def submit(run: Run) -> str:
    """Submit a search; return its id."""
    done = run(*SUBMIT, "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


def finished(run: Run, engine: Engine) -> tuple[str, Schedule]:
    """A search that has succeeded, and its schedule."""
    search_id = submit(run)
    return search_id, succeed(engine, claim(engine))


def test_submitting_prints_the_id_and_how_to_follow(run: Run) -> None:
    done = run(*SUBMIT)
    search_id, rest = done.stdout.split(" ", 1)
    assert rest == "queued, place 1 in the queue\n"
    assert done.stderr == f"follow it with: fewstep watch {search_id}\n"


def test_a_request_file_and_options_make_one_request(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "zoo:digits", "solver": "heun", "nfe": 5, "seed": 1}))
    options = ["--seed", "2", "--start", "900,500,100", "--set", "report_sets=4", "--json"]
    done = run("submit", "--request", str(file), *options)
    assert done.returncode == 0, done.stderr
    request = json.loads(done.stdout)["request"]
    assert (request["solver"], request["nfe"], request["seed"]) == ("heun", 5, 2)
    assert (request["initial_times"], request["report_sets"]) == ([[900, 500, 100]], 4)


def test_options_and_guidance_are_submitted(run: Run) -> None:
    options = ["--option", "order=[1, 2, 2]", "--search-option", "solver_type"]
    guidance = ["--guidance", "classifier", "--guidance-scale", "2.5"]
    solver = ["--model", "zoo:digits", "--solver", "dpm-solver++-2m", "--nfe", "3"]
    done = run("submit", *solver, *options, *guidance, "--json")
    assert done.returncode == 0, done.stderr
    request = json.loads(done.stdout)["request"]
    assert request["solver_options"] == {"order": [1, 2, 2]}
    assert request["search_options"] == ["solver_type"]
    assert (request["guidance"], request["guidance_scale"]) == ("classifier", 2.5)


def test_chains_are_submitted(run: Run) -> None:
    solver = ["--model", "zoo:digits", "--nfe", "6"]
    done = run("submit", *solver, "--dlg", "chains=64,num_skip=2,gibbs=argmax", "--json")
    assert done.returncode == 0, done.stderr
    request = json.loads(done.stdout)["request"]
    given = {name: request["dlg"][name] for name in ("chains", "num_skip", "gibbs", "eta")}
    assert given == {"chains": 64, "num_skip": 2, "gibbs": "argmax", "eta": None}
    assert request["steps"] == 4


def test_pruning_is_submitted_and_options_win_over_the_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"pruning": {"points": 3, "mode": "steps"}}))
    options = ["--prune-cost", "0.7", "--prune-mode", "bands", "--prune-option", "remove=false"]
    done = run(*SUBMIT, "--request", str(file), *options, "--json")
    assert done.returncode == 0, done.stderr
    pruning = json.loads(done.stdout)["request"]["pruning"]
    given = {name: pruning[name] for name in ("points", "mode", "cost", "remove", "objective")}
    expected = {"points": 3, "mode": "bands", "cost": 0.7, "remove": False, "objective": "macs"}
    assert given == expected
    plain = run(*SUBMIT, "--prune", "--json")
    assert json.loads(plain.stdout)["request"]["pruning"]["cost"] is None, plain.stderr
    assert "pruning" not in json.loads(run(*SUBMIT, "--json").stdout)["request"]


def test_a_front_is_shown_and_its_weights_are_downloaded(
    run: Run, engine: Engine, tmp_path: Path
) -> None:
    search_id = submit(run)
    schedule = succeed(engine, claim(engine), pruned=b"tensors")
    shown = run("front", "zoo:digits", "--guidance-scale", "1")
    assert shown.returncode == 0, shown.stderr
    (front,) = [
        json.loads(line) for line in run("front", "zoo:digits", "--json").stdout.splitlines()
    ]
    pruned = next(
        point for point in front["points"] if (point["search_id"], point["point"]) == (search_id, 1)
    )
    line = next(line for line in shown.stdout.splitlines() if pruned["schedule_id"] in line)
    assert line.split("\t")[1:7] == ["ddim", "3", "1.50", "0.500", "4.50", "0.25"]
    file = tmp_path / "weights.safetensors"
    done = run("weights", pruned["schedule_id"], "--out", str(file))
    assert (done.returncode, file.read_bytes()) == (0, b"tensors"), done.stderr
    assert pruned["weights_sha256"] in done.stdout
    assert run("download", search_id, "--point", "1").stdout == schedule.to_json()
    assert run("front", "zoo:cifar10-16").stdout.startswith("schedule\tsolver")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["submit", "--model", "zoo:nothing", "--nfe", "4"],
            ["model", "zoo:nothing", "zoo:digits"],
        ),
        (["submit", "--model", "zoo:digits", "--nfe", "0"], ["nfe=0"]),
        (["submit", "--model", "zoo:digits", "--nfe", "1001"], ["nfe=1001", "1000"]),
        (["submit", "--model", "zoo:digits", "--nfe", "four"], ["--nfe", "'four'", "whole number"]),
        (["submit", "--nfe", "4"], ["model", "required"]),
        ([*SUBMIT, "--guidance-scale", "lots"], ["--guidance-scale", "'lots'", "a number"]),
        ([*SUBMIT, "--start", "9,9,1"], ["initial_times[0][1]", "decrease"]),
        ([*SUBMIT, "--start", "9,x"], ["initial_times[0]", "9,x", "999,700,300,50"]),
        ([*SUBMIT, "--set", "colour=red"], ["colour", "red", "allowed"]),
        ([*SUBMIT, "--set", "colour"], ["colour", "NAME=VALUE"]),
        ([*SUBMIT, "--option", "eta"], ["--option", "eta", "NAME=VALUE"]),
        ([*SUBMIT, "--option", "eta=0.5"], ["solver_options.eta", "allowed"]),
        ([*SUBMIT, "--search-option", "eta"], ["search_options[0]", "eta"]),
        ([*SUBMIT, "--guidance", "strong"], ["guidance", "strong", "classifier"]),
        ([*SUBMIT, "--guidance-scale", "nan"], ["guidance_scale", "nan", "finite"]),
        ([*SUBMIT, "--prune-cost", "1.5"], ["pruning.cost=1.5", "less than 1"]),
        ([*SUBMIT, "--prune-cost", "0.01"], ["pruning.cost=0.01", "zoo:digits", "0.19"]),
        ([*SUBMIT, "--prune-cost", "much"], ["--prune-cost", "'much'", "a number"]),
        ([*SUBMIT, "--prune-option", "speed=2"], ["pruning.speed=2", "allowed", "reuse"]),
        ([*SUBMIT, "--prune-option", "reuse"], ["--prune-option", "reuse", "NAME=VALUE"]),
        ([*SUBMIT, "--prune", "--set", "pruning=1"], ["pruning=1", "an object"]),
        (["weights", "nothing", "--out", "w"], ["nothing", "does not exist"]),
        (["download", "nothing", "--point", "x"], ["--point", "'x'", "whole number"]),
        ([*SUBMIT, "--request", "/nowhere/x.json"], ["/nowhere/x.json", "No such file"]),
        (["show", "nothing"], ["nothing", "does not exist"]),
        (["watch", "nothing"], ["nothing", "does not exist"]),
        (["cancel", "nothing"], ["nothing", "does not exist"]),
        (["download", "nothing"], ["nothing", "does not exist"]),
        (["list", "--limit", "0"], ["--limit", "0"]),
        (["list", "--status", "lost"], ["lost", "queued"]),
        (["list", "--url", "nowhere"], ["nowhere", "http://HOST:PORT"]),
        (["sample", "--schedule", "/nowhere/x.json"], ["/nowhere/x.json", "No such file"]),
    ],
)
def test_bad_input_ends_with_2_and_names_what_is_wrong(
    run: Run, arguments: list[str], expected: list[str]
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    missing = [part for part in expected if part not in done.stderr]
    assert not missing, f"{missing} not in {done.stderr}"
    assert "Traceback" not in done.stderr
    assert run("list", "--status", "queued", "--json").stdout == ""


def test_errors_are_json_where_json_was_asked_for(run: Run) -> None:
    done = run("show", "nothing", "--json")
    assert done.returncode == 2
    assert json.loads(done.stderr)["code"] == "not-found"


def test_a_service_that_is_away_ends_with_1(run: Run) -> None:
    done = run("list", url="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "make serve" in done.stderr


def test_list_show_and_cancel_speak_in_lines_and_in_json(run: Run) -> None:
    search_id = submit(run)
    header, first = run("list", "--limit", "1").stdout.splitlines()
    assert header.split("\t")[:3] == ["id", "status", "model"]
    assert first.split("\t")[:3] == [search_id, "queued (place 1 in the queue)", "zoo:digits"]
    assert json.loads(run("list", "--limit", "1", "--json").stdout)["id"] == search_id
    assert f"id\t{search_id}" in run("show", search_id).stdout
    assert json.loads(run("show", search_id, "--json").stdout)["id"] == search_id
    assert run("cancel", search_id).stdout == f"{search_id} cancelled\n"
    assert json.loads(run("cancel", search_id, "--json").stdout)["status"] == "cancelled"
    assert "zoo:digits" in run("models").stdout
    listed = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    assert [model["name"] for model in listed] == ["zoo:cifar10-16", "zoo:digits"]


def test_watching_a_search_that_succeeds_shows_its_report_best_first(
    run: Run, engine: Engine
) -> None:
    search_id = submit(run)
    lease = claim(engine)
    report_progress(engine, lease, 12_345)
    succeed(engine, lease)
    done = run("watch", search_id)
    assert done.returncode == 0, done.stderr
    assert "progress search: best small-batch FID 4.50, 12.3k/200.0k calls" in done.stdout
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") > 3]
    assert [row[0] for row in rows] == ["schedule", "searched", "leading", "broken"]
    assert rows[1][2:4] == ["3.25", "0.25"]


def test_watching_as_json_prints_every_event(run: Run) -> None:
    search_id = submit(run)
    run("cancel", search_id)
    done = run("watch", search_id, "--json")
    assert done.returncode == 1, "it did not succeed"
    assert [json.loads(line)["kind"] for line in done.stdout.splitlines()] == [
        "queued",
        "cancelled",
    ]


@pytest.mark.parametrize("is_terminal", [False, True], ids=["pipe", "terminal"])
def test_ctrl_c_detaches_says_how_to_return_and_leaves_the_search_alone(
    run: Run, url: str, is_terminal: bool
) -> None:
    search_id = submit(run)
    ours, theirs = pty.openpty() if is_terminal else os.pipe()
    with subprocess.Popen(
        [*CLI, "watch", search_id],
        cwd=ROOT,
        env={**os.environ, "FEWSTEP_URL": url, "TERM": "xterm"},
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _read_until(ours, b"queued")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT_S)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 130, errors
    assert f"Return with: fewstep watch {search_id}" in errors
    with Client(url) as client:
        assert client.show(search_id).status is SearchStatus.QUEUED


def test_a_downloaded_schedule_draws_the_same_images_each_time(
    run: Run, engine: Engine, tmp_path: Path
) -> None:
    search_id, schedule = finished(run, engine)
    file = tmp_path / "schedule.json"
    assert run("download", search_id, "--out", str(file)).returncode == 0
    assert Schedule.load(file) == schedule
    assert run("download", search_id).stdout == schedule.to_json()
    pictures = [tmp_path / "one.png", tmp_path / "two.png"]
    for picture in pictures:
        options = ["--schedule", str(file), "--num", "5", "--out", str(picture)]
        done = run("sample", *options, url="http://127.0.0.1:9")  # needs no service
        assert done.returncode == 0, done.stderr
    first, second = (picture.read_bytes() for picture in pictures)
    assert first == second
    # 3 columns and 2 rows of 8x8 images, enlarged eight times.
    assert (int.from_bytes(first[16:20]), int.from_bytes(first[20:24])) == (192, 128)


def test_help_of_every_command_needs_neither_torch_nor_http() -> None:
    code = (
        "import sys\n"
        "from fewstep.cli import app\n"
        "try:\n app(sys.argv[1:])\n"
        "except SystemExit as end:\n assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'httpx2'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-c", code, command, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "Example: fewstep" in done.stdout, command


def test_the_list_of_commands_loads_no_dependency_but_what_prints_it() -> None:
    """What help waits for; its seconds are up to the machine."""
    code = (
        "import sys\n"
        "from fewstep.cli import app\n"
        "try:\n app(['--help'])\n"
        "except SystemExit as end:\n assert not end.code, end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    needed = {re.split(r"[^\w.-]", line)[0] for line in requires("fewstep") or ()}
    loaded = set(done.stderr.split())
    assert _normal(needed) & _normal(
        distribution
        for package, distributions in packages_distributions().items()
        if package in loaded
        for distribution in distributions
    ) == {"rich", "typer"}


def _normal(names: Iterable[str]) -> set[str]:
    """Names of distributions, all spelt in one way."""
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def _read_until(descriptor: int, expected: bytes) -> None:
    """Read what a program prints until it has printed `expected`."""
    seen, deadline = b"", time.monotonic() + TIMEOUT_S
    while expected not in seen:
        assert time.monotonic() < deadline, seen
        seen += os.read(descriptor, 4096)
