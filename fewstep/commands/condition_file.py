"""Read what is known of images from a safetensors file: `image`, and for inpainting `mask`."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fewstep.errors import InvalidInput, UnsafeCheckpoint

# A full image is reduced by this factor, where a small one is what is known.
FACTOR = 2


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        InvalidInput: it cannot be read.
        UnsafeCheckpoint: it is no safetensors file.
    """
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise InvalidInput(
            f"--condition={str(path)!r}: {error.strerror}", field="condition"
        ) from None
    except SafetensorError as error:
        raise UnsafeCheckpoint(
            f"--condition={str(path)!r}: {error}; allowed: a safetensors file", field="condition"
        ) from None


def known_pixels(tensors: dict[str, Tensor], shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) and the mask (1, 1, H, W) of the pixels that are known.

    Raises:
        InvalidInput: a tensor is missing, or of another shape or range.
    """
    images, mask = _images(tensors), _tensor(tensors, "mask")
    if images.shape[1:] != shape:
        raise _wrong_shape("image", images[0], f"{shape}, or a batch of such")
    if tuple(mask.shape) not in (shape[1:], (1, *shape[1:])):
        raise _wrong_shape("mask", mask, f"{shape[1:]} or {(1, *shape[1:])}")
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise InvalidInput(
            "condition.mask: allowed: 1 where a pixel is known, 0 elsewhere",
            field="condition.mask",
        )
    return images, mask.float().reshape(1, 1, *shape[1:])


def small_image(tensors: dict[str, Tensor], shape: tuple[int, int, int]) -> tuple[Tensor, int]:
    """Small images (B, C, h, w) and the factor by which theirs are larger; full ones are halved.

    Raises:
        InvalidInput: the tensor is missing, or its sides do not divide the model's by one factor.
    """
    images = _images(tensors)
    if images.shape[1:] == shape:
        return avg_pool2d(images, FACTOR), FACTOR
    factor = shape[1] // images.shape[2]
    if factor < FACTOR or shape != (images.shape[1], *(factor * n for n in images.shape[2:])):
        raise _wrong_shape(
            "image", images[0], f"{shape}, or one smaller by a whole factor, or a batch of such"
        )
    return images, factor


def grey_image(tensors: dict[str, Tensor], shape: tuple[int, int, int]) -> Tensor:
    """Grey images (B, 1, H, W); of models with one channel, small ones, which stand in for them.

    Raises:
        InvalidInput: the tensor is missing, or neither grey nor of the model's shape.
    """
    if shape[0] == 1:
        images, factor = small_image(tensors, shape)
        if factor != FACTOR:
            raise _wrong_shape("image", images[0], f"{shape}, or half of each side")
        return images
    images = _images(tensors)
    if tuple(images.shape[1:]) not in (shape, (1, *shape[1:])):
        raise _wrong_shape("image", images[0], f"{shape}, or {(1, *shape[1:])}, or a batch")
    return images.mean(dim=1, keepdim=True)


def _images(tensors: dict[str, Tensor]) -> Tensor:
    """`image` as a batch of float32 images in [-1, 1]."""
    image = _tensor(tensors, "image").float()
    images = image if image.dim() == 4 else image[None]
    if images.dim() != 4 or not len(images) or min(images.shape) < 1:
        raise _wrong_shape("image", image, "(C, H, W) or (B, C, H, W)")
    if not bool((images.abs() <= 1.0).all()):  # not finite numbers are not, either
        low, high = images.min().item(), images.max().item()
        raise InvalidInput(
            f"condition.image: values from {low:g} to {high:g}; allowed: -1 to 1",
            field="condition.image",
        )
    return images


def _tensor(tensors: dict[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        held = ", ".join(sorted(tensors)) or "none"
        raise InvalidInput(
            f"condition.{name}: missing; the file holds {held}; allowed: a file with that tensor",
            field=f"condition.{name}",
        )
    return tensors[name]


def _wrong_shape(name: str, tensor: Tensor, allowed: str) -> InvalidInput:
    return InvalidInput(
        f"condition.{name}: shape {tuple(tensor.shape)}; allowed: {allowed}",
        field=f"condition.{name}",
    )
