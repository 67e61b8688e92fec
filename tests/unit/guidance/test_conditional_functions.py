"""Conditional functions: values, gradients against finite differences, what is known put in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fewstep.denoisers import Denoiser, StackedLevel, from_denoised
from fewstep.errors import InvalidInput
from fewstep.guidance.classifier import ClassifierGuidance
from fewstep.guidance.colourisation import colourisation
from fewstep.guidance.conditional import ConditionalFunction
from fewstep.guidance.guided import guided
from fewstep.guidance.inpainting import inpainting
from fewstep.guidance.super_resolution import super_resolution
from fewstep.guidance.text import TextGuidance, spherical_distance
from fewstep.process import VPLinear

PROCESS = VPLinear()
T = 0.3


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def level(t: float = T, batch: int = 3) -> StackedLevel:
    return StackedLevel.of(PROCESS.at(t), PROCESS.network_time(t), batch, torch.device("cpu"))


class SmallEncoder(nn.Module):
    """Five smooth numbers of an image and its time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(5, channels * 16, seed=7))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.tanh(0.2 * x.flatten(1) @ self.weight.T + 1e-3 * time[:, None])


def small_denoiser(channels: int) -> Denoiser:
    """A smooth network in which every pixel sees every other."""
    weight = drawn(channels * 16, channels * 16, seed=8) / 16

    def network(x: Tensor, t: Tensor) -> Tensor:
        mixed = torch.tanh(x.flatten(1) @ weight + t[:, None])
        return mixed.view(x.shape) + 0.3 * x

    return from_denoised(network, PROCESS)


LABELS = torch.tensor([0, 4, 2])
MASK = (drawn(3, 1, 4, 4, seed=1) > 0).double()
ENCODER, PROTOTYPES = SmallEncoder(3), drawn(6, 5, seed=2)
NOISE = drawn(3, 3, 4, 4, seed=3)
MAKERS: dict[str, Callable[[Denoiser | None], ConditionalFunction]] = {
    "classifier": lambda _: ClassifierGuidance(ENCODER, LABELS),
    "inpainting": lambda d: inpainting(drawn(3, 3, 4, 4), MASK, denoiser=d, noise=NOISE),
    "super-resolution": lambda d: super_resolution(
        drawn(3, 3, 2, 2), factor=2, denoiser=d, noise=NOISE
    ),
    "colourisation": lambda d: colourisation(
        drawn(3, 1, 4, 4), channels=3, denoiser=d, noise=NOISE
    ),
    "text": lambda d: TextGuidance(ENCODER, PROTOTYPES, LABELS, denoiser=d),
}
CASES = [
    (name, through)
    for name in MAKERS
    for through in (False, True)
    if (name, through) != ("classifier", True)
]
MEASURED = ["inpainting", "super-resolution", "colourisation"]


def made(name: str, *, through_denoiser: bool = False) -> ConditionalFunction:
    return MAKERS[name](small_denoiser(3) if through_denoiser else None)


@pytest.mark.parametrize(("name", "through"), CASES)
def test_a_gradient_is_the_slope_of_the_value(name: str, through: bool) -> None:
    condition = made(name, through_denoiser=through)
    x, direction, at, h = drawn(3, 3, 4, 4, seed=4), drawn(3, 3, 4, 4, seed=5), level(), 1e-5
    ahead, behind = condition.value(x + h * direction, at), condition.value(x - h * direction, at)
    assert ahead.shape == (3,)
    along = (condition.gradient(x, at) * direction).flatten(1).sum(dim=1)
    torch.testing.assert_close(along, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "through"), CASES)
def test_gradients_are_the_same_under_inference_mode(name: str, through: bool) -> None:
    expected = made(name, through_denoiser=through).gradient(drawn(3, 3, 4, 4, seed=4), level())
    network = small_denoiser(3)  # weights are loaded outside; all else is made inside
    with torch.inference_mode():
        condition = MAKERS[name](network if through else None)
        denoiser = guided(network, condition, scale=2.0)
        found = denoiser(drawn(3, 3, 4, 4, seed=4), level(), "gradient")
    torch.testing.assert_close(found, 2.0 * expected)


def test_labels_made_under_inference_mode_can_be_used() -> None:
    with torch.inference_mode():
        labels = torch.tensor([0, 4, 2], dtype=torch.int32)
        found = ClassifierGuidance(ENCODER, labels).gradient(drawn(3, 3, 4, 4), level())
        text = TextGuidance(ENCODER, PROTOTYPES * 1.0, labels).gradient(drawn(3, 3, 4, 4), level())
    torch.testing.assert_close(found, made("classifier").gradient(drawn(3, 3, 4, 4), level()))
    torch.testing.assert_close(text, made("text").gradient(drawn(3, 3, 4, 4), level()))


@pytest.mark.parametrize("name", ["classifier", "text"])
def test_no_gradient_flows_into_a_network(name: str) -> None:
    x = drawn(3, 3, 4, 4).requires_grad_()
    gradient = made(name).gradient(x, level())
    assert not gradient.requires_grad
    assert ENCODER.weight.grad is None
    assert x.grad is None


def test_guided_predictions_shift_the_base_by_the_scaled_gradient() -> None:
    base, condition = small_denoiser(3), made("inpainting")
    denoiser, x, at = guided(base, condition, scale=1.5), drawn(3, 3, 4, 4, seed=4), level()
    alpha, sigma = at.coefficients(x)
    torch.testing.assert_close(denoiser(x, at, "base"), base(x, at))
    expected = base(x, at) + 1.5 * sigma**2 / alpha * condition.gradient(x, at)
    torch.testing.assert_close(denoiser(x, at), expected)
    torch.testing.assert_close(denoiser(x, at, "impute"), condition.impute(x, at))


def test_the_base_is_clipped_and_the_guided_prediction_is_not() -> None:
    clipped = from_denoised(lambda x, t: 5.0 + 0.0 * x, PROCESS, clip=1.0)
    denoiser = guided(clipped, made("inpainting"), scale=20.0)
    x, at = drawn(3, 3, 4, 4), level()
    assert denoiser(x, at, "base").max() == 1.0
    assert denoiser(x, at).max() > 2.0


def test_known_pixels_pull_only_themselves() -> None:
    known, x, at = drawn(3, 3, 4, 4), drawn(3, 3, 4, 4, seed=4), level()
    alpha, _ = at.coefficients(x)
    torch.testing.assert_close(made("inpainting").gradient(x, at), -MASK * (x - alpha * known))


@pytest.mark.parametrize("name", MEASURED)
def test_what_is_known_agrees_after_it_is_put_in(name: str) -> None:
    condition, x, at = made(name), drawn(3, 3, 4, 4, seed=4), level(0.0)
    once = condition.impute(x, at)
    torch.testing.assert_close(condition.value(once, at), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(condition.impute(once, at), once)


def test_what_is_known_is_put_in_at_its_level_of_noise() -> None:
    known, x, at = drawn(3, 3, 4, 4), drawn(3, 3, 4, 4, seed=4), level()
    alpha, sigma = at.coefficients(x)
    expected = torch.where(MASK.bool(), alpha * known + sigma * NOISE, x)
    torch.testing.assert_close(made("inpainting").impute(x, at), expected)


@pytest.mark.parametrize("name", ["classifier", "text"])
def test_nothing_is_put_in_where_nothing_is_known(name: str) -> None:
    x = drawn(3, 3, 4, 4)
    assert made(name).impute(x, level()) is x


def test_grey_data_know_the_means_of_two_by_two_blocks() -> None:
    known, x, at = drawn(3, 1, 2, 2), drawn(3, 1, 4, 4), level(0.0)
    found = colourisation(known, channels=1).impute(x, at)
    torch.testing.assert_close(nn.functional.avg_pool2d(found, 2), known)
    torch.testing.assert_close(
        colourisation(known, channels=1).gradient(x, at),
        super_resolution(known, factor=2).gradient(x, at),
    )


def test_the_spherical_distance_is_half_the_squared_angle_at_both_ends_too() -> None:
    angles = torch.tensor([0.0, 0.3, 1.5, torch.pi], dtype=torch.float64)
    u = torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()
    v = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(4, 2)
    distance = spherical_distance(u, v)
    torch.testing.assert_close(distance.detach(), 0.5 * angles**2)
    (slope,) = torch.autograd.grad(distance.sum(), u)
    assert slope.isfinite().all(), slope


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_scales_that_are_none_are_refused(scale: float) -> None:
    with pytest.raises(InvalidInput, match="scale="):
        guided(small_denoiser(3), made("text"), scale=scale)


BAD_INPUT: dict[str, tuple[Callable[[], object], str]] = {
    "a class too many": (
        lambda: ClassifierGuidance(ENCODER, LABELS + 1).value(drawn(3, 3, 4, 4), level()),
        "labels[1]",
    ),
    "a negative class": (lambda: ClassifierGuidance(ENCODER, LABELS - 1), "labels[0]"),
    "labels with fractions": (lambda: ClassifierGuidance(ENCODER, LABELS / 2), "labels"),
    "labels for other states": (
        lambda: ClassifierGuidance(ENCODER, LABELS[:2]).value(drawn(3, 3, 4, 4), level()),
        "labels",
    ),
    "a prompt too many": (lambda: TextGuidance(ENCODER, PROTOTYPES, LABELS + 2), "labels[1]"),
    "a prompt without direction": (
        lambda: TextGuidance(ENCODER, 0.0 * PROTOTYPES, LABELS),
        "prototypes",
    ),
    "a mask of another shape": (
        lambda: inpainting(drawn(3, 3, 4, 4), torch.ones(3, 1, 4, 5)),
        "mask",
    ),
    "a soft mask": (lambda: inpainting(drawn(3, 3, 4, 4), 0.5 * MASK), "mask"),
    "an image that is not finite": (
        lambda: super_resolution(drawn(3, 3, 2, 2) / 0.0, factor=2),
        "known",
    ),
    "a small image of another size": (
        lambda: super_resolution(drawn(3, 3, 3, 3), factor=2).value(drawn(3, 3, 4, 4), level()),
        "known",
    ),
    "a factor of one": (lambda: super_resolution(drawn(3, 3, 4, 4), factor=1), "factor"),
    "a factor that does not divide": (
        lambda: super_resolution(drawn(3, 3, 2, 2), factor=3).value(drawn(3, 3, 4, 4), level()),
        "factor",
    ),
    "no images": (lambda: super_resolution(drawn(3, 4), factor=2), "known"),
    "no channels": (lambda: colourisation(drawn(3, 1, 4, 4), channels=0), "channels"),
    "a coloured grey image": (lambda: colourisation(drawn(3, 3, 4, 4), channels=3), "known"),
    "no noise to put in": (
        lambda: inpainting(drawn(3, 3, 4, 4), MASK).impute(drawn(3, 3, 4, 4), level()),
        "noise",
    ),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_named(name: str) -> None:
    make, field = BAD_INPUT[name]
    with pytest.raises(InvalidInput) as refused:
        make()
    assert refused.value.field == field, refused.value.message
    assert "allowed:" in refused.value.message
