"""How `zoo:digits` is built and trained, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.card import ARCHITECTURE_KIND, Teacher
from fewstep.networks.zoo.data import NUM_CLASSES
from fewstep.process import VPDiscrete

NULL_LABEL = NUM_CLASSES  # the extra row of the label table
IMAGE_SHAPE = (1, 8, 8)
PROCESS = VPDiscrete.linear(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02)
# Groups of four channels: with 32 groups each norm would see one channel, undo whatever is added
# to that channel before it, and cost more.
DIGITS_UNET = UNetConfig(
    in_channels=1,
    model_channels=32,
    out_channels=1,
    num_res_blocks=1,
    attention_resolutions=(2,),
    dropout=0.1,
    channel_mult=(1, 2),
    num_classes=NUM_CLASSES + 1,
    num_head_channels=32,
    use_scale_shift_norm=True,
    norm_groups=8,
)
# The gate before a search. Second order at 20 calls is as good as ddim at 100, and cheap. It scores
# 0.23 at 1024 images; attention with a wrong number or order of heads 0.53 to 0.63, other norm
# groups 1.9, a wrong network time 27.
TEACHER: Teacher = {
    "solver": "dpm-solver++-2m",
    "grid": "log-snr",
    "nfe": 20,
    "num_samples": 1024,
    "max_fid": 0.34,
    "max_fid_to": {"digits-heldout": 1.1},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """All that a training run depends on beside the data."""

    seed: int = 0
    num_steps: int = 10_000  # fewer leave more of the distance that is not the floor
    batch_size: int = 128
    peak_rate: float = 1e-3
    warmup_steps: int = 300
    label_dropout: float = 0.1  # share of labels replaced by the null label
    ema_decay: float = 0.999
    max_gradient_norm: float = 1.0
    autocast: bool = True  # bfloat16 in the network; 1.4 times as fast where the CPU has it


def digits_card(weights_sha256: str) -> dict[str, object]:
    """The content of `card.json` for freshly trained weights, before anything was measured."""
    return {
        "name": "zoo:digits",
        "architecture": {"kind": ARCHITECTURE_KIND, **DIGITS_UNET.to_dict()},
        "process": PROCESS.describe(),
        "prediction": "noise",
        "num_classes": NUM_CLASSES,
        "null_label": NULL_LABEL,
        "image_shape": list(IMAGE_SHAPE),
        "clip_denoised": True,
        "weights_file": "unet.safetensors",
        "weights_sha256": weights_sha256,
        "extractor": "zoo-digits-classifier-64",
        "default_reference": "digits-all",
        "references": {
            "digits-all": "reference-all.safetensors",
            "digits-heldout": "reference-heldout.safetensors",
            "digits-train": "reference-train.safetensors",
        },
        "teacher": dict(TEACHER),
        "measured": {},
        "licence": "Apache-2.0 (weights); digits: UCI ML repository, CC BY 4.0",
    }
