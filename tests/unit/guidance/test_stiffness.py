"""Stiffness: curvature found by power iteration, and what it says of multistep orders."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fewstep.denoisers import StackedLevel
from fewstep.errors import InvalidInput
from fewstep.guidance.classifier import ClassifierGuidance
from fewstep.guidance.stiffness import (
    STABILITY_LIMITS,
    largest_curvature,
    largest_stable_order,
    stiffness_numbers,
)
from tests.guided_problems import PROCESS, A, B, error, times
from tests.mixture2d import at_level, start_states


class Bowl:
    """A quadratic potential with eigenvalues of minus its Hessian given."""

    def __init__(self, eigenvalues: list[float]) -> None:
        turned, _ = torch.linalg.qr(
            torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        )
        self._matrix = (
            turned @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ turned.T
        )

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        return -0.5 * torch.einsum("bi,ij,bj->b", x, self._matrix, x)

    def gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        return -torch.einsum("bi,ij->bj", x, self._matrix)

    def impute(self, x: Tensor, at: StackedLevel) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("eigenvalues", "largest"),
    [([3.0, 1.0, 0.5], 3.0), ([-4.0, 1.0, 0.0], 1.0), ([-4.0, -1.0, -2.0], -1.0)],
)
def test_the_largest_eigenvalue_is_found_also_where_another_is_larger_in_size(
    eigenvalues: list[float], largest: float
) -> None:
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    at = at_level(PROCESS.at(0.5), 4)
    bowl = Bowl(eigenvalues)
    with torch.inference_mode():
        found = largest_curvature(bowl, x, at, iterations=200)
    torch.testing.assert_close(found, torch.full((4,), largest, dtype=torch.float64))


def test_curvatures_of_smooth_guidance_are_those_of_its_hessian() -> None:
    x, at = start_states(4), at_level(PROCESS.at(0.3), 4)
    found = largest_curvature(A, x, at, iterations=200)
    for row in range(4):
        one = at_level(PROCESS.at(0.3), 1)
        hessian = torch.autograd.functional.hessian(
            lambda state, one=one: A.value(state[None], one).sum(), x[row]
        )
        expected = torch.linalg.eigvalsh(-hessian)[-1]
        torch.testing.assert_close(found[row], expected, rtol=1e-6, atol=1e-8)


class Ramp(Bowl):
    """A linear potential."""

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        return x.sum(dim=1)


def test_a_ramp_has_no_curvature() -> None:
    found = largest_curvature(Ramp([0.0] * 3), start_states(), at_level(PROCESS.at(0.3), 16))
    torch.testing.assert_close(found, torch.zeros(16, dtype=torch.float64))


def test_a_classifier_of_one_class_has_no_curvature() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 1, dtype=torch.float64))
    condition = ClassifierGuidance(lambda x, time: x @ weight, torch.zeros(16, dtype=torch.long))
    found = largest_curvature(condition, start_states(), at_level(PROCESS.at(0.3), 16))
    torch.testing.assert_close(found, torch.zeros(16, dtype=torch.float64))


@pytest.mark.parametrize(("steps", "order"), [(10, 0), (20, 1), (200, 4)])
def test_the_order_that_stays_stable_is_the_one_that_converges(steps: int, order: int) -> None:
    levels = [PROCESS.at(t) for t in times(steps)]
    curvature = float(largest_curvature(B, start_states(), at_level(levels[0], 16)).max())
    numbers = stiffness_numbers(levels, [curvature], scale=5.0)
    assert largest_stable_order(numbers) == order, max(numbers)
    assert (error(B, 5.0, "add1", steps) < 0.1) == (order >= 1)
    assert (error(B, 5.0, "add4", steps, {"order_cond": 4}) < 0.1) == (order >= 4)


def test_a_few_curvatures_are_spread_over_the_steps() -> None:
    levels = [PROCESS.at(t) for t in times(4)]
    unit = stiffness_numbers(levels, [1.0], scale=1.0)
    found = stiffness_numbers(levels, [1.0, 7.0], scale=2.0)
    assert [f / u for f, u in zip(found, unit, strict=True)] == pytest.approx(
        [2.0, 6.0, 10.0, 14.0]
    )


def test_limits_shrink_with_the_order() -> None:
    assert [largest_stable_order([limit * 0.999]) for limit in STABILITY_LIMITS] == [1, 2, 3, 4]


def test_no_curvature_at_all_is_refused() -> None:
    with pytest.raises(InvalidInput, match="curvatures: none"):
        stiffness_numbers([PROCESS.at(1.0), PROCESS.at(0.5)], [], scale=1.0)
