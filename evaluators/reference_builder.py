"""Builds reference statistics from arrays, a folder of images, or a bundled model's own images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from evaluators.features import extractor_identity, load_extractor
from evaluators.references import ReferenceStatistics
from fewstep.errors import FewstepError, InvalidInput
from fewstep.networks.models import resolve
from fewstep.networks.zoo.data import Split
from fewstep.networks.zoo.recipes import RECIPES, recipe_of
from fewstep.registry import Registry

Bytes = npt.NDArray[np.uint8]
Resize = Callable[[Image.Image, tuple[int, int]], Image.Image]

SUFFIXES = (".jpeg", ".jpg", ".png")
SPLITS: tuple[Split, ...] = get_args(Split)
_BATCH = 256
_MODES = {1: "L", 3: "RGB"}

# How images come to the model's size, given as (width, height). The rule is part of the file.
RESIZE_RULES: Registry[Resize] = Registry("resize rule")


def _require_size(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if image.size != size:
        raise InvalidInput(
            f"is {image.size[0]}x{image.size[1]}; resize rule `none` allows {size[0]}x{size[1]}"
        )
    return image


def _center_crop_bicubic(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Cut first, so that nothing beyond the cut bleeds into the edge."""
    scale = min(image.width / size[0], image.height / size[1])
    width, height = round(size[0] * scale), round(size[1] * scale)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    part = image.crop((left, top, left + width, top + height))
    return part.resize(size, Image.Resampling.BICUBIC)


RESIZE_RULES.register("none", _require_size)
# The largest centred part of the right aspect, then bicubic with pillow's antialiasing.
RESIZE_RULES.register("center-crop-bicubic", _center_crop_bicubic)


def build_reference(
    images: Bytes, *, extractor: str, source: str, resize_rule: str = "none", device: str = "cpu"
) -> ReferenceStatistics:
    """Statistics of images (N, C, H, W) uint8, N of at least 2, under a registered extractor.

    Args:
        images: The images, already at the model's size.
        extractor: Name of the extractor.
        source: What the images are, in words; stored.
        resize_rule: How they came to their size; stored.
        device: Where the extractor runs.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) < 2:
        raise InvalidInput(
            f"images: {images.dtype} of shape {images.shape}: must be uint8 (N, C, H, W), N >= 2",
            field="images",
        )
    network = load_extractor(extractor, device=device)
    with torch.inference_mode():
        batches = torch.from_numpy(images).split(_BATCH)
        features = torch.cat([network.features(batch.to(device)).cpu() for batch in batches])
    _, channels, height, width = images.shape
    return ReferenceStatistics.from_features(
        features.numpy(),
        extractor=extractor_identity(extractor),
        image_shape=(channels, height, width),
        resize_rule=resize_rule,
        source=source,
    )


def read_images(folder: Path, image_shape: tuple[int, int, int], *, resize_rule: str) -> Bytes:
    """All PNG and JPEG files below a folder, in order of their paths, as (N, C, H, W) uint8.

    Raises:
        InvalidInput: no images there, or one that cannot be read or does not fit the rule.
        UnknownName: no such resize rule.
    """
    resize = RESIZE_RULES.get(resize_rule, field="resize")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InvalidInput(
            f"images={str(folder)!r}: no files there that end in {', '.join(SUFFIXES)}",
            field="images",
        )
    return np.stack([_read_image(path, image_shape, resize) for path in paths])


def _read_image(path: Path, image_shape: tuple[int, int, int], resize: Resize) -> Bytes:
    channels, height, width = image_shape
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert(_MODES[channels])
            pixels = np.asarray(resize(upright, (width, height)))
    except InvalidInput as error:
        raise InvalidInput(f"image {str(path)!r} {error.message}", field="images") from error
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InvalidInput(
            f"image {str(path)!r}: cannot be read: {error}", field="images"
        ) from error
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def build_for_model(
    model: str,
    *,
    split: Split | None,
    folder: Path | None,
    resize_rule: str,
    data: Path | None = None,
    roots: Sequence[Path] = (),
) -> ReferenceStatistics:
    """Statistics for a model: of a folder, or of a split of the images it was trained on.

    Args:
        model: Model reference.
        split: Which of the images of a model that has a recipe.
        folder: A folder of images instead.
        resize_rule: How a folder's images come to the model's size.
        data: The archive that holds the split, where the images are not bundled.
        roots: Folders of model folders.
    """
    card = resolve(model, roots=roots)
    if folder is not None:
        images = read_images(folder, card.image_shape, resize_rule=resize_rule)
        source = f"{len(images)} images of a folder named {folder.name}"
    elif split is not None and any(model == recipe.name for recipe in RECIPES.values()):
        resize_rule = "none"
        images, _ = recipe_of(model).load(data, split)
        source = f"{model}, split {split}"
    else:
        known = ", ".join(recipe.name for recipe in RECIPES.values())
        raise InvalidInput(
            f"split={split!r} of model={model!r}: known images are those of {known}, splits "
            f"{', '.join(SPLITS)}; for another model name a folder with --images",
            field="split",
        )
    return build_reference(images, extractor=card.extractor, source=source, resize_rule=resize_rule)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build a reference file from the command line."""
    options = _parser().parse_args(arguments)
    try:
        statistics = build_for_model(
            options.model,
            split=options.split,
            folder=options.images,
            resize_rule=options.resize,
            data=options.data,
            roots=options.root,
        )
    except FewstepError as error:
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(2) from error
    sha256 = statistics.save(options.out)
    sys.stdout.write(f"{options.out}: {statistics.num_images} images, sha256 {sha256}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluators.references", description="Build reference statistics."
    )
    parser.add_argument("--model", required=True, help="model whose extractor and size are used")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--split", choices=SPLITS, help="a split of the images of a zoo model")
    images.add_argument("--images", type=Path, help="a folder of PNG and JPEG files")
    parser.add_argument("--data", type=Path, help="archive of the split, where it is not bundled")
    parser.add_argument("--resize", default="none", help="none, or center-crop-bicubic")
    parser.add_argument("--root", type=Path, action="append", default=[], help="model root folder")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    return parser
