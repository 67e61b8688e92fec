"""Train the feature classifier of a bundled model, seeded."""

from __future__ import annotations

import torch
from torch import Tensor

from fewstep.networks.zoo.classifier import (
    ImageClassifier,
    evaluate,
    make_classifier,
    to_network_range,
)
from fewstep.networks.zoo.colour_classifier_training import fit_colour_classifier
from fewstep.networks.zoo.data import Images, Labels
from fewstep.networks.zoo.digits_classifier_training import fit_digit_classifier
from fewstep.networks.zoo.recipe import Recipe


def train_classifier(
    recipe: Recipe,
    images: Images,
    labels: Labels,
    *,
    seed: int,
    num_steps: int | None = None,
    device: str = "cpu",
) -> ImageClassifier:
    """Train on images (N, C, H, W) of 0..255 and labels (N,); a seed gives the same weights.

    Digits are trained on the processor, whatever the device.
    """
    is_digit = recipe.classifier.kind == "digit"
    place = torch.device("cpu" if is_digit else device)
    x, classes = to_network_range(torch.from_numpy(images)), torch.from_numpy(labels)
    fit = fit_digit_classifier if is_digit else fit_colour_classifier
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(seed)
        model = make_classifier(recipe).to(place)
        fit(model.train(), x.to(place), classes.to(place), num_steps or recipe.classifier_steps)
    model.cpu().eval()
    _scale_features(model, images)
    return model


def accuracy(model: ImageClassifier, images: Images, labels: Labels) -> float:
    """Share of images (N, C, H, W) of 0..255 that get their own label."""
    predicted = evaluate(model, images)[1].argmax(1).numpy()
    return float((predicted == labels).mean())


@torch.no_grad()
def _scale_features(model: ImageClassifier, images: Images) -> None:
    raw: Tensor = evaluate(model, images)[0].double()
    model.feature_scale.fill_(float(raw.var(0, correction=1).mean() ** -0.5))
