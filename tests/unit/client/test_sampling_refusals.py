"""What `fewstep sample` refuses, and that it says what is allowed instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.unit.client.program_run import Sample
from tests.unit.client.sampling_inputs import MODEL, digits, left_half

DDIM = [*MODEL, "--solver", "ddim", "--nfe", "4"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["--model", "missing", "--schedule"]),
        (MODEL, ["--solver", "missing"]),
        ([*MODEL, "--solver", "ddim"], ["nfe: missing", "one of nfe, steps and times"]),
        ([*DDIM, "--steps", "4"], ["nfe=4, steps=4", "one of"]),
        ([*DDIM, "--times", "9,1"], ["nfe=4, times=9,1", "one of"]),
        ([*MODEL, "--solver", "heun", "--nfe", "4"], ["nfe=4", "heun", "1, 3, 5"]),
        ([*MODEL, "--solver", "ddim", "--nfe", "0"], ["nfe=0", "1 to 1000"]),
        ([*MODEL, "--solver", "ddim", "--steps", "1001"], ["steps=1001", "1 to 1000"]),
        ([*MODEL, "--solver", "unipc-3", "--steps", "2"], ["steps=2", "3 steps and more"]),
        ([*MODEL, "--solver", "dimm", "--nfe", "4"], ["solver='dimm'", "ddim"]),
        (["--model", "zoo:no", "--solver", "ddim", "--nfe", "4"], ["zoo:no", "zoo:digits"]),
        ([*DDIM, "--grid", "even"], ["grid='even'", "linspace"]),
        ([*DDIM, "--option", "eta"], ["eta", "NAME=VALUE"]),
        ([*DDIM, "--option", "eta=1"], ["options.eta", "no options"]),
        (
            [*MODEL, "--solver", "ddpm", "--nfe", "4", "--option", "eta=2"],
            ["options.eta=2.0", "from 0 to 1"],
        ),
        (
            [*MODEL, "--solver", "ddpm", "--nfe", "4", "--option", "eta=1", "--option", "eta=0"],
            ["eta twice", "once"],
        ),
        ([*MODEL, "--solver", "ddim", "--times", "1,9"], ["--times='1,9'", "decrease"]),
        ([*MODEL, "--solver", "ddim", "--times", "a,b"], ["--times='a,b'", "999,700"]),
        ([*MODEL, "--solver", "ddim", "--times", "1000,9"], ["times", "1000", "999 to 0"]),
        (
            [*MODEL, "--solver", "ddim", "--times", "9,1", "--grid", "linspace"],
            ["grid='linspace'", "not with times"],
        ),
        ([*DDIM, "--guidance", "magic"], ["guidance='magic'", "classifier-free"]),
        ([*DDIM, "--guidance-scale", "-1"], ["guidance_scale=-1.0", "from 0"]),
        (
            [*DDIM, "--guidance", "none", "--guidance-scale", "2"],
            ["guidance_scale=2", "allowed: 1"],
        ),
        ([*MODEL, "--solver", "ltsp2", "--nfe", "4"], ["guidance='none'", "classifier"]),
        ([*DDIM, "--label", "10"], ["label=10", "0 to 9"]),
        ([*DDIM, "--guidance", "inpainting"], ["--condition", "missing"]),
        ([*DDIM, "--condition", "x"], ["--condition='x'", "nothing reads it", "inpainting"]),
        ([*DDIM, "--through-denoiser"], ["--through-denoiser", "inpainting"]),
        (
            [*DDIM, "--guidance", "classifier", "--through-denoiser"],
            ["--through-denoiser", "'classifier'", "text"],
        ),
        ([*DDIM, "--impute"], ["--impute", "ddim", "ltsp2"]),
        ([*DDIM, "--dlg", "eta"], ["--dlg='eta'", "NAME=VALUE"]),
        ([*DDIM, "--dlg", "eta=1,eta=2"], ["twice"]),
        ([*DDIM, "--dlg", "eta=0.1,num_skip=2,nim=3"], ["dlg.nim=3", "chains, eta, num_skip"]),
        ([*DDIM, "--dlg", "eta=0.1"], ["dlg.num_skip", "no default"]),
        ([*DDIM, "--dlg", "eta=nan,num_skip=1"], ["dlg.eta", "above 0"]),
        ([*DDIM, "--dlg", "eta=0.1,num_skip=1,chains=0"], ["dlg.chains=0", "1 to 4096"]),
        ([*DDIM, "--dlg", "eta=0.1,num_skip=1,adjust=mala"], ["dlg.adjust='mala'", "none"]),
        ([*DDIM, "--out", "/nowhere/x.png"], ["/nowhere/x.png", "No such file"]),
        ([*DDIM, "--num", "0"], ["--num=0", "1 to 4096"]),
    ],
)
def test_bad_input_ends_with_2_and_says_what_is_allowed(
    sample: Sample, arguments: list[str], expected: list[str]
) -> None:
    done = sample(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    missing = [part for part in expected if part not in done.stderr]
    assert not missing, f"{missing} not in {done.stderr}"
    assert not Path("samples.png").exists()


@pytest.mark.parametrize(
    ("tensors", "guidance", "expected"),
    [
        ({"mask": left_half()}, "inpainting", ["condition.image: missing", "mask"]),
        ({"image": digits()}, "inpainting", ["condition.mask: missing", "image"]),
        ({"image": digits()[0, 0], "mask": left_half()}, "inpainting", ["image", "(8, 8)"]),
        ({"image": digits()[..., :4].clone(), "mask": left_half()}, "inpainting", ["(1, 8, 4)"]),
        ({"image": digits(), "mask": torch.ones(4, 8)}, "inpainting", ["mask", "(4, 8)"]),
        ({"image": digits(), "mask": left_half() / 2}, "inpainting", ["condition.mask", "1 where"]),
        ({"image": digits() + 1, "mask": left_half()}, "inpainting", ["to 2", "-1 to 1"]),
        ({"image": digits() * float("nan")}, "colourisation", ["nan", "-1 to 1"]),
        ({"image": torch.zeros(1, 3, 3)}, "super-resolution", ["(1, 3, 3)", "whole factor"]),
        ({"image": torch.zeros(1, 4, 2)}, "super-resolution", ["(1, 4, 2)", "whole factor"]),
        ({"image": torch.zeros(3, 4, 4)}, "super-resolution", ["(3, 4, 4)"]),
        ({"image": torch.zeros(1, 2, 2)}, "colourisation", ["(1, 2, 2)", "half"]),
    ],
)
def test_a_condition_file_of_another_content_is_refused(
    sample: Sample,
    tmp_path: Path,
    tensors: dict[str, Tensor],
    guidance: str,
    expected: list[str],
) -> None:
    save_file(tensors, tmp_path / "known.safetensors")
    done = sample(*DDIM, "--guidance", guidance, "--condition", "known.safetensors")
    assert (done.returncode, done.stdout) == (2, ""), done
    missing = [part for part in expected if part not in done.stderr]
    assert not missing, f"{missing} not in {done.stderr}"


@pytest.mark.parametrize(
    ("content", "expected"), [(b"\x80\x04K\x01.", "a safetensors file"), (None, "No such file")]
)
def test_a_condition_file_that_is_no_safetensors_is_refused(
    sample: Sample, content: bytes | None, expected: str
) -> None:
    if content is not None:
        Path("known").write_bytes(content)
    done = sample(*DDIM, "--guidance", "inpainting", "--condition", "known")
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "--condition='known'" in done.stderr
    assert expected in done.stderr


@pytest.mark.parametrize(
    "direct",
    [
        ["--model", "zoo:digits"],
        ["--nfe", "4"],
        ["--times", "9,1"],
        ["--option", "eta=1"],
        ["--label", "3"],
        ["--guidance-scale", "1"],
        ["--through-denoiser"],
        ["--no-clip"],
        ["--dlg", "eta=1,num_skip=1"],
    ],
)
def test_nothing_may_be_said_beside_a_schedule(sample: Sample, direct: list[str]) -> None:
    done = sample("--schedule", "none.json", *direct)
    assert done.returncode == 2
    name = direct[0].replace("--no-clip", "--clip")
    assert f"{name}: not with --schedule" in done.stderr


def test_bad_input_is_refused_before_torch_is_imported() -> None:
    code = (
        "import sys\n"
        "from fewstep.cli import main\n"
        "try:\n main(sys.argv[1:])\n"
        "except SystemExit as end:\n assert end.code == 2, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = ["sample", *MODEL, "--solver", "ltsp2", "--nfe", "4"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
