"""Conversion of checkpoints: the same tensors come out, and nothing of the file is ever run."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fewstep.errors import ChecksFailed, InvalidInput, UnsafeCheckpoint
from fewstep.networks.adm.encoder import Encoder
from fewstep.networks.adm.encoder_config import EncoderConfig
from fewstep.networks.adm.unet import UNet
from fewstep.networks.checkpoint import read_header
from fewstep.networks.convert import architecture_of, convert, main
from fewstep.networks.zoo.digits_recipe import DIGITS

ENCODER = EncoderConfig(
    image_size=8,
    in_channels=3,
    model_channels=32,
    out_channels=4,
    num_res_blocks=1,
    attention_resolutions=(2,),
    channel_mult=(1, 2),
    pool="spatial",
)


def _saved(path: Path, document: object) -> Path:
    torch.save(document, path)
    return path


def _converted(tmp_path: Path, document: object, **options: Any) -> dict[str, Tensor]:
    out = tmp_path / "out.safetensors"
    convert(_saved(tmp_path / "in.pt", document), out, **options)
    return load_file(out)


def _assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


def test_tensors_of_every_type_come_through_unchanged(tmp_path: Path) -> None:
    floats = torch.tensor([[0.1, -0.0, 3.0], [float("inf"), 1e-40, -7.5]], dtype=torch.float64)
    types = (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool,
    )  # fmt: skip
    document = {
        f"{d}": (floats if d.is_floating_point else torch.arange(6) - 3).to(d) for d in types
    }
    _assert_same(_converted(tmp_path, document), document)


def test_nan_keeps_its_bits(tmp_path: Path) -> None:
    bits = torch.tensor([0x7FC00001, 0x7F800001, -1], dtype=torch.int32)
    found = _converted(tmp_path, {"x": bits.view(torch.float32)})
    assert torch.equal(found["x"].view(torch.int32), bits)


def test_views_and_shared_storages_come_out_as_what_they_show(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    document = {
        "base": base,
        "again": base,
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, ::2],
        "inner": base[1:, 2:4].unsqueeze(0),
        "repeated": base[:1, :1].expand(2, 3),
        "scalar": base[2, 3],
        "empty": base[:0],
    }
    _assert_same(_converted(tmp_path, document), document)


def test_random_strided_views_come_out_as_what_they_show(tmp_path: Path) -> None:
    draw = random.Random(5)
    base = torch.arange(400.0)
    document = {}
    for index in range(60):
        shape = [draw.randint(1, 4) for _ in range(draw.randint(0, 4))]
        stride = [draw.randint(0, 12) for _ in shape]
        document[f"view{index}"] = base.as_strided(shape, stride, draw.randint(0, 200))
    _assert_same(_converted(tmp_path, document), document)


def test_state_of_a_network_comes_through_and_loads(tmp_path: Path) -> None:
    network = UNet(DIGITS.unet)
    state = network.state_dict()
    assert hasattr(state, "_metadata")  # torch hangs it on the dictionary
    _assert_same(_converted(tmp_path, state, config=DIGITS.unet), state)
    entries = read_header(tmp_path / "out.safetensors")  # as strict as for a card's weights
    assert len(entries) == len(state)


def test_parameters_and_names_beyond_ascii_come_through(tmp_path: Path) -> None:
    document = {"größe": nn.Parameter(torch.ones(2)), "a/b c": torch.zeros(1)}
    found = _converted(tmp_path, OrderedDict(document))
    _assert_same(found, {name: value.detach() for name, value in document.items()})


def test_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    source = _saved(tmp_path / "in.pt", UNet(DIGITS.unet).state_dict())
    documents = [convert(source, tmp_path / f"{i}.safetensors") for i in (1, 2)]
    assert documents[0]["sha256"] == documents[1]["sha256"]


def test_half_rounds_floats_and_leaves_the_rest(tmp_path: Path) -> None:
    document = {
        "f64": torch.tensor([1 / 3, float("inf")], dtype=torch.float64),
        "bf16": torch.tensor([0.3], dtype=torch.bfloat16),
        "steps": torch.tensor(70_000),
    }
    found = _converted(tmp_path, document, is_half=True)
    expected = {n: v.half() if v.is_floating_point() else v for n, v in document.items()}
    _assert_same(found, expected)


def test_values_beyond_half_precision_are_refused_by_name(tmp_path: Path) -> None:
    document = {"fine": torch.ones(2), "large": torch.tensor([1.0, -1e6])}
    with pytest.raises(InvalidInput, match=r"tensor 'large': has values up to 1e\+06.*65504"):
        _converted(tmp_path, document, is_half=True)
    assert not list(tmp_path.glob("out*"))


_WATCHED = """
import resource, sys
from pathlib import Path
from fewstep.networks.convert import convert
for name in sys.argv[1:]:
    convert(Path(name), Path(name).with_suffix(".safetensors"))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_is_that_of_one_storage_not_of_the_checkpoint(tmp_path: Path) -> None:
    small = _saved(tmp_path / "small.pt", {"x": torch.ones(4)})
    parts = {f"part{i}": torch.full((1 << 20,), float(i)) for i in range(12)}
    large = _saved(tmp_path / "large.pt", parts)
    command = [sys.executable, "-c", _WATCHED, str(small), str(large)]
    told = subprocess.run(command, check=True, timeout=100, capture_output=True, text=True).stdout
    before, after = (int(line) * 1024 for line in told.split())
    assert large.stat().st_size > 50e6
    assert after - before < 25e6, f"{(after - before) / 1e6:.0f} MB for parts of 4 MB"


NESTED = {"ema": {"x": torch.ones(2)}, "model": {"x": torch.zeros(2)}, "step": 3}


@pytest.mark.parametrize("key", ["ema", "model"])
def test_nested_tensors_are_taken_where_asked(tmp_path: Path, key: str) -> None:
    _assert_same(_converted(tmp_path, NESTED, key=key), NESTED[key])  # type: ignore[arg-type]


def test_nested_tensors_are_never_taken_unasked(tmp_path: Path) -> None:
    with pytest.raises(UnsafeCheckpoint, match="there are tensors under --key ema or model"):
        _converted(tmp_path, NESTED)
    with pytest.raises(
        InvalidInput, match=r"key='net': in\.pt has no such key; allowed: ema, model"
    ):
        _converted(tmp_path, NESTED, key="net")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"x": torch.ones(1), "step": 3}, "'step' is a int, not a tensor"),
        ({"x": {"y": {"z": torch.ones(1)}}}, "'x' is a dict, not a tensor"),
        ({3: torch.ones(1)}, "a int.* is a tensor, not a tensor with a name"),
        ([torch.ones(1)], "holds a list where named tensors belong"),
        ({}, "holds a dict where named tensors belong"),
        (torch.ones(1), "holds a tensor where named tensors belong"),
        ({"__metadata__": torch.ones(1)}, "safetensors keeps this name"),
        ({"x": torch.ones(2, dtype=torch.complex64)}, r"names torch\.ComplexFloatStorage"),
        ({"x": torch.ones(2).to_sparse()}, r"names torch\._utils\._rebuild_sparse_tensor"),
        ({"x": torch.ones(2, dtype=torch.uint16)}, r"names torch\._utils\._rebuild_tensor_v3"),
        ({"x": torch._neg_view(torch.ones(2))}, "'x' is a tensor of a kind that is not read"),
    ],
)
def test_anything_but_named_plain_tensors_is_refused(
    tmp_path: Path, document: object, told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        _converted(tmp_path, document)
    assert not list(tmp_path.glob("out*"))


def test_tensors_that_differ_from_the_options_are_named_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    state = Encoder(ENCODER).state_dict()
    del state["out.0.bias"]
    state["surprise"] = torch.ones(1)
    state["out.2.bias"] = torch.ones(3)
    with pytest.raises(ChecksFailed) as caught:
        _converted(tmp_path, state, config=ENCODER)
    assert caught.value.message == (
        "in.pt: tensors differ from the network described: missing out.0.bias; "
        "unexpected surprise; shape out.2.bias: (3,) instead of (4,)"
    )
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("is_card", [True, False])
def test_command_checks_against_json_and_prints_the_architecture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_file: bool, is_card: bool
) -> None:
    source = _saved(tmp_path / "in.pt", {"ema": Encoder(ENCODER).state_dict()})
    text = json.dumps(architecture_of(ENCODER))
    text = json.dumps({"name": "x", "architecture": json.loads(text)}) if is_card else text
    if is_file:
        (tmp_path / "config.json").write_text(text)
        text = str(tmp_path / "config.json")
    out = tmp_path / "out.safetensors"
    main([str(source), "--out", str(out), "--key", "ema", "--half", "--config", text])
    told = json.loads(capsys.readouterr().out)
    assert told["architecture"] == architecture_of(ENCODER)
    assert (told["tensors"], told["types"]) == (len(load_file(out)), ["F16"])


def test_command_checks_against_flags_in_the_notation_of_the_scripts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "--image_size 64 --num_channels 32 --num_res_blocks 1 --channel_mult 1,1 --num_heads 1"
    source = _saved(tmp_path / "in.pt", {"x": torch.ones(1)})
    with pytest.raises(SystemExit) as caught:
        main([str(source), "--out", str(tmp_path / "out.safetensors"), "--flags", flags])
    assert caught.value.code == 2
    assert "missing input_blocks.0.0.bias" in capsys.readouterr().err
    config = replace(DIGITS.unet, in_channels=3, out_channels=3, num_classes=None)
    config = replace(config, channel_mult=(1, 1), attention_resolutions=(4, 8), norm_groups=32)
    config = replace(config, num_head_channels=None, num_heads=1, use_scale_shift_norm=True)
    config = replace(config, num_res_blocks=1, dropout=0.0)
    _saved(source, UNet(config).state_dict())
    main([str(source), "--out", str(tmp_path / "out.safetensors"), "--flags", flags])
    assert json.loads(capsys.readouterr().out)["architecture"] == architecture_of(config)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "config='{'"),
        ("nowhere.json", "allowed: JSON, or a file of it"),
        ('{"kind": "dit"}', "config.kind='dit': allowed: 'adm-unet', 'adm-encoder'"),
        ('{"architecture": 3}', "allowed: a JSON object"),
        ('{"kind": "adm-encoder"}', "architecture.image_size: missing"),
    ],
)
def test_command_names_what_is_wrong_with_the_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    source = _saved(tmp_path / "in.pt", {"x": torch.ones(1)})
    with pytest.raises(SystemExit) as caught:
        main([str(source), "--out", str(tmp_path / "out.safetensors"), "--config", text])
    assert caught.value.code == 2
    assert told in capsys.readouterr().err
