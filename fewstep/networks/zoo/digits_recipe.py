"""How `zoo:digits` is built and trained."""

from __future__ import annotations

from pathlib import Path

from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.zoo.data import Images, Labels, Split
from fewstep.networks.zoo.digits_data import NUM_CLASSES, load_digits_images
from fewstep.networks.zoo.recipe import ClassifierLayers, Recipe, TrainingSettings
from fewstep.process import VPDiscrete

# Groups of four channels: with 32 groups each norm would see one channel, undo whatever is added
# to that channel before it, and cost more.
_UNET = UNetConfig(
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


def _load(data: Path | None, split: Split) -> tuple[Images, Labels]:
    if data is not None:
        raise InvalidInput(
            f"data={str(data)!r}: the images of zoo:digits come with scikit-learn; allowed: none",
            field="data",
        )
    return load_digits_images(split)


DIGITS = Recipe(
    model="digits",
    load=_load,
    unet=_UNET,
    process=VPDiscrete.linear(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02),
    image_shape=(1, 8, 8),
    num_classes=NUM_CLASSES,
    settings=TrainingSettings(
        num_steps=10_000,  # fewer leave more of the distance that is not the floor
        batch_size=128,
        warmup_steps=300,
        ema_decay=0.999,
    ),
    classifier=ClassifierLayers(kind="digit", num_features=64),
    classifier_steps=2400,
    noisy_label_layers=((32, 1), (64, 2), (64, 1)),
    noisy_label_steps=4000,
    noise_level_steps=6000,
    references=("all", "heldout", "train"),
    # Second order at 20 calls is as good as ddim at 100, and cheap. It scores 0.23 at 1024 images;
    # attention with a wrong number or order of heads 0.53 to 0.63, other norm groups 1.9, a wrong
    # network time 27.
    teacher={
        "solver": "dpm-solver++-2m",
        "grid": "log-snr",
        "nfe": 20,
        "num_samples": 1024,
        "max_fid": 0.34,
        "max_fid_to": {"digits-heldout": 1.1},
    },
    licence="Apache-2.0 (weights); digits: UCI ML repository, CC BY 4.0",
    threads=1,  # such a small network gains nothing from more
)
