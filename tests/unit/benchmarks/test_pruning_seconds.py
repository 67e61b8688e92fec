"""The benchmark of pruned networks' seconds: what it cuts, and what it writes and prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.pruning_seconds import (
    SHARES,
    VECTOR,
    dearest_cut,
    main,
    networks,
    no_body,
    uniform_widths,
    whole_vectors,
)
from fewstep.networks.models import resolve
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.configuration import NetworkConfiguration, kept_width
from fewstep.networks.pruning.macs import adm_macs
from tests.model_folder import write_model

CONFIG = resolve("zoo:cifar10-16").unet_config()
BLOCKS = adm_blocks(CONFIG)


def share_of(configuration: NetworkConfiguration) -> float:
    full = adm_macs(CONFIG, NetworkConfiguration(), 16).total.macs
    return adm_macs(CONFIG, configuration, 16).total.macs / full


@pytest.mark.parametrize("share", SHARES)
def test_every_way_of_cutting_comes_near_its_share(share: float) -> None:
    _, uniform = uniform_widths(CONFIG, 16, share)
    assert share_of(uniform) == pytest.approx(share, abs=0.02)
    bodies = dearest_cut(CONFIG, 16, share, no_body)
    assert share <= share_of(bodies) < share + 0.02
    assert all(not choice.has_body for _, choice in bodies.choices)
    vectors = dearest_cut(CONFIG, 16, share, whole_vectors)
    assert share <= share_of(vectors) < share + 0.05, "half of every width is 0.541"
    for block in BLOCKS:
        assert kept_width(block, vectors.get(block.name)) % VECTOR == 0


def test_the_full_network_comes_first_and_again() -> None:
    found = list(networks(CONFIG, 16))
    assert [name for name, _ in found[:2]] == ["full", "full again"]
    assert [configuration.choices for _, configuration in found[:2]] == [(), ()]
    assert len(found) == 2 + 3 * len(SHARES)
    for _, configuration in found:
        configuration.check(BLOCKS)


def test_the_table_and_the_file_say_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path)
    out = tmp_path / "results" / "seconds.json"
    size = ["--images", "2", "--turns", "2", "--clock", "processor"]
    main(["--model", "file:random", "--root", str(tmp_path), *size, "--out", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["machine"]["torch"]
    assert (found["images"], found["turns"], found["clock"]) == (2, 2, "processor")
    full, again = found["rows"][:2]
    assert full["time_share"] == [1.0, 1.0, 1.0]
    assert full["macs"] == again["macs"]
    for row in found["rows"]:
        assert 0.0 < row["ms_per_image"][0] <= row["ms_per_image"][1] <= row["ms_per_image"][2]
        assert row["macs_share"] == row["macs"] / full["macs"] <= 1.0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(found["rows"])
    assert found["device"] in lines[0]


def test_the_processor_s_clock_is_refused_where_it_would_mislead(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--clock", "processor", "--threads", "2"])
    assert "--threads 1" in capsys.readouterr().err
