"""Reference files: equal statistics are equal bytes, and nothing else is taken for one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from evaluators.checksum import file_sha256
from evaluators.references import METADATA_KEY, ReferenceStatistics, load_reference
from fewstep.errors import InvalidInput, UnsafeCheckpoint

METADATA: dict[str, object] = {
    "version": 1,
    "extractor": "pixels@0",
    "image_shape": [1, 2, 2],
    "num_images": 50,
    "resize_rule": "none",
    "source": "test",
}
TENSORS: dict[str, npt.NDArray[np.generic]] = {
    "mean": np.zeros(4),
    "covariance": np.eye(4),
    "features": np.zeros((50, 4), dtype=np.float32),
}


def statistics(num: int = 50, d: int = 4) -> ReferenceStatistics:
    features = np.random.default_rng(0).normal(size=(num, d)).astype(np.float32)
    return ReferenceStatistics.from_features(
        features, extractor="pixels@0", image_shape=(1, 2, 2), resize_rule="none", source="test"
    )


def write(path: Path, metadata: object, tensors: dict[str, npt.NDArray[np.generic]]) -> Path:
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(metadata)})
    return path


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = statistics()
    sha256 = saved.save(tmp_path / "r.safetensors")
    loaded = load_reference(tmp_path / "r.safetensors")
    assert loaded.features is not None
    assert saved.features is not None
    assert np.array_equal(loaded.features, saved.features)
    assert np.array_equal(loaded.gaussian.mean, saved.gaussian.mean)
    assert np.array_equal(loaded.gaussian.covariance, saved.gaussian.covariance)
    assert loaded.gaussian.covariance.dtype == np.float64
    described = (loaded.num_images, loaded.extractor, loaded.image_shape, loaded.resize_rule)
    assert described == (50, "pixels@0", (1, 2, 2), "none")
    assert loaded.source == "test"
    assert loaded.sha256 == sha256 == file_sha256(tmp_path / "r.safetensors")
    assert loaded.dimensions == 4


def test_covariance_is_numpy_s_with_divisor_n_minus_1() -> None:
    saved = statistics()
    assert saved.features is not None
    wide = saved.features.astype(np.float64)
    np.testing.assert_allclose(saved.gaussian.covariance, np.cov(wide, rowvar=False), rtol=1e-12)


def test_equal_statistics_are_equal_files(tmp_path: Path) -> None:
    names = [f"{i}.safetensors" for i in range(8)]
    assert len({statistics().save(tmp_path / name) for name in names}) == 1


def test_many_features_are_not_stored(tmp_path: Path) -> None:
    statistics(num=600_000).save(tmp_path / "r.safetensors")
    assert load_reference(tmp_path / "r.safetensors").features is None
    assert (tmp_path / "r.safetensors").stat().st_size < 2000


@pytest.mark.parametrize("content", [pickle.dumps({"mean": 1}), b"", b"PK\x03\x04", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.safetensors").write_bytes(content)
    with pytest.raises(UnsafeCheckpoint, match="not a safetensors file") as caught:
        load_reference(tmp_path / "r.safetensors")
    assert caught.value.field == "reference"


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.safetensors.*no such file"):
        load_reference(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 2}, r"metadata\.version: found 2"),
        ({"num_images": 1}, r"metadata\.num_images: found 1"),
        ({"num_images": "many"}, r"metadata\.num_images: found 'many'"),
        ({"image_shape": [1, 2]}, r"metadata\.image_shape"),
        ({"image_shape": [1, 2, 0]}, r"metadata\.image_shape\.2: found 0"),
        ({"extractor": None}, r"metadata\.extractor: found None"),
        ({"colour": "red"}, r"metadata\.colour: found 'red'"),
    ],
)
def test_metadata_that_differ_are_named(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    path = write(tmp_path / "r.safetensors", METADATA | change, TENSORS)
    with pytest.raises(InvalidInput, match=named):
        load_reference(path)


@pytest.mark.parametrize("metadata", [None, [], "text", {}])
def test_metadata_of_another_kind_are_refused(tmp_path: Path, metadata: object) -> None:
    with pytest.raises(InvalidInput, match="metadata"):
        load_reference(write(tmp_path / "r.safetensors", metadata, TENSORS))


def test_a_safetensors_file_without_our_metadata_is_refused(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "r.safetensors")
    with pytest.raises(InvalidInput, match="metadata: found None"):
        load_reference(tmp_path / "r.safetensors")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mean": np.zeros(5)}, r"tensor 'covariance': found float64 \(4, 4\)"),
        ({"mean": np.zeros(4, dtype=np.float32)}, r"tensor 'mean': found float32"),
        ({"mean": np.zeros((2, 2))}, r"tensor 'mean': found float64 \(2, 2\); allowed: .*\(4,\)"),
        ({"mean": np.zeros(0), "covariance": np.zeros((0, 0))}, "tensor 'mean'"),
        ({"covariance": np.full((4, 4), np.nan)}, "'covariance': found values that are not finite"),
        ({"features": np.zeros((49, 4), dtype=np.float32)}, r"'features': found float32 \(49, 4\)"),
        ({"weights": np.zeros(1)}, "tensors: found covariance, features, mean, weights"),
    ],
)
def test_tensors_that_differ_are_named(
    tmp_path: Path, change: dict[str, npt.NDArray[np.generic]], named: str
) -> None:
    path = write(tmp_path / "r.safetensors", METADATA, TENSORS | change)
    with pytest.raises(InvalidInput, match=named):
        load_reference(path)


@pytest.mark.parametrize("missing", ["mean", "covariance"])
def test_missing_tensors_are_noticed(tmp_path: Path, missing: str) -> None:
    tensors = {name: tensor for name, tensor in TENSORS.items() if name != missing}
    with pytest.raises(InvalidInput, match="allowed: mean, covariance and, optionally, features"):
        load_reference(write(tmp_path / "r.safetensors", METADATA, tensors))
