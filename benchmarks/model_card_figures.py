"""The figures of a model card: distances to real images, each with its number of images."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from benchmarks.machine import machine
from benchmarks.model_card_samples import SampleSet
from benchmarks.real_images import Array, RealImages
from evaluators.fidelity import kid, precision_recall
from evaluators.frechet import Gaussian, fit_gaussian, frechet_distance
from evaluators.references import load_reference
from fewstep.networks.adm.shapes import tensor_shapes
from fewstep.networks.card import ModelCard
from fewstep.networks.models import load_network, resolve
from fewstep.networks.zoo.data import Images, Labels
from fewstep.networks.zoo.recipe import Recipe

KID_SUBSET = 400
_CLOSEST = 0.05  # the quantile in which copies of training images would show first
_LOADINGS = 9
_CHUNK = 500  # rows of a table of distances at a time

Figures = dict[str, object]


def weight_figures(card: ModelCard, recipe: Recipe, images: Images, labels: Labels) -> Figures:
    """Size of the network, and the classifier's accuracy on images nobody trained on."""
    from fewstep.networks.zoo.classifier import load_classifier
    from fewstep.networks.zoo.classifier_training import accuracy

    return {
        "parameters": sum(int(np.prod(s)) for s in tensor_shapes(card.unet_config()).values()),
        "file_bytes": card.weights_path.stat().st_size,
        "classifier_accuracy": accuracy(load_classifier(recipe, card.folder), images, labels),
        "num_heldout": len(labels),
    }


def loading_figures(card: ModelCard) -> Figures:
    """Seconds from a model reference to a network that can be called, files warm: the median."""
    seconds = []
    for _ in range(_LOADINGS):
        started = time.perf_counter()
        load_network(resolve(card.name))
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": statistics.median(seconds),
        "repetitions": len(seconds),
        "machine": machine(),
    }


def real_halves(real: RealImages, count: int) -> Figures:
    """How far `count` real images at most are from as many others: the floor at that count."""
    every, pairs = real.features["all"], real.halvings(count)
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


def teacher_figures(card: ModelCard, samples: SampleSet, real: RealImages) -> Figures:
    """A teacher's samples against the real images."""
    return {
        "num_samples": len(samples.images),
        "fid": {
            name: frechet_distance(samples.features, _reference(card, name))
            for name in sorted(card.references)
        },
        "kid": kid(samples.features, real.features["all"], subset_size=KID_SUBSET).mean,
        "at_half_counts": _against_halves(samples, real),
        "class_accuracy": float((samples.predicted == samples.labels).mean()),
        "nearest_training_image": _nearest(samples, real),
    }


def _against_halves(samples: SampleSet, real: RealImages) -> Figures:
    """As `real_halves`, with as many samples in place of the first half."""
    every, count, fids, overlaps, kids = real.features["all"], 0, [], [], []
    for split, (a, b) in enumerate(real.halvings(len(samples.features))):
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


def _nearest(samples: SampleSet, real: RealImages) -> Figures:
    """Distance to the nearest training image, of samples and of held-out images.

    A model that copies has samples closer than held-out images, first among the closest.
    """
    train, heldout = _pixels(real.images["train"]), _pixels(real.images["heldout"])
    features = real.features
    return {
        "num_samples": len(samples.images),
        "num_heldout": len(heldout),
        "num_training": len(train),
        "features": _compare(samples.features, features["heldout"], features["train"]),
        "pixels_rms": _compare(_pixels(samples.images), heldout, train),
    }


def _compare(drawn: Array, heldout: Array, train: Array) -> Figures:
    table: Figures = {}
    for name, rows in {"samples": drawn, "heldout": heldout}.items():
        nearest = nearest_distances(rows, train)
        table[f"{name}_median"] = float(np.median(nearest))
        table[f"{name}_closest_5_percent"] = float(np.quantile(nearest, _CLOSEST))
    return table


def nearest_distances(rows: Array, others: Array) -> Array:
    """Euclidean distance of each row to the nearest of the others, (N,)."""
    table = torch.from_numpy(others).double()
    parts = torch.from_numpy(rows).double().split(_CHUNK)
    found: Array = torch.cat([torch.cdist(part, table).amin(1) for part in parts]).numpy()
    return found


def _pixels(images: Images) -> Array:
    """Rows whose Euclidean distance is the root mean square difference in [-1, 1]."""
    flat = images.reshape(len(images), -1).astype(np.float32) / 127.5
    return flat / np.float32(flat.shape[1] ** 0.5)


def _reference(card: ModelCard, name: str) -> Gaussian:
    return load_reference(card.reference_path(name)).gaussian


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
