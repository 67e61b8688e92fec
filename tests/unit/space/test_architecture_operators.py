"""Operators on architectures and limits: whatever they do, members within the limits come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from space import architecture_operators as operators
from space.architecture_limits import BoundedSpace, few_configurations, fitted, ramped
from space.architectures import MODES, ArchitectureGenome, ArchitectureSpace, Mode
from tests.unit.space.architecture_cases import bounded_spaces, costs_of, members, space_of
from tests.unit.space.strategies import generators

Apply = Callable[
    [ArchitectureGenome, ArchitectureGenome, BoundedSpace, np.random.Generator], object
]

OPERATORS: dict[str, Apply] = {
    **{
        move.__name__: lambda a, b, bounded, rng, move=move: move(a, bounded, rng)  # type: ignore[misc]
        for _, _, move in operators.MOVES
    },
    "mutate": lambda a, b, bounded, rng: operators.mutate(a, bounded, rng),
    "crossover": operators.crossover,
    "crossover_by_section": operators.crossover_by_section,
    "crossover_by_step": lambda a, b, bounded, rng: operators.crossover_by_step(
        a, b, (rng.random(bounded.space.steps) < 0.5).tolist(), bounded, rng
    ),
    "random_genome": lambda a, b, bounded, rng: operators.random_genome(bounded, rng),
}


def bounded_of(
    mode: Mode = "steps", *, least: float = 0.0, most: float = 1.0, steps: int = 6
) -> BoundedSpace:
    space = space_of("imagenet-64", mode, steps)
    costs = costs_of(space, "imagenet-64", (1,) * steps)
    return BoundedSpace(space=space, costs=costs, least=least, most=most)


def by_step(genome: ArchitectureGenome) -> list[tuple[int, ...]]:
    return [genome.widths[c] for c in genome.of_step]


def assert_member(genome: object, bounded: BoundedSpace) -> None:
    """Legal for the network, and the limits hold."""
    assert isinstance(genome, ArchitectureGenome)
    assert bounded.space.holds(genome), genome
    share = bounded.costs.share(genome)
    assert bounded.least - 1e-9 <= share <= bounded.most + 1e-9, share
    order = [{block.name: range(block.units) for block in bounded.space.blocks}]
    architecture = bounded.space.decode(genome, order)
    architecture.normalised(bounded.space.blocks, steps=bounded.space.steps)


@pytest.mark.parametrize("name", OPERATORS)
@settings(max_examples=12)
@given(st.data(), generators)
def test_operators_stay_in_the_space_and_within_the_limits(
    name: str, data: st.DataObject, rng: np.random.Generator
) -> None:
    bounded = data.draw(bounded_spaces("small"))
    parents = data.draw(members(bounded)), data.draw(members(bounded))
    assert_member(OPERATORS[name](*parents, bounded, rng), bounded)


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=3)
@given(data=st.data(), rng=generators)
def test_operators_stay_within_the_published_network(
    mode: Mode, data: st.DataObject, rng: np.random.Generator
) -> None:
    bounded = bounded_of(mode, least=0.75)
    a, b = data.draw(members(bounded)), data.draw(members(bounded))
    for apply in OPERATORS.values():
        assert_member(apply(a, b, bounded, rng), bounded)


@pytest.mark.parametrize("name", OPERATORS)
def test_equal_generators_give_equal_children(name: str) -> None:
    runs = []
    for _ in range(2):
        rng, bounded = np.random.default_rng(5), bounded_of(most=0.8)
        a, b = (operators.random_genome(bounded, rng) for _ in range(2))
        runs.append([OPERATORS[name](a, b, bounded, rng) for _ in range(5)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 1


@given(data=st.data(), rng=generators)
@settings(max_examples=12)
def test_fitting_leaves_members_as_they_are(data: st.DataObject, rng: np.random.Generator) -> None:
    bounded = data.draw(bounded_spaces("small"))
    genome = data.draw(members(bounded))
    assert fitted(genome, bounded, rng) == genome


def test_fitting_cuts_to_a_budget_and_no_further_than_it_must() -> None:
    bounded, rng = bounded_of("shared", most=0.7), np.random.default_rng(0)
    shares = [bounded.costs.share(fitted(bounded.space.full, bounded, rng)) for _ in range(10)]
    places = [a - b for macs in bounded.costs.of_place for a, b in pairwise(macs)]
    largest = max(places) / bounded.costs.network(bounded.space.full_widths)
    assert all(0.7 - largest < share <= 0.7 for share in shares), (shares, largest)


def test_sensitive_blocks_are_seldom_cut() -> None:
    free, rng = bounded_of("shared", least=0.5), np.random.default_rng(0)
    spared = [b < 29 for b in range(58)]
    bounded = BoundedSpace(
        space=free.space, costs=free.costs, sensitivity=tuple(100.0 if s else 1.0 for s in spared)
    )
    changed = {
        b
        for _ in range(200)
        for b, place in enumerate(operators.nudge(free.space.full, bounded, rng).widths[0])
        if place
    }
    touched = sum(spared[b] for b in changed)
    assert touched < 5 < len(changed) - touched, sorted(changed)


def test_the_largest_blocks_are_cut_most() -> None:
    bounded, rng = bounded_of("shared"), np.random.default_rng(0)
    counts = np.zeros(58)
    for _ in range(400):
        counts += np.array(operators.nudge(bounded.space.full, bounded, rng).widths[0]) > 0
    weights = np.array(bounded.weights)
    top, bottom = np.argsort(-weights)[:10], np.argsort(weights)[:10]
    assert counts[top].sum() > 10 * counts[bottom].sum(), (counts[top], counts[bottom])


def test_a_swap_exchanges_places_of_alike_blocks() -> None:
    bounded, rng = bounded_of("shared"), np.random.default_rng(1)
    genome = bounded.space.full.with_place(0, 0, 2)
    for _ in range(20):
        child = operators.swap(genome, bounded, rng)
        assert sorted(child.widths[0]) == sorted(genome.widths[0])
        assert child.widths[0][0] == 0
        taker = child.widths[0].index(2)
        assert bounded.space.blocks[taker].kind == "residual"


def test_copying_a_neighbour_changes_one_step_to_one_beside_it() -> None:
    bounded, rng = bounded_of("steps"), np.random.default_rng(2)
    full = bounded.space.full_widths
    genome = ArchitectureGenome((full, (1, *full[1:]), (2, *full[1:])), (0, 0, 1, 1, 2, 2))
    for _ in range(30):
        before, after = by_step(genome), by_step(operators.copy_neighbour(genome, bounded, rng))
        changed = [k for k in range(6) if before[k] != after[k]]
        assert len(changed) == 1, (before, after)
        (k,) = changed
        assert after[k] in (before[max(k - 1, 0)], before[min(k + 1, 5)])


def test_copying_a_band_changes_its_widths_and_no_border() -> None:
    bounded, rng = bounded_of("bands"), np.random.default_rng(2)
    full = bounded.space.full_widths
    genome = ArchitectureGenome((full, (1, *full[1:]), (2, *full[1:])), (0, 0, 1, 1, 2, 2))
    for _ in range(30):
        child = operators.copy_neighbour(genome, bounded, rng)
        assert child.of_step == genome.of_step
        differ = [c for c in range(3) if child.widths[c] != genome.widths[c]]
        assert len(differ) == 1
        assert child.widths[differ[0]] in (
            genome.widths[max(differ[0] - 1, 0)],
            genome.widths[min(differ[0] + 1, 2)],
        )


def test_moving_a_border_moves_one_step_between_neighbouring_bands() -> None:
    bounded, rng = bounded_of("bands"), np.random.default_rng(3)
    full = bounded.space.full_widths
    genome = ArchitectureGenome((full, (1, *full[1:]), (2, *full[1:])), (0, 0, 1, 1, 1, 2))
    seen = {operators.move_border(genome, bounded, rng).of_step for _ in range(60)}
    assert seen == {(0, 1, 1, 1, 1, 2), (0, 0, 0, 1, 1, 2), (0, 0, 1, 1, 2, 2)}


def test_a_split_gives_the_later_part_of_a_band_widths_of_its_own() -> None:
    bounded, rng = bounded_of("bands"), np.random.default_rng(4)
    seen = set()
    for _ in range(60):
        child = operators.split(bounded.space.full, bounded, rng)
        assert child.widths[0] == bounded.space.full_widths != child.widths[1]
        seen.add(child.of_step)
    assert seen == {tuple(int(k >= cut) for k in range(6)) for cut in range(1, 6)}


@settings(max_examples=20)
@given(data=st.data(), rng=generators)
def test_crossover_by_step_takes_what_the_parents_run_where_few_enough_differ(
    data: st.DataObject, rng: np.random.Generator
) -> None:
    bounded = bounded_of("steps")
    full = bounded.space.full_widths
    a = ArchitectureGenome((full, (1, *full[1:])), (0, 1, 0, 1, 0, 1))
    b = ArchitectureGenome(((2, *full[1:]),), (0,) * 6)
    from_a = data.draw(st.lists(st.booleans(), min_size=6, max_size=6))
    child = operators.crossover_by_step(a, b, from_a, bounded, rng)
    pairs = zip(by_step(a), by_step(b), from_a, strict=True)
    assert by_step(child) == [x if is_a else y for x, y, is_a in pairs]


@given(generators)
@settings(max_examples=20)
def test_crossover_by_section_takes_sections_whole(rng: np.random.Generator) -> None:
    bounded = bounded_of("shared")
    a, b = (ArchitectureGenome(((place,) * 58,), (0,) * 6) for place in (1, 2))
    (child,) = operators.crossover_by_section(a, b, bounded, rng).widths
    found = {(s, place) for s, place in zip(bounded.space.sections, child, strict=True)}
    assert len(found) == len(set(bounded.space.sections)), found


def test_too_many_configurations_become_like_those_that_stay() -> None:
    bounded = bounded_of("steps")
    full = bounded.space.full_widths
    widths = [(place, *full[1:]) for place in (0, 3, 4)]
    apart = [widths[0], widths[0], widths[1], widths[1], widths[2], (0, 4, *full[2:])]
    genome = few_configurations(apart, [0, 0, 1, 1, 2, 3], bounded)
    assert by_step(genome) == [*apart[:4], widths[1], apart[5]], "3 is like 4"


def test_bands_of_one_origin_that_lie_apart_are_merged_only_with_neighbours() -> None:
    bounded = bounded_of("bands")
    full, other = bounded.space.full_widths, (4, *bounded.space.full_widths[1:])
    genome = few_configurations([full, other, full, other, full, full], [0, 1, 0, 1, 0, 0], bounded)
    assert by_step(genome) == [full, other, full, full, full, full]
    assert genome.of_step == (0, 1, 2, 2, 2, 2)


@given(generators)
@settings(max_examples=30)
def test_random_genomes_are_near_full(rng: np.random.Generator) -> None:
    bounded = bounded_of("steps")
    genome = operators.random_genome(bounded, rng)
    places = sum(sum(widths) for widths in genome.widths)
    assert 1 <= places <= operators.MAX_CHANGES


def test_every_move_of_a_mode_is_drawn() -> None:
    for mode in MODES:
        bounded, rng = bounded_of(mode), np.random.default_rng(0)
        genome = operators.random_genome(bounded, rng)
        seen = set()
        for _ in range(150):
            genome = operators.mutate(genome, bounded, rng)
            seen.add(len(genome.widths))
        assert max(seen) == (1 if mode == "shared" else 3), (mode, seen)
    assert sum(weight for _, weight, _ in operators.MOVES) == pytest.approx(1.0)


def test_the_allowed_saving_grows_in_five_equal_parts_and_ends_exactly() -> None:
    found = [ramped(0.25, generation, start=3) for generation in range(10)]
    np.testing.assert_allclose(found[:8], [0, 0, 0, 0.05, 0.1, 0.15, 0.2, 0.25])
    assert found[7:] == [0.25] * 3
    bounded, rng = bounded_of(least=0.75), np.random.default_rng(0)
    cut = ArchitectureGenome(((2,) * 58,), (0,) * 6)
    for generation in range(7):
        limited = bounded.at_generation(generation, max_saving=0.25, start=1)
        share = limited.costs.share(fitted(cut, limited, rng))
        allowed = 1.0 - 0.05 * min(generation, 5)
        assert allowed <= share + 1e-12, (generation, share)
        assert share <= allowed + 0.05, (generation, share)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"least": 0.9, "most": 0.8}, "least <= most"),
        ({"most": 0.01}, "what the smallest network takes"),
        ({"least": 0.8, "most": 0.81}, "as large as the largest change"),
        ({"sensitivity": (1.0,)}, "for each block"),
        ({"sensitivity": (-1.0,) * 58}, "at least 0"),
        ({"sensitivity": (float("nan"),) * 58}, "at least 0"),
    ],
)
def test_limits_that_cannot_be_met_are_refused(values: dict[str, object], message: str) -> None:
    space = space_of("imagenet-64", "shared", 4)
    costs = costs_of(space, "imagenet-64", (1,) * 4)
    with pytest.raises(InvalidInput, match=message):
        BoundedSpace(space=space, costs=costs, **values)  # type: ignore[arg-type]


def test_a_network_of_which_nothing_may_go_is_refused() -> None:
    whole = space_of("small", "shared", 2)
    block = next(block for block in whole.blocks if block.kind == "residual")
    one = ArchitectureSpace(blocks=(replace(block, units=1),), steps=2)
    costs = costs_of(whole, "small", (1, 1))
    alone = type(costs)(costs.fixed, ((costs.of_place[0][0],),), (1, 1))
    with pytest.raises(InvalidInput, match="something may go"):
        BoundedSpace(space=one, costs=alone)
