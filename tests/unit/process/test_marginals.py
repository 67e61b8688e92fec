"""Each continuous process against its published formula, in arithmetic of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext

import numpy as np
import pytest

from fewstep.errors import InvalidInput
from fewstep.process import EDM, VE, FlowMatching, Process, SubVP, VPCosine, VPLinear

PI = Decimal("3.14159265358979323846264338327950288419716939937510")
TIMES = [1e-5, 1e-3, 0.01, 0.1, 0.37, 0.5, 0.9, 0.99]


@pytest.fixture(autouse=True)
def _fifty_digits() -> Iterator[None]:
    with localcontext(prec=50):
        yield


def _vp_linear(t: float) -> tuple[Decimal, Decimal]:
    u = Decimal(t)
    alpha = (-(Decimal(20) - Decimal("0.1")) * u * u / 4 - Decimal("0.1") * u / 2).exp()
    return alpha, (1 - alpha * alpha).sqrt()


def _sub_vp(t: float) -> tuple[Decimal, Decimal]:
    alpha, _ = _vp_linear(t)
    return alpha, 1 - alpha * alpha


def _sine(angle: Decimal) -> Decimal:
    """The Taylor series, to 40 digits for angles up to pi / 2."""
    term, total = angle, angle
    for n in range(1, 30):
        term = -term * angle * angle / (2 * n * (2 * n + 1))
        total += term
    return total


def _vp_cosine(t: float) -> tuple[Decimal, Decimal]:
    angle = (Decimal(t) + Decimal("0.008")) / Decimal("1.008") * PI / 2
    return _sine(PI / 2 - angle), _sine(angle)


def _ve(t: float) -> tuple[Decimal, Decimal]:
    low, high = Decimal("0.01"), Decimal(50)
    return Decimal(1), low * (Decimal(t) * (high / low).ln()).exp()


def _flow(t: float) -> tuple[Decimal, Decimal]:
    sigma = 3 * Decimal(t) / (1 + 2 * Decimal(t))
    return 1 - sigma, sigma


Exact = Callable[[float], tuple[Decimal, Decimal]]
FORMULAS: list[tuple[Process, Exact]] = [
    (VPLinear(), _vp_linear),
    (SubVP(), _sub_vp),
    (VPCosine(), _vp_cosine),
    (VE(), _ve),
    (FlowMatching(shift=3.0), _flow),
]


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize(("process", "exact"), FORMULAS, ids=lambda value: str(value)[:12])
def test_coefficients_are_exact_to_the_last_digits(
    process: Process, exact: Exact, t: float
) -> None:
    level, (alpha, sigma) = process.at(t), exact(t)
    assert level.alpha == pytest.approx(float(alpha), rel=3e-15)
    assert level.sigma == pytest.approx(float(sigma), rel=3e-15)


@pytest.mark.parametrize(("process", "exact"), FORMULAS, ids=lambda value: str(value)[:12])
def test_the_least_noise_survives_in_single_precision(process: Process, exact: Exact) -> None:
    single = np.float32(process.at(1e-3).sigma)
    truth = np.float32(float(exact(1e-3)[1]))
    assert abs(single - truth) <= np.spacing(truth), (single, truth)


def test_vp_linear_has_the_published_ends() -> None:
    process = VPLinear()
    assert process.at(1.0).lam == pytest.approx(-5.0249784067, abs=1e-10)
    assert process.at(1e-3).lam == pytest.approx(4.5577149327, abs=1e-10)
    assert process.at(1.0).rho == pytest.approx(152.167, abs=5e-4)
    assert process.at(1e-3).rho == pytest.approx(0.0104860, abs=5e-8)


def test_a_constant_beta_is_allowed_and_has_its_own_inverse() -> None:
    process = VPLinear(2.0, 2.0)
    assert process.at(0.5).alpha == pytest.approx(math.exp(-0.5), rel=1e-15)
    assert process.at_rho(process.at(0.5).rho).t == pytest.approx(0.5, rel=1e-14)


def test_vp_cosine_is_not_normalised_and_ends_where_it_is_finite() -> None:
    process = VPCosine()
    assert process.t_max == 0.9946
    assert process.at(1e-9).rho == pytest.approx(math.tan(0.008 / 1.008 * math.pi / 2), rel=1e-6)
    with pytest.raises(InvalidInput, match=r"t=1\.0"):
        process.at(1.0)


@pytest.mark.parametrize("process", [VPCosine(), VE()], ids=["vp-cosine", "ve"])
def test_ratios_between_clean_and_the_least_noise_are_the_least_noise(process: Process) -> None:
    assert process.at_rho(0.5 * process.at(process.t_min).rho) == process.at(process.t_min)


def test_sub_vp_has_less_noise_than_vp_of_the_same_betas() -> None:
    for t in TIMES:
        vp, sub = VPLinear().at(t), SubVP().at(t)
        assert sub.alpha == vp.alpha
        assert sub.sigma == pytest.approx(vp.sigma**2, rel=1e-12)


def test_variance_exploding_networks_get_their_noise_level() -> None:
    assert VE(0.01, 50.0).network_time(0.5) == pytest.approx(math.sqrt(0.5), rel=1e-14)
    assert VE(0.01, 50.0).at(1.0).sigma == 50.0
    assert EDM().network_time(1.0) == 0.0
    assert EDM().network_time(80.0) == pytest.approx(math.log(80.0) / 4, rel=1e-15)
    with pytest.raises(InvalidInput, match="clean level is not evaluated"):
        EDM().network_time(0.0)


def test_edm_time_is_the_noise_level() -> None:
    level = EDM().at(3.5)
    assert (level.t, level.alpha, level.sigma) == (3.5, 1.0, 3.5)
    assert (EDM().t_min, EDM().t_max) == (0.002, 80.0)


def test_variance_preserving_networks_get_the_index_of_a_table_of_1000() -> None:
    for process in (VPLinear(), SubVP()):
        found = [process.network_time(t) for t in (1e-4, 1e-3, 0.5, 1.0)]
        assert found == [0.0, 0.0, 499.0, 999.0]


def test_a_flow_ends_at_the_floor_of_alpha() -> None:
    process = FlowMatching()
    assert process.at(1.0).alpha == 2.0**-12
    assert process.at(1.0).rho == 4096.0
    assert process.network_time(1.0) == 1000.0
    assert process.at(0.25).rho == pytest.approx(1 / 3, rel=1e-15)


@pytest.mark.parametrize("shift", [0.2, 1.15, 3.0, 12.0])
def test_a_shift_multiplies_the_noise_ratio(shift: float) -> None:
    for t in (0.01, 0.3, 0.8):
        expected = shift * FlowMatching().at(t).rho
        assert FlowMatching(shift).at(t).rho == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: VPLinear(20.0, 0.1), "beta_0"),
        (lambda: VPLinear(0.0, 20.0), "beta_0"),
        (lambda: SubVP(0.1, 40.0), "beta_1"),
        (lambda: VPLinear(0.1, math.nan), "beta_1"),
        (lambda: VE(50.0, 50.0), "sigma_min"),
        (lambda: VE(-1.0, 50.0), "sigma_min"),
        (lambda: EDM(80.0, 0.002), "sigma_min"),
        (lambda: EDM(0.002, math.inf), "sigma_max"),
        (lambda: FlowMatching(0.0), "shift"),
        (lambda: FlowMatching(-3.0), "shift"),
        (lambda: FlowMatching(True), "shift"),
    ],
)
def test_parameters_that_give_no_process_are_named(
    build: Callable[[], Process], field: str
) -> None:
    with pytest.raises(InvalidInput, match="allowed:") as caught:
        build()
    assert caught.value.field == field
