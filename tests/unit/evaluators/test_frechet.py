"""The Frechet distance: closed forms, torch-fidelity's values, independence of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from evaluators.fidelity import torch_fidelity_fid
from evaluators.frechet import Gaussian, fit_gaussian, frechet_distance
from fewstep.errors import InvalidInput

Array = npt.NDArray[np.float64]


def correlated(num: int, d: int, seed: int, shift: float = 0.0) -> npt.NDArray[np.float32]:
    """Features with a spectrum that falls over three decades, as networks' features do."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(99).normal(size=(d, d)))
    spread = np.logspace(0.0, -1.5, d)
    features: Array = rng.normal(size=(num, d)) * spread @ rotation + shift
    return features.astype(np.float32)


@pytest.mark.parametrize(
    ("num", "d"), [(40, 64), (64, 64), (65, 64), (400, 64), (2, 16), (100, 256)]
)
def test_equals_torch_fidelity_for_fewer_and_for_more_images_than_dimensions(
    num: int, d: int
) -> None:
    features = correlated(num, d, seed=1)
    reference = fit_gaussian(correlated(4 * d, d, seed=2, shift=0.05))
    ours, theirs = frechet_distance(features, reference), torch_fidelity_fid(features, reference)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_both_forms_agree_where_the_images_are_as_many_as_dimensions() -> None:
    reference = fit_gaussian(correlated(300, 32, seed=3))
    features = correlated(32, 32, seed=4)  # by the N x N form
    twice = np.concatenate([features, features])  # same mean and spread; by the d x d form
    spread = fit_gaussian(features).covariance
    overlap = _overlap_by_eigenvalues(spread, reference.covariance)
    shift = float(np.sum((features.mean(axis=0, dtype=np.float64) - reference.mean) ** 2))
    for found, scale in ((features, 1.0), (twice, 62 / 63)):  # (N - 1) / N differs
        expected = shift + scale * np.trace(spread) + np.trace(reference.covariance)
        expected -= 2 * np.sqrt(scale) * overlap
        assert frechet_distance(found, reference) == pytest.approx(expected, rel=1e-6)


def test_is_zero_from_a_sample_to_its_own_statistics() -> None:
    features = correlated(500, 20, seed=5)
    assert frechet_distance(features, fit_gaussian(features)) == pytest.approx(0.0, abs=1e-10)


def test_is_symmetric() -> None:
    one, other = correlated(300, 20, seed=6), correlated(200, 20, seed=7, shift=0.3)
    there = frechet_distance(one, fit_gaussian(other))
    back = frechet_distance(other, fit_gaussian(one))
    assert there == pytest.approx(back, rel=1e-10)


def test_a_pure_shift_costs_its_squared_length() -> None:
    features = correlated(300, 20, seed=8).astype(np.float64)
    shift = np.linspace(-1.0, 1.0, 20)
    found = frechet_distance(features + shift, fit_gaussian(features))
    assert found == pytest.approx(float(shift @ shift), rel=1e-10)


def test_diagonal_covariances_cost_the_squared_difference_of_deviations() -> None:
    rng = np.random.default_rng(9)
    whitened = _whiten(rng.normal(size=(500, 6)))
    a, b = np.array([1.0, 2, 3, 4, 5, 6]), np.array([6.0, 5, 1, 1, 2, 2])
    reference = Gaussian(np.zeros(6), np.diag(b**2))
    found = frechet_distance(whitened * a, reference)
    assert found == pytest.approx(float(np.sum((a - b) ** 2)), rel=1e-9)


def test_does_not_change_when_both_are_rotated() -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(10).normal(size=(20, 20)))
    one = correlated(300, 20, seed=11).astype(np.float64)
    other = correlated(400, 20, seed=12, shift=0.1).astype(np.float64)
    plain = frechet_distance(one, fit_gaussian(other))
    assert frechet_distance(one @ rotation, fit_gaussian(other @ rotation)) == pytest.approx(plain)


def test_order_of_images_does_not_matter_beyond_rounding() -> None:
    features, reference = correlated(300, 20, seed=13), fit_gaussian(correlated(300, 20, seed=14))
    forward = frechet_distance(features, reference)
    assert frechet_distance(features[::-1], reference) == pytest.approx(forward, rel=1e-12)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    code = """
import numpy as np
from evaluators.frechet import fit_gaussian, frechet_distance
rng = np.random.default_rng(0)
reference = fit_gaussian(rng.normal(size=(900, 300)).cumsum(axis=1))
for num in (200, 500):
    print(frechet_distance(rng.normal(size=(num, 300)).astype(np.float32), reference).hex())
"""
    outputs = set()
    for threads in ("1", "2", "4"):
        limits = {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        found = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | limits,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(found.stdout)
    assert len(outputs) == 1, outputs


@pytest.mark.parametrize("shape", [(1, 4), (5,), (2, 2, 2)])
def test_what_has_no_covariance_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="at least 2"):
        frechet_distance(np.zeros(shape), Gaussian(np.zeros(4), np.eye(4)))


def test_other_dimensions_than_the_reference_s_are_refused() -> None:
    with pytest.raises(InvalidInput, match="3 dimensions, the reference 4"):
        frechet_distance(np.zeros((5, 3)), Gaussian(np.zeros(4), np.eye(4)))


def _whiten(values: Array) -> Array:
    """Mean 0 and covariance 1, exactly."""
    gaussian = fit_gaussian(values)
    return np.linalg.solve(np.linalg.cholesky(gaussian.covariance), (values - gaussian.mean).T).T


def _overlap_by_eigenvalues(one: Array, other: Array) -> float:
    """Tr (A B)^(1/2) by the eigenvalues of the plain product."""
    return float(np.sum(np.sqrt(np.linalg.eigvals(one @ other).astype(complex)).real))
