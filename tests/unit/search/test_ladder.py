"""The fidelity ladder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.ladder import Rung, rungs


def spread(calls: int, fidelities: tuple[int, ...] = (256, 1024, 4096)) -> list[Rung]:
    return rungs(fidelities, calls=calls, calls_per_image=4, screening_share=0.4, least=5)


def test_a_rung_that_could_not_hold_the_finalists_is_left_out() -> None:
    assert [rung.num_samples for rung in spread(160_000)] == [256, 1024]
    assert [rung.num_samples for rung in spread(20_000)] == [256]
    assert [rung.num_samples for rung in spread(2_000_000)] == [256, 1024, 4096]


def test_counts_follow_the_shares() -> None:
    assert spread(160_000) == [Rung(256, 62), Rung(1024, 31)]
    assert spread(10_240, (256,)) == [Rung(256, 10)]


@given(
    st.integers(1, 10_000_000),
    st.lists(st.integers(1, 64).map(lambda n: 64 * n), min_size=1, max_size=6, unique=True),
    st.integers(1, 50),
    st.floats(0.1, 0.9),
)
def test_the_rungs_together_cost_no_more_than_the_budget(
    calls: int, fidelities: list[int], per_image: int, share: float
) -> None:
    ladder = rungs(
        sorted(fidelities), calls=calls, calls_per_image=per_image, screening_share=share, least=2
    )
    below, cost = 0, 0
    for rung in ladder:
        cost += rung.count * (rung.num_samples - below) * per_image
        below = rung.num_samples
    assert cost <= calls
