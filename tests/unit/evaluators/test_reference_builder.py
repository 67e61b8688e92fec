"""Building reference statistics from arrays, folders of images and the bundled digits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from evaluators.features import extractor_identity
from evaluators.frechet import fit_gaussian
from evaluators.reference_builder import build_reference, main, read_images
from evaluators.references import load_reference
from fewstep.errors import InvalidInput, UnknownName
from fewstep.networks.zoo.digits_data import load_digits_images

Bytes = npt.NDArray[np.uint8]


def save_images(folder: Path, images: Bytes, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / f"{i:04}{suffix}")


def test_statistics_of_an_array_are_those_of_its_features() -> None:
    images, _ = load_digits_images("heldout")
    built = build_reference(images, extractor="pixels", source="digits")
    expected = fit_gaussian(images.reshape(len(images), -1) / np.float32(255.0))
    np.testing.assert_allclose(built.gaussian.mean, expected.mean, rtol=1e-6)
    np.testing.assert_allclose(built.gaussian.covariance, expected.covariance, atol=1e-9)
    assert built.extractor == extractor_identity("pixels")
    assert (built.num_images, built.image_shape) == (297, (1, 8, 8))


def test_a_folder_of_png_files_gives_the_statistics_of_the_array(tmp_path: Path) -> None:
    images, _ = load_digits_images("heldout")
    save_images(tmp_path / "a", images[:40])
    save_images(tmp_path / "b" / "deep", images[40:60])
    (tmp_path / "notes.txt").write_text("not an image")
    assert np.array_equal(read_images(tmp_path, (1, 8, 8), resize_rule="none"), images[:60])


def test_colour_images_come_as_channels_first(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 6, 4), dtype=np.uint8)
    save_images(tmp_path, images)
    assert np.array_equal(read_images(tmp_path, (3, 6, 4), resize_rule="none"), images)


def test_jpeg_files_are_read_and_grey_is_spread_over_colours(tmp_path: Path) -> None:
    save_images(tmp_path, np.full((2, 1, 8, 8), 200, dtype=np.uint8), suffix=".JPEG")
    found = read_images(tmp_path, (3, 8, 8), resize_rule="none")
    assert found.shape == (2, 3, 8, 8)
    assert np.abs(found.astype(int) - 200).max() <= 2


def test_center_crop_keeps_the_middle_and_the_aspect(tmp_path: Path) -> None:
    wide = np.zeros((2, 1, 8, 24), dtype=np.uint8)
    wide[:, :, :, 8:16] = 255
    save_images(tmp_path, wide)
    found = read_images(tmp_path, (1, 4, 4), resize_rule="center-crop-bicubic")
    assert (found == 255).all()


def test_rule_none_refuses_another_size_and_names_the_file(tmp_path: Path) -> None:
    save_images(tmp_path, np.zeros((2, 1, 9, 8), dtype=np.uint8))
    with pytest.raises(InvalidInput, match=r"0000\.png' is 8x9; resize rule `none` allows 8x8"):
        read_images(tmp_path, (1, 8, 8), resize_rule="none")


def test_a_file_that_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "fake.png").write_bytes(b"not a picture")
    with pytest.raises(InvalidInput, match=r"fake\.png': cannot be read"):
        read_images(tmp_path, (1, 8, 8), resize_rule="none")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no files there"):
        read_images(tmp_path, (1, 8, 8), resize_rule="none")


def test_an_unknown_rule_or_extractor_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="allowed: center-crop-bicubic, none"):
        read_images(tmp_path, (1, 8, 8), resize_rule="stretch")
    with pytest.raises(UnknownName, match="zoo-digits-classifier-64"):
        build_reference(np.zeros((4, 1, 8, 8), np.uint8), extractor="inception", source="none")


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((4, 1, 8, 8), dtype=np.float32),
        np.zeros((1, 1, 8, 8), dtype=np.uint8),
        np.zeros((4, 8, 8), dtype=np.uint8),
    ],
)
def test_arrays_that_are_no_images_are_refused(images: npt.NDArray[np.generic]) -> None:
    with pytest.raises(InvalidInput, match="must be uint8"):
        build_reference(images, extractor="pixels", source="none")  # type: ignore[arg-type]


def test_the_command_builds_the_digits_reference_and_prints_its_checksum(tmp_path: Path) -> None:
    out = tmp_path / "heldout.safetensors"
    command = [sys.executable, "-m", "evaluators.references", "--model", "zoo:digits"]
    found = subprocess.run(
        [*command, "--split", "heldout", "--out", out], capture_output=True, text=True, check=True
    )
    loaded = load_reference(out)
    assert loaded.sha256 in found.stdout
    assert (loaded.num_images, loaded.source) == (297, "zoo:digits, split heldout")
    assert loaded.extractor == extractor_identity("zoo-digits-classifier-64")
    assert loaded.dimensions == 64


def test_the_command_builds_from_a_folder(tmp_path: Path, root: Path) -> None:
    images, _ = load_digits_images("heldout")
    save_images(tmp_path / "mine", images[:30])
    out = tmp_path / "mine.safetensors"
    places = ["--images", str(tmp_path / "mine"), "--root", str(root), "--out", str(out)]
    main(["--model", "file:random", *places])
    assert load_reference(out).source == "30 images of a folder named mine"


def test_the_command_says_what_is_wrong_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--model", "zoo:none", "--split", "all", "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert "model='zoo:none'" in capsys.readouterr().err
