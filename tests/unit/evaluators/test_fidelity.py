"""torch-fidelity: its metrics on our features, our extractors in its own pipeline."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch_fidelity
from torch.utils.data import Dataset

from evaluators.features import load_extractor
from evaluators.fidelity import (
    inception_score,
    kid,
    precision_recall,
    register_with_torch_fidelity,
    torch_fidelity_fid,
)
from evaluators.frechet import fit_gaussian, frechet_distance
from fewstep.errors import InvalidInput, UnknownName
from fewstep.networks.zoo.digits_data import load_digits_images

EXTRACTOR = "zoo-digits-classifier-64"
Features = npt.NDArray[np.float32]


class Digits(Dataset[torch.Tensor]):
    """Real digits, as torch-fidelity reads images."""

    def __init__(self, start: int, stop: int) -> None:
        self._images = torch.from_numpy(load_digits_images("all")[0][start:stop])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._images[index]


def layers(start: int, stop: int) -> tuple[Features, Features]:
    """Features and logits of real digits."""
    images = torch.from_numpy(load_digits_images("all")[0][start:stop])
    extractor = load_extractor(EXTRACTOR)
    with torch.inference_mode():
        return extractor.features(images).numpy(), extractor.logits(images).numpy()


def test_torch_fidelity_s_own_pipeline_gives_our_numbers_on_real_digits() -> None:
    register_with_torch_fidelity(EXTRACTOR)
    register_with_torch_fidelity(EXTRACTOR)  # again is fine
    theirs = torch_fidelity.calculate_metrics(
        input1=Digits(0, 400),
        input2=Digits(400, 900),
        feature_extractor=EXTRACTOR,
        fid=True,
        kid=True,
        isc=True,
        prc=True,
        kid_subset_size=200,
        cuda=False,
        save_cpu_ram=True,
        samples_shuffle=True,
        verbose=False,
    )
    (one, logits), (other, _) = layers(0, 400), layers(400, 900)
    ours = {
        "frechet_inception_distance": frechet_distance(one, fit_gaussian(other)),
        "kernel_inception_distance_mean": kid(one, other, subset_size=200).mean,
        "kernel_inception_distance_std": kid(one, other, subset_size=200).std,
        "inception_score_mean": inception_score(logits).mean,
        "inception_score_std": inception_score(logits).std,
        "precision": precision_recall(one, other).precision,
        "recall": precision_recall(one, other).recall,
    }
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], rel=1e-4, abs=1e-9), name


@pytest.mark.parametrize(("start", "stop"), [(0, 50), (0, 600)])
def test_distance_equals_torch_fidelity_s_on_real_features(start: int, stop: int) -> None:
    features, _ = layers(start, stop)
    reference = fit_gaussian(layers(600, 1797)[0])
    ours, theirs = frechet_distance(features, reference), torch_fidelity_fid(features, reference)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_halves_of_the_digits_are_closer_than_digits_and_noise() -> None:
    (one, _), (other, _) = layers(0, 500), layers(500, 1000)
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (500, 1, 8, 8), np.uint8))
    with torch.inference_mode():
        far = load_extractor(EXTRACTOR).features(noise).numpy()
    near_mean, far_mean = (
        kid(features, other, subset_size=100, num_subsets=10).mean for features in (one, far)
    )
    assert near_mean < 0.1 * far_mean
    near, apart = precision_recall(one, other), precision_recall(far, other)
    assert near.precision > 0.5
    assert near.recall > 0.5
    assert apart.precision < 0.1


def test_inception_score_tells_all_digits_from_one_digit() -> None:
    images, labels = load_digits_images("all")
    extractor = load_extractor(EXTRACTOR)
    with torch.inference_mode():
        logits = extractor.logits(torch.from_numpy(images)).numpy()
    assert 5.0 < inception_score(logits).mean <= 10.0
    assert 1.0 <= inception_score(logits[labels == 3]).mean < 1.5


def test_a_feature_set_against_itself_has_full_precision_and_recall() -> None:
    features, _ = layers(0, 200)
    found = precision_recall(features, features)
    assert (found.precision, found.recall) == (1.0, 1.0)


def test_more_of_a_subset_than_there_is_is_refused_by_field() -> None:
    features, logits = layers(0, 20)
    for call, field in (
        (lambda: kid(features, features, subset_size=21), "subset_size"),
        (lambda: precision_recall(features, features, neighborhood=20), "neighborhood"),
        (lambda: inception_score(logits, num_splits=21), "num_splits"),
    ):
        with pytest.raises(InvalidInput, match=r"allowed: [12] to") as caught:
            call()
        assert caught.value.field == field


def test_an_unknown_extractor_is_not_registered() -> None:
    with pytest.raises(UnknownName, match="no-such-network"):
        register_with_torch_fidelity("no-such-network")


def test_pixels_have_no_class_scores() -> None:
    with pytest.raises(InvalidInput, match="no class scores"):
        load_extractor("pixels").logits(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
