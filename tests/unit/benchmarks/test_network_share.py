"""The benchmark of the network's share of the time: it counts right and prints what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.network_share import main
from tests.model_folder import write_model


@pytest.mark.parametrize("slots", [1, 2])
def test_the_share_is_printed_as_json_with_the_calls_that_were_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], slots: int
) -> None:
    write_model(tmp_path)
    size = ["--steps", "2", "--num-samples", "32", "--micro-batch", "64", "--slots", str(slots)]
    main(["--model", "file:random", "--root", str(tmp_path), *size])
    document, line = capsys.readouterr().out.splitlines()
    found = json.loads(document)
    assert found["network_calls"] == found["num_candidates"] * 32 * 2
    assert 0.0 < found["share"] <= 1.0
    assert f"{found['share']:.1%} of the wall time inside the network" in line
