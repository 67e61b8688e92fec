"""`python -m search`: bad input is exit code 2 with field, value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fewstep.schedule import Schedule
from search.__main__ import main

BASE = ["--model", "zoo:digits", "--solver", "ddim"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "zoo:nothing", "--nfe", "4"], ["model='zoo:nothing'", "zoo:digits"]),
        ([*BASE, "--nfe", "0"], ["nfe=0", "1"]),
        ([*BASE, "--nfe", "1001"], ["nfe=1001", "1000"]),
        ([*BASE], ["nfe"]),
        ([*BASE, "--nfe", "4", "--solver", "dmid"], ["solver='dmid'", "dpm-solver++-2m"]),
        ([*BASE, "--nfe", "4", "--strategy", "luck"], ["strategy", "luck", "evolution"]),
        ([*BASE, "--nfe", "4", "--budget", "100"], ["budget=100", "1024"]),
        ([*BASE, "--nfe", "2", "--initial-times", "5,5"], ["initial_times[0][1]", "5"]),
        ([*BASE, "--nfe", "2", "--initial-times", "5,x"], ["initial_times='5,x'", "integers"]),
        ([*BASE, "--nfe", "2", "--initial-times", "1000,5"], ["initial_times[0]", "999"]),
        ([*BASE, "--nfe", "4", "--slots", "0"], ["slots=0", "1"]),
        ([*BASE, "--nfe", "4", "--option", "eta"], ["--option='eta'", "NAME=VALUE"]),
        ([*BASE, "--nfe", "4", "--option", "eta=1"], ["solver_options.eta", "allowed"]),
        ([*BASE, "--nfe", "4", "--search-option", "phi"], ["search_options[0]='phi'"]),
        ([*BASE, "--nfe", "4", "--dlg", "chains=48"], ["dlg.chains=48", "divisors of 256"]),
        ([*BASE, "--nfe", "4", "--dlg", "speed"], ["--dlg='speed'", "NAME=VALUE"]),
        ([*BASE, "--nfe", "4", "--prune", "cost=0.01"], ["pruning.cost=0.01", "0.1943 and more"]),
        ([*BASE, "--nfe", "4", "--guidance", "x"], ["guidance='x'", "classifier"]),
        ([*BASE, "--nfe", "4", "--out", "/nowhere/at/all.json"], ["out=", "folder"]),
        ([*BASE, "--nfe", "37", "--strategy", "paper", "--budget", "10000000"], ["steps=37"]),
    ],
)
def test_bad_input_is_exit_2_and_says_what_is_allowed(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert all(word in captured.err for word in words), captured.err
    assert "Traceback" not in captured.err


def test_an_unknown_option_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*BASE, "--nfe", "4", "--speed", "9"])
    assert caught.value.code == 2
    assert "--speed" in capsys.readouterr().err


def test_a_small_search_on_the_bundled_model_writes_a_schedule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real network, real features; too few images for the numbers to mean anything."""
    out = tmp_path / "schedule.json"
    small = ["--nfe=2", "--budget=1024", "--fidelities=64", "--report-images=64", "--report-sets=2"]
    assert main([*BASE, *small, "--json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    schedule = Schedule.load(out)
    assert printed["schedule"] == json.loads(out.read_text())
    assert schedule.solver.network_calls == 2
    assert printed["report"]["calls"] <= 1024
    assert len(printed["report"]["rows"]) > 5
