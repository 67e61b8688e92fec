"""Seeds of architectures: uniform ratios, and greedy cuts that no other set of cuts beats."""

from __future__ import annotations

from itertools import accumulate, pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.blocks import PrunableBlock
from space.architecture_cost import GenomeCosts
from space.architecture_limits import BoundedSpace
from space.architecture_seeds import Errors, greedy_path, greedy_seed, uniform_seeds
from space.architectures import ArchitectureGenome, ArchitectureSpace
from tests.unit.space.architecture_cases import costs_of, space_of

BLOCKS = tuple(
    PrunableBlock(name=name, kind="residual", units=8, unit_width=1) for name in ("a", "b", "c")
)
SPACE = ArchitectureSpace(blocks=BLOCKS, steps=2, removable=("a", "b", "c"))
SIZE = SPACE.ladders[0].size


def toy(unit_macs: tuple[int, ...], *, least: float = 0.0, most: float = 1.0) -> BoundedSpace:
    """Blocks whose multiply-adds are proportional to the units that run, and 10 beside them."""
    units = (*SPACE.ladders[0].units, 0)
    of_place = tuple(tuple(unit * kept for kept in units) for unit in unit_macs)
    return BoundedSpace(
        space=SPACE, costs=GenomeCosts(10, of_place, (1, 1)), least=least, most=most
    )


@st.composite
def convex_errors(draw: st.DrawFn) -> Errors:
    """Errors whose increase per unit grows down the ladder."""
    kept = (*SPACE.ladders[0].units, 0)
    found = {}
    for name in ("a", "b", "c"):
        rates = sorted(draw(st.lists(st.integers(0, 50), min_size=SIZE - 1, max_size=SIZE - 1)))
        steps = [rate * (a - b) for rate, (a, b) in zip(rates, pairwise(kept), strict=True)]
        found[name] = list(accumulate(steps, initial=0))
    return found


def error(genome: ArchitectureGenome, errors: Errors) -> float:
    (widths,) = genome.widths
    return sum(errors[block.name][p] for block, p in zip(BLOCKS, widths, strict=True))


macs = st.tuples(*[st.integers(1, 20)] * 3)


@settings(max_examples=25)
@given(macs, convex_errors())
def test_no_cuts_that_save_as_much_have_a_smaller_error(
    unit_macs: tuple[int, ...], errors: Errors
) -> None:
    bounded = toy(unit_macs)
    every = [ArchitectureGenome((w,), (0, 0)) for w in product(range(SIZE), repeat=3)]
    known = [(bounded.costs.cost(genome), error(genome, errors)) for genome in every]
    for genome in greedy_path(bounded, [errors]):
        spent, found = bounded.costs.cost(genome), error(genome, errors)
        assert found <= min(e for cost, e in known if cost <= spent) + 1e-9, genome


@settings(max_examples=40)
@given(macs, convex_errors(), st.floats(0.35, 0.95))
def test_the_greedy_seed_is_never_worse_than_dropping_the_same_cost_in_plain_order(
    unit_macs: tuple[int, ...], errors: Errors, most: float
) -> None:
    bounded = toy(unit_macs, most=max(most, 10.1 / (10 + 8 * sum(unit_macs))))
    seed = greedy_seed(bounded, [errors])
    assert bounded.holds(seed)
    plain = SPACE.full
    for block, place in product(range(3), range(1, SIZE)):
        if bounded.costs.cost(plain) <= bounded.costs.cost(seed):
            break
        plain = plain.with_place(0, block, place)
    assert bounded.costs.cost(plain) <= bounded.costs.cost(seed)
    assert error(seed, errors) <= error(plain, errors) + 1e-9


@settings(max_examples=25)
@given(macs, convex_errors(), st.floats(0.3, 1.0))
def test_a_saving_is_used_as_far_as_the_next_cut_allows(
    unit_macs: tuple[int, ...], errors: Errors, least: float
) -> None:
    bounded = toy(unit_macs, least=least)
    path = list(greedy_path(bounded, [errors]))
    seed = greedy_seed(bounded, [errors])
    after = [genome for genome in path if bounded.costs.cost(genome) < bounded.costs.cost(seed)]
    assert bounded.holds(seed)
    assert not after or bounded.excess(after[0]) < 0
    assert bounded.costs.cost(greedy_seed(toy(unit_macs), [errors])) == 2 * 10, "without limits all"


def test_a_place_worse_than_the_one_below_it_is_passed_through() -> None:
    """Half of block a is useless, none of it is fine: both cuts of it come before any of b."""
    bounded = toy((5, 5, 5))
    jump = {"a": [0, 9, 9, 9, 9, 1], "b": [0, 2, 4, 6, 8, 20], "c": [0, 50, 50, 50, 50, 50]}
    path = list(greedy_path(bounded, [jump]))
    assert [genome.widths[0] for genome in path[:6]] == [(p, 0, 0) for p in range(SIZE)]
    assert len(path) == 3 * (SIZE - 1) + 1


def test_errors_of_each_step_cut_each_configuration_where_it_is_least() -> None:
    space = ArchitectureSpace(blocks=BLOCKS, steps=2, mode="bands")
    costs = GenomeCosts(10, ((8, 7, 6, 5, 4),) * 3, (1, 1))
    bounded = BoundedSpace(space=space, costs=costs, least=0.9)
    cheap, dear = [0.0, 1, 2, 3, 4], [0.0, 10, 20, 30, 40]
    errors = [{"a": cheap, "b": dear, "c": dear}, {"a": dear, "b": dear, "c": cheap}]
    seed = greedy_seed(bounded, errors, of_step=(0, 1))
    first, second = seed.widths
    assert first[0] == 4
    assert second[2] > 0
    assert sum(first) == first[0]
    assert sum(second) == second[2]


def test_reuse_is_cut_to_only_after_a_step_that_runs_the_body() -> None:
    names = tuple(block.name for block in BLOCKS)
    space = ArchitectureSpace(blocks=BLOCKS, steps=3, mode="bands", removable=names, reusable=names)
    costs = GenomeCosts(10, ((8, 7, 6, 5, 4, 0, 0),) * 3, (1, 1, 1))
    reuse = {name: [0.0, 1, 2, 3, 4, 0.5, 9] for name in names}
    path = list(greedy_path(BoundedSpace(space=space, costs=costs), [reuse], of_step=(0, 1, 1)))
    assert all(space.holds(genome) for genome in path)
    assert any(genome.widths[1][0] == 5 for genome in path), "the later steps reuse"
    assert costs.cost(path[-1]) == 3 * 10, "and all is gone in the end"


def test_uniform_seeds_of_the_published_network_cost_what_was_counted() -> None:
    """All inner widths at 3/4 with full attention cost 0.791: with 3/4 of the heads less."""
    space = space_of("imagenet-64", "bands", 10)
    bounded = BoundedSpace(space=space, costs=costs_of(space, "imagenet-64", (1,) * 10))
    shares = {name: bounded.costs.share(g) for name, g in uniform_seeds(bounded).items()}
    assert list(shares) == ["full", *(f"uniform-{eighths}/8" for eighths in (7, 6, 5, 4))]
    assert 0.5 < shares["uniform-6/8"] < 0.791 < shares["uniform-7/8"] < 0.9, shares
    limited = BoundedSpace(space=space, costs=bounded.costs, least=0.8)
    assert list(uniform_seeds(limited)) == ["full", "uniform-7/8"]


@pytest.mark.parametrize("errors", [[], [{}], [{"a": [0.0] * SIZE, "b": [0.0], "c": [0.0]}]])
def test_errors_of_other_lengths_are_refused(errors: list[Errors]) -> None:
    with pytest.raises(InvalidInput, match="errors"):
        greedy_seed(toy((1, 1, 1)), errors)
