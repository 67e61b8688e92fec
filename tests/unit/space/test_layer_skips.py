"""The published second stage: members come out, and its released bugs do not come back."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.blocks import PrunableBlock, adm_blocks
from space.architecture_cost import macs_share
from space.layer_skips import (
    LayerSkipSpace,
    SkipGenome,
    SkipRamp,
    Skips,
    crossover,
    full_genome,
    mutate,
    random_candidate,
)
from tests.unit.networks.pruning.test_configuration import IMAGENET_64
from tests.unit.space.architecture_cases import SMALL
from tests.unit.space.strategies import generators, process

PUBLISHED = (971, 856, 744, 676, 647, 572, 441, 305, 137, 85)
PUBLISHED_SKIPS = (4, 8, 10, 15, 30, 39, 46, 49, 54)
DONE = SkipRamp(max_fraction=0.2, fifths=5)


@lru_cache
def space_of(max_layers: int = 580, size: int = 1000) -> LayerSkipSpace:
    return LayerSkipSpace(process(size), adm_blocks(IMAGENET_64), max_layers)


@lru_cache
def small(max_layers: int, size: int = 40) -> LayerSkipSpace:
    return LayerSkipSpace(process(size), adm_blocks(SMALL), max_layers)


ramps = st.builds(
    SkipRamp,
    max_fraction=st.sampled_from([0.1, 0.2, 0.5, 1.0]),
    min_fraction=st.sampled_from([0.0, 0.1]),
    fifths=st.integers(0, 5),
    is_raised=st.booleans(),
)


@settings(max_examples=150)
@given(ramps, st.integers(1, 5), st.integers(0, 14), st.sampled_from([3, 40]), generators)
def test_every_operator_gives_members_within_the_budget(
    ramp: SkipRamp, steps: int, extra: int, size: int, rng: np.random.Generator
) -> None:
    layers = len(adm_blocks(SMALL))
    space = small(layers * steps + extra, size)
    a, b = (random_candidate(space, ramp, rng) for _ in range(2))
    for genome in (a, b, crossover(a, b, space, rng), mutate(a, space, ramp, rng, 0.5)):
        assert space.holds(genome), genome
        times, architecture = space.schedule(genome)
        assert len(times) == len(genome) + 1
        architecture.normalised(space.blocks, steps=len(genome))
        removed = [len(architecture.at(step).choices) for step in range(len(genome))]
        assert removed == [len(skips) for _, skips in genome]
        assert sum(layers - count for count in removed) <= space.max_layers


def test_nothing_is_skipped_at_first_and_the_budget_is_used_up() -> None:
    rng = np.random.default_rng(0)
    for budget, steps in ((580, 10), (58, 1), (637, 10)):
        genome = random_candidate(space_of(budget), SkipRamp(), rng)
        assert len(genome) == steps
        assert all(skips == () for _, skips in genome)


def test_skipped_layers_make_room_for_more_steps() -> None:
    rng = np.random.default_rng(0)
    counts = [len(random_candidate(space_of(), DONE, rng)) for _ in range(40)]
    assert max(counts) > 10, counts
    assert min(counts) >= 10, counts


def test_fractions_are_drawn_between_the_ends_of_the_ramp() -> None:
    ramp = SkipRamp(max_fraction=0.5, min_fraction=0.25, fifths=5, is_raised=True)
    rng = np.random.default_rng(0)
    genomes = [random_candidate(space_of(), ramp, rng) for _ in range(40)]
    sizes = {len(skips) for genome in genomes for _, skips in genome}
    assert 14 <= min(sizes) < 17, sizes  # 14.5 layers are a quarter
    assert 26 < max(sizes) <= 29, sizes


def test_mutation_really_exchanges_skipped_layers() -> None:
    """As released, steps that skip layers never changed them."""
    rng, kept = np.random.default_rng(0), []
    for _ in range(100):
        ((_, skips),) = mutate(((676, PUBLISHED_SKIPS),), space_of(), DONE, rng, 0.25)
        assert len(skips) == 9
        kept.append(len(set(skips) & set(PUBLISHED_SKIPS)))
    assert 6.2 < np.mean(kept) < 7.4, "a quarter of nine is exchanged, some of it back"
    assert kept.count(9) < 20, "7.5 are expected to stay as they are"
    genome = tuple((k, PUBLISHED_SKIPS if k == 676 else ()) for k in PUBLISHED)
    children = [mutate(genome, space_of(), DONE, rng, 0.25) for _ in range(50)]
    assert sum(PUBLISHED_SKIPS in dict(child).values() for child in children) < 15
    assert mutate(genome, space_of(), DONE, rng, 0.0) == genome


def test_a_mutated_full_step_skips_a_fresh_set_once_the_ramp_allows() -> None:
    rng = np.random.default_rng(0)
    genome = full_genome(PUBLISHED)
    none = [mutate(genome, space_of(), SkipRamp(), rng, 1.0) for _ in range(10)]
    assert all(skips == () for child in none for _, skips in child)
    some = [mutate(genome, space_of(), DONE, rng, 0.25) for _ in range(10)]
    sizes = {len(skips) for child in some for _, skips in child}
    assert 0 in sizes
    assert max(sizes) in range(5, 12), sizes  # a fifth of 58 is 11.6


def test_crossover_appends_the_longer_tail_and_holds_the_budget() -> None:
    """As released, contents stood for lengths, and the budget was not looked at again."""
    space, rng = space_of(58 * 4), np.random.default_rng(1)
    short = full_genome([900, 500, 100, 10])
    most = tuple(range(29))
    long: SkipGenome = tuple((k, most) for k in (950, 800, 600, 450, 300, 200, 150, 50))
    lengths, tails = set(), 0
    for _ in range(60):
        first, second = (short, long) if rng.random() < 0.5 else (long, short)
        child = crossover(first, second, space, rng)
        assert space.layers(child) <= 58 * 4
        lengths.add(len(child))
        tails += all(step in child for step in long[4:])
    assert 4 <= min(lengths) < max(lengths) == 8, lengths
    assert tails > 0


def skips_of(k: int) -> Skips:
    """Layers that stand for an index, so that whose they were is seen."""
    return (1, 2) if k < 300 else (3,) if k < 600 else ()


@given(st.data(), generators)
def test_skipped_layers_follow_their_step_and_no_step_is_lost(
    data: st.DataObject, rng: np.random.Generator
) -> None:
    """As released, duplicates vanished and all lists after them moved up."""
    draw = st.sets(st.integers(0, 999), min_size=6, max_size=6)
    parents = [
        tuple((k, skips_of(k)) for k in sorted(data.draw(draw), reverse=True)) for _ in range(2)
    ]
    known = {k for parent in parents for k, _ in parent}
    child = crossover(parents[0], parents[1], space_of(), rng)
    assert len(child) == len({k for k, _ in child}) == 6
    moved = [step for step in child if step[0] not in known]
    followed = [step for step in child if step[1] == skips_of(step[0])]
    assert len(followed) + len(moved) >= 6, (parents, child)


def test_a_taken_index_goes_to_the_nearest_free_one_with_its_layers() -> None:
    rng = np.random.default_rng(0)
    a: SkipGenome = ((500, ()), (400, (7,)))
    b: SkipGenome = ((400, (3, 4)), (300, ()))
    seen = {crossover(a, b, space_of(), rng) for _ in range(60)}
    assert seen == {a, b, ((500, ()), (300, ())), ((400, (3, 4)), (399, (7,)))}


def test_few_sets_of_layers_differ_and_full_steps_stay_full() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        genome = mutate(full_genome(PUBLISHED), space_of(), DONE, rng, 0.7)
        sets = {skips for _, skips in genome}
        assert len(sets) <= 3, sets
        assert space_of().layers(genome) <= 580
    assert () in sets


def test_the_published_example_saves_a_sixtieth_in_all() -> None:
    """Nine layers out of one of ten calls: 16.8 % of that call, 1.7 % of all."""
    genome: SkipGenome = tuple((k, PUBLISHED_SKIPS if k == 676 else ()) for k in PUBLISHED)
    times, architecture = space_of().schedule(genome)
    assert times[:2] == (0.972, 0.857)
    assert times[-1] == 0.0
    assert space_of().layers(genome) == 571
    one_call = tuple(int(k == 676) for k in PUBLISHED)
    left = macs_share(architecture, IMAGENET_64, 64, passes=one_call)
    assert round(1 - left, 3) == 0.168
    left = macs_share(architecture, IMAGENET_64, 64, passes=(1,) * 10)
    assert round(1 - left, 4) == 0.0168


@pytest.mark.parametrize(
    ("improved", "started"),
    [([True] * 12, 5), ([True, True, False] + [True] * 9, 2), ([False] * 12, 0)],
)
def test_the_ramp_starts_when_times_stop_improving_and_rises_in_fifths(
    improved: list[bool], started: int
) -> None:
    ramp, highs, lows = SkipRamp(max_fraction=0.1, min_fraction=0.05), [], []
    for generation, has_improved in enumerate(improved):
        ramp = ramp.advanced(generation, has_improved=has_improved)
        highs.append(ramp.high)
        lows.append(ramp.low)
    expected = [0.1 * min(max(g - started + 1, 0), 5) / 5 for g in range(12)]
    assert highs == expected
    assert highs[-1] == 0.1, "exactly: floats are not added up"
    assert lows == [0.0] * 6 + [min(0.05, high) for high in highs[6:]]


def test_equal_seeds_equal_results() -> None:
    runs = []
    for _ in range(2):
        rng = np.random.default_rng(9)
        genomes = [random_candidate(space_of(), DONE, rng) for _ in range(4)]
        genomes += [crossover(a, b, space_of(), rng) for a, b in itertools.pairwise(genomes)]
        runs.append(genomes + [mutate(g, space_of(), DONE, rng, 0.25) for g in genomes])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == len(runs[0])


@pytest.mark.parametrize(
    "genome",
    [
        (),
        ((5, ()), (5, ())),
        ((5, ()), (6, ())),
        ((1000, ()),),
        ((5, (2, 1)),),
        ((5, (58,)),),
        tuple((k, (k,)) for k in (3, 2, 1, 0)),
        full_genome(range(11)),
    ],
)
def test_what_is_no_member_has_no_schedule(genome: SkipGenome) -> None:
    with pytest.raises(InvalidInput, match="allowed: distinct indices") as caught:
        space_of().schedule(genome)
    assert caught.value.field == "genome"


def test_spaces_and_ramps_say_what_is_allowed() -> None:
    fixed = PrunableBlock(
        name="x", kind="feed-forward", units=2, unit_width=1, can_be_removed=False
    )
    with pytest.raises(InvalidInput, match="may not go"):
        LayerSkipSpace(process(40), (fixed,), 10)
    with pytest.raises(InvalidInput, match="max_layers=57"):
        space_of(57)
    with pytest.raises(InvalidInput, match="max_fraction"):
        SkipRamp(max_fraction=0.1, min_fraction=0.2)
