"""`fewstep solvers` and `fewstep grids`: what they list is what the registries hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fewstep.networks.models import resolve
from fewstep.process import FlowMatching
from fewstep.program import trace
from fewstep.solvers import ALIASES, SOLVERS
from fewstep.solvers.options import option_specs
from fewstep.spacing import SPACINGS, grid, named_grids
from tests.unit.client.program_run import run_program

Capture = pytest.CaptureFixture[str]


def test_every_solver_and_alias_is_listed(capfd: Capture) -> None:
    done = run_program(capfd, "solvers", "--json")
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [facts["name"] for facts in listed] == SOLVERS.names()
    aliases = {alias: facts["name"] for facts in listed for alias in facts["aliases"]}
    assert aliases == ALIASES


@pytest.mark.parametrize("name", ["ddpm", "stsp2", "plms4", "scire-3m", "unipc-3"])
def test_a_solvers_facts_are_those_of_the_registry_and_of_a_trace(
    capfd: Capture, name: str
) -> None:
    facts = json.loads(run_program(capfd, "solvers", name, "--json").stdout)
    solver, process = SOLVERS.get(name), resolve("zoo:digits").make_process()
    traced = trace(grid("log-snr", process, 10), process=process, solver=name)
    assert facts["calls_of_10_steps"] == traced.calls
    assert (facts["order"], facts["memory"]) == (solver.order, solver.memory)
    assert facts["is_stochastic"] == (traced.noise_terms > 0)
    assert facts["is_split"] == ("gradient" in traced.calls)
    assert list(facts["options"]) == list(option_specs(solver.options))
    for key, spec in option_specs(solver.options).items():
        told = facts["options"][key]
        assert (told["default"], told["per_step"]) == (spec.default, spec.per_step)
        assert tuple(told["genes"]) == spec.genes
        assert told["allowed"] == spec.allowed


def test_an_alias_shows_the_method_it_means(capfd: Capture) -> None:
    done = run_program(capfd, "solvers", "euler")
    assert done.stdout.splitlines()[1].startswith("ddim\tdeis-logrhoab0, ")
    assert "no options" in done.stdout


def test_one_solver_shows_its_options(capfd: Capture) -> None:
    lines = run_program(capfd, "solvers", "ddpm").stdout.splitlines()
    assert ["eta", "1", "numbers from 0 to 1", "no", "no"] in [
        line.split("\t")[:5] for line in lines
    ]


def test_the_page_about_solvers_is_that_of_this_registry(capfd: Capture, repository: Path) -> None:
    page = (repository / "docs" / "solvers.md").read_text(encoding="utf-8")
    printed = run_program(capfd, "solvers", "--markdown").stdout
    assert page == printed, "run: fewstep solvers --markdown > docs/solvers.md"


def test_listing_solvers_needs_neither_torch_nor_the_client_of_the_service() -> None:
    code = (
        "import sys\n"
        "from fewstep.cli import app\n"
        "try:\n app(sys.argv[1:])\n"
        "except SystemExit as end:\n assert not end.code, end.code\n"
        "loaded = {'torch', 'scipy', 'httpx2'} & sys.modules.keys()\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code, "solvers"], check=True, stdout=subprocess.DEVNULL)


def test_grids_of_a_model_are_indices(capfd: Capture) -> None:
    done = run_program(capfd, "grids", "--steps", "4", "--json")
    process = resolve("zoo:digits").make_process()
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["name"] for entry in listed] == list(named_grids(process, 4)) == SPACINGS.names()
    (leading,) = (entry for entry in listed if entry["name"] == "leading")
    assert leading["indices"] == [750, 500, 250, 0]
    assert leading["rho"] == [process.at(t).rho for t in leading["times"]]
    assert "leading\t750 500 250 0\n" in run_program(capfd, "grids", "--steps", "4").stdout


def test_grids_of_a_process_without_a_table_are_times(capfd: Capture) -> None:
    description = json.dumps(FlowMatching(shift=3.0).describe())
    done = run_program(capfd, "grids", "--process", description, "--steps", "3", "--json")
    listed = {entry["name"]: entry for entry in map(json.loads, done.stdout.splitlines())}
    expected = named_grids(FlowMatching(shift=3.0), 3)
    assert {name: (*entry["times"], 0.0) for name, entry in listed.items()} == expected
    assert "indices" not in listed["uniform-t"]
    assert "leading" not in listed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["solvers", "dimm"], ["solver='dimm'", "ddim"]),
        (["solvers", "ddim", "--markdown"], ["--markdown", "alone"]),
        (["grids", "--steps", "0"], ["steps=0", "1 to 1000"]),
        (["grids", "--steps", "1001"], ["steps=1001", "1 to 1000"]),
        (["grids", "--steps", "few"], ["--steps", "'few'", "whole number"]),
        (["grids"], ["--steps"]),
        (["grids", "--steps", "3", "--model", "zoo:no"], ["model", "zoo:no", "zoo:digits"]),
        (["grids", "--steps", "3", "--process", "vp"], ["--process='vp'", "JSON object"]),
        (["grids", "--steps", "3", "--process", '{"family": "x"}'], ["'x'", "vp-linear"]),
        (
            ["grids", "--steps", "3", "--process", '{"family": "edm"}', "--model", "zoo:digits"],
            ["--process", "--model", "one of the two"],
        ),
    ],
)
def test_bad_input_ends_with_2_and_says_what_is_allowed(
    capfd: Capture, arguments: list[str], expected: list[str]
) -> None:
    done = run_program(capfd, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    missing = [part for part in expected if part not in done.stderr]
    assert not missing, f"{missing} not in {done.stderr}"
