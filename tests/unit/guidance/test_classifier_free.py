"""Classifier-free guidance in its parts, and its identity with classifier guidance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fewstep.denoisers import Denoiser, GaussianMixture, StackedLevel, class_conditional
from fewstep.errors import InvalidInput
from fewstep.guidance.classifier import ClassifierGuidance
from fewstep.guidance.classifier_free import classifier_free
from fewstep.guidance.guided import guided
from fewstep.process import VPLinear
from fewstep.running import sample
from tests.mixture2d import MIXTURE, start_states

PROCESS = VPLinear()
LABELS = torch.arange(16) % 3
NULL = 3
COMPONENTS = [
    GaussianMixture((1.0,), (mean,), (deviation,))
    for mean, deviation in zip(MIXTURE.means, MIXTURE.deviations, strict=True)
]


def level_of(network_time: Tensor) -> StackedLevel:
    """The level of rows that share one network time."""
    time = float(network_time[0])
    level = PROCESS.at((time + 1.0) / 1000.0)
    return StackedLevel.of(level, time, len(network_time), torch.device("cpu"))


def exact_network(x: Tensor, network_time: Tensor, labels: Tensor) -> Tensor:
    """The noise of the component that each label names, or of the whole mixture."""
    at = level_of(network_time)
    alpha, sigma = at.coefficients(x)
    each = torch.stack([model(x, at) for model in (*COMPONENTS, MIXTURE)])
    return (x - alpha * each[labels, torch.arange(len(x))]) / sigma


def exact_classifier(x: Tensor, network_time: Tensor) -> Tensor:
    """Logits of p(component | x)."""
    return MIXTURE.component_log_densities(x, level_of(network_time))


def both(scale: float) -> tuple[Denoiser, Denoiser]:
    """Classifier-free guidance and classifier guidance of the same exact model."""
    free = classifier_free(exact_network, labels=LABELS, guidance_scale=scale, null_label=NULL)
    return free, guided(MIXTURE, ClassifierGuidance(exact_classifier, LABELS), scale=scale)


def at(t: float) -> StackedLevel:
    return StackedLevel.of(PROCESS.at(t), PROCESS.network_time(t), 16, torch.device("cpu"))


@pytest.mark.parametrize("kind", ["denoised", "base", "gradient"])
@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
def test_a_weight_is_the_scale_of_the_exact_classifier(t: float, scale: float, kind: str) -> None:
    free, classified = both(scale)
    x, level = start_states(), at(t)
    torch.testing.assert_close(
        free(x, level, kind),  # type: ignore[arg-type]
        classified(x, level, kind),  # type: ignore[arg-type]
        rtol=1e-7,
        atol=1e-7,
    )


@pytest.mark.parametrize("solver", ["ltsp4", "stsp4", "ddim"])
def test_samples_of_both_kinds_of_guidance_agree(solver: str) -> None:
    grid = [1.0, 0.8, 0.6, 0.4, 0.2, 0.05, 0.0]
    free, classified = (
        sample(denoiser, start_states(), times=grid, process=PROCESS, solver=solver)
        for denoiser in both(2.0)
    )
    torch.testing.assert_close(free, classified, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("clip", [None, 0.7])
def test_the_whole_is_the_class_conditional_denoiser(clip: float | None) -> None:
    arguments = {"labels": LABELS, "guidance_scale": 2.5, "null_label": NULL, "clip": clip}
    split = classifier_free(exact_network, **arguments)  # type: ignore[arg-type]
    whole = class_conditional(exact_network, **arguments)  # type: ignore[arg-type]
    x, level = start_states(), at(0.4)
    torch.testing.assert_close(split(x, level), whole(x, level), rtol=0.0, atol=0.0)
    assert split(x, level, "impute") is x


def test_the_parts_add_up_to_the_whole() -> None:
    denoiser, _ = both(3.0)
    x, level = start_states(), at(0.4)
    alpha, sigma = level.coefficients(x)
    summed = denoiser(x, level, "base") + sigma**2 / alpha * denoiser(x, level, "gradient")
    torch.testing.assert_close(denoiser(x, level), summed)


@pytest.mark.parametrize(("kind", "passes"), [("denoised", 2), ("base", 1), ("gradient", 2)])
def test_each_kind_costs_its_passes(kind: str, passes: int) -> None:
    rows: list[int] = []

    def network(x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        rows.append(len(x))
        return exact_network(x, time, labels)

    denoiser = classifier_free(network, labels=LABELS, guidance_scale=2.0, null_label=NULL)
    denoiser(start_states(), at(0.4), kind)  # type: ignore[arg-type]
    assert sum(rows) == 16 * passes


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"scale=-1\.0: allowed"):
        both(-1.0)
