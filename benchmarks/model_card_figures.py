"""The figures of a model card: distances to real images, each with its number of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from benchmarks.model_card_samples import SampleSet
from evaluators.fidelity import kid, precision_recall
from evaluators.frechet import Gaussian, fit_gaussian, frechet_distance
from evaluators.references import load_reference
from fewstep.networks.adm.shapes import tensor_shapes
from fewstep.networks.card import ModelCard
from fewstep.networks.zoo.data import Split, load_digits_images

NUM_SPLITS = 4  # random halvings of the real images
HALVING_SEED = 7
KID_SUBSET = 400
_CLOSEST = 0.05  # the quantile in which copies of training images would show first

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Figures = dict[str, object]


def weight_figures(card: ModelCard) -> Figures:
    """Size of the network, and the classifier's accuracy on images nobody trained on."""
    from fewstep.networks.zoo.classifier import load_classifier, logits

    images, labels = load_digits_images("heldout")
    predicted = logits(load_classifier(card.folder / "classifier.safetensors"), images).argmax(1)
    return {
        "parameters": sum(int(np.prod(s)) for s in tensor_shapes(card.unet_config()).values()),
        "file_bytes": card.weights_path.stat().st_size,
        "classifier_accuracy": float((predicted == labels).mean()),
        "num_heldout": len(labels),
    }


def real_halves(card: ModelCard) -> Figures:
    """How far one half of the real images is from the other: the floor at that count."""
    every = _features(card, "all")
    pairs = _halvings()
    fids = [frechet_distance(every[a], fit_gaussian(every[b])) for a, b in pairs]
    overlaps = [precision_recall(every[a], every[b]) for a, b in pairs]
    return {
        "num_images_each": len(pairs[0][0]),
        "num_splits": len(pairs),
        "fid": _mean(fids),
        "fid_std": float(np.std(fids, ddof=1)),
        "kid": _mean([kid(every[a], every[b], subset_size=KID_SUBSET).mean for a, b in pairs]),
        "precision": _mean([found.precision for found in overlaps]),
        "recall": _mean([found.recall for found in overlaps]),
    }


def teacher_figures(card: ModelCard, samples: SampleSet) -> Figures:
    """A teacher's samples against the real images."""
    return {
        "num_samples": len(samples.images),
        "fid": {
            name: frechet_distance(samples.features, _reference(card, name))
            for name in sorted(card.references)
        },
        "kid": kid(samples.features, _features(card, "all"), subset_size=KID_SUBSET).mean,
        "at_half_counts": _against_halves(card, samples),
        "class_accuracy": float((samples.predicted == samples.labels).mean()),
        "nearest_training_image": _nearest(card, samples),
    }


def _against_halves(card: ModelCard, samples: SampleSet) -> Figures:
    """As `real_halves`, with as many samples in place of the first half."""
    every, count, fids, overlaps, kids = _features(card, "all"), 0, [], [], []
    for split, (a, b) in enumerate(_halvings()):
        count = min(len(a), len(samples.features))
        start = split * count % (len(samples.features) - count + 1)
        drawn = samples.features[start : start + count]
        fids.append(frechet_distance(drawn, fit_gaussian(every[b])))
        overlaps.append(precision_recall(drawn, every[b]))
        kids.append(kid(drawn, every[b], subset_size=min(KID_SUBSET, count)).mean)
    return {
        "num_images_each": count,
        "fid": _mean(fids),
        "fid_std": float(np.std(fids, ddof=1)),
        "kid": _mean(kids),
        "precision": _mean([found.precision for found in overlaps]),
        "recall": _mean([found.recall for found in overlaps]),
    }


def _nearest(card: ModelCard, samples: SampleSet) -> Figures:
    """Distance to the nearest training image, of samples and of held-out images.

    A model that copies has samples closer than held-out images, first among the closest.
    """
    pixels = {split: _pixels(load_digits_images(split)[0]) for split in ("train", "heldout")}
    features = {split: _features(card, split) for split in ("train", "heldout")}
    return {
        "num_samples": len(samples.images),
        "num_heldout": len(pixels["heldout"]),
        "num_training": len(pixels["train"]),
        "features": _compare(samples.features, features["heldout"], features["train"]),
        "pixels_rms": _compare(_pixels(samples.images), pixels["heldout"], pixels["train"]),
    }


def _compare(drawn: Array, heldout: Array, train: Array) -> Figures:
    found = {"samples": drawn, "heldout": heldout}
    table: Figures = {}
    for name, rows in found.items():
        nearest = cdist(rows, train).min(axis=1)
        table[f"{name}_median"] = float(np.median(nearest))
        table[f"{name}_closest_5_percent"] = float(np.quantile(nearest, _CLOSEST))
    return table


def _halvings() -> list[tuple[Rows, Rows]]:
    """Random halves of the real images, equal in every class, as the samples' labels are.

    Halves with classes in random numbers would be farther apart, and the floor too high.
    """
    rng, labels = np.random.default_rng(HALVING_SEED), load_digits_images("all")[1]
    pairs = []
    for _ in range(NUM_SPLITS):
        orders = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
        sizes = [len(order) // 2 for order in orders]
        first = [order[:size] for order, size in zip(orders, sizes, strict=True)]
        second = [order[size : 2 * size] for order, size in zip(orders, sizes, strict=True)]
        pairs.append((np.concatenate(first), np.concatenate(second)))
    return pairs


def _pixels(images: npt.NDArray[np.uint8]) -> Array:
    """Rows whose Euclidean distance is the root mean square difference in [-1, 1]."""
    flat = images.reshape(len(images), -1).astype(np.float32) / 127.5
    return flat / np.float32(flat.shape[1] ** 0.5)


def _features(card: ModelCard, split: Split) -> Array:
    features = load_reference(card.reference_path(f"digits-{split}")).features
    assert features is not None, "1,797 images of 64 features are stored in full"
    return features


def _reference(card: ModelCard, name: str) -> Gaussian:
    return load_reference(card.reference_path(name)).gaussian


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
