"""Reference statistics: what generated images are compared with, as one safetensors file.

A file holds mean and covariance of the features of real images, how they were made (extractor,
image size, resize rule, count), and, where they are few, the features themselves for KID and
precision/recall. Its SHA-256 is its identity.

    python -m evaluators.references --model zoo:digits --split all --out digits.safetensors
    python -m evaluators.references --model zoo:digits --images FOLDER --out mine.safetensors
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from evaluators.checksum import file_sha256
from evaluators.frechet import Gaussian, fit_gaussian
from fewstep.canonical import canonical_json
from fewstep.errors import InvalidInput, UnsafeCheckpoint

# All metadata is one JSON text under this key: safetensors writes several keys in random order,
# and then equal statistics would not be equal files.
METADATA_KEY = "fewstep-reference"
FORMAT_VERSION = 1
# Features are stored up to this size; above, KID and precision/recall need the images again.
MAX_STORED_FEATURES_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceStatistics:
    """Statistics of real images under one extractor.

    Attributes:
        gaussian: Mean (d,) and covariance (d, d), float64.
        features: The features (N, d), float32; None where they were too many to store.
        num_images: How many images entered.
        extractor: Identity of the extractor.
        image_shape: (C, H, W) of the images as the extractor saw them.
        resize_rule: How they came to that size.
        source: What the images are, in words.
        sha256: Of the file; empty before it was saved.
    """

    gaussian: Gaussian
    features: npt.NDArray[np.float32] | None
    num_images: int
    extractor: str
    image_shape: tuple[int, int, int]
    resize_rule: str
    source: str
    sha256: str = ""

    @property
    def dimensions(self) -> int:
        """Number of features of an image."""
        return len(self.gaussian.mean)

    @classmethod
    def from_features(
        cls,
        features: npt.NDArray[np.float32],
        *,
        extractor: str,
        image_shape: tuple[int, int, int],
        resize_rule: str,
        source: str,
    ) -> ReferenceStatistics:
        """Statistics of features (N, d), N of at least 2."""
        is_small = features.nbytes <= MAX_STORED_FEATURES_BYTES
        return cls(
            gaussian=fit_gaussian(features),
            features=np.ascontiguousarray(features) if is_small else None,
            num_images=len(features),
            extractor=extractor,
            image_shape=image_shape,
            resize_rule=resize_rule,
            source=source,
        )

    def save(self, path: Path) -> str:
        """Write the file and return its SHA-256; equal statistics give equal bytes."""
        tensors: dict[str, npt.NDArray[np.generic]] = {
            "mean": self.gaussian.mean,
            "covariance": np.ascontiguousarray(self.gaussian.covariance),
        }
        if self.features is not None:
            tensors["features"] = self.features
        metadata = {
            "version": FORMAT_VERSION,
            "extractor": self.extractor,
            "image_shape": list(self.image_shape),
            "num_images": self.num_images,
            "resize_rule": self.resize_rule,
            "source": self.source,
        }
        content = save(tensors, metadata={METADATA_KEY: canonical_json(metadata)})
        path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()


def load_reference(path: Path) -> ReferenceStatistics:
    """Read a reference file.

    Raises:
        UnsafeCheckpoint: not a safetensors file.
        InvalidInput: no such file, or tensors or metadata that are not those of a reference.
    """
    if not path.is_file():
        raise InvalidInput(f"reference={str(path)!r}: no such file", field="reference")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA_KEY, "null")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UnsafeCheckpoint(
            f"reference={str(path)!r}: not a safetensors file ({error}); "
            "build one with: python -m evaluators.references",
            field="reference",
        ) from error
    metadata = _read_metadata(path, text)
    _check_tensors(path, tensors, metadata.num_images)
    return ReferenceStatistics(
        gaussian=Gaussian(tensors["mean"], tensors["covariance"]),
        features=tensors.get("features"),
        num_images=metadata.num_images,
        extractor=metadata.extractor,
        image_shape=metadata.image_shape,
        resize_rule=metadata.resize_rule,
        source=metadata.source,
        sha256=file_sha256(path),
    )


class _Metadata(BaseModel):
    """What the metadata of a reference file must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    extractor: str
    image_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    num_images: int = Field(ge=2)
    resize_rule: str
    source: str


def _read_metadata(path: Path, text: str) -> _Metadata:
    try:
        return _Metadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        part = ".".join(("metadata", *(str(place) for place in first["loc"])))
        raise _differs(path, part, repr(first["input"]), str(first["msg"])) from error


def _check_tensors(path: Path, tensors: dict[str, npt.NDArray[np.generic]], count: int) -> None:
    if not {"mean", "covariance"} <= set(tensors) <= {"mean", "covariance", "features"}:
        allowed = "mean, covariance and, optionally, features"
        raise _differs(path, "tensors", ", ".join(sorted(tensors)) or "none", allowed)
    d = tensors["mean"].size
    wanted = {"mean": f"float64 ({d},)", "covariance": f"float64 ({d}, {d})"}
    wanted["features"] = f"float32 ({count}, {d})"
    for name, tensor in sorted(tensors.items(), key=lambda item: list(wanted).index(item[0])):
        found = f"{tensor.dtype} {tensor.shape}"
        if found != wanted[name] or d == 0:
            raise _differs(path, f"tensor {name!r}", found, wanted[name] if d else "values")
        if not np.isfinite(np.asarray(tensor, dtype=np.float64)).all():
            raise _differs(path, f"tensor {name!r}", "values that are not finite", "finite values")


def _differs(path: Path, part: str, found: object, allowed: str) -> InvalidInput:
    return InvalidInput(
        f"reference={str(path)!r}: {part}: found {found}; allowed: {allowed}", field="reference"
    )


if __name__ == "__main__":
    from evaluators.reference_builder import main

    main()
