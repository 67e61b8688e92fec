"""Spaces over the blocks of a small and a published network, and what hypothesis draws in them."""

from __future__ import annotations

from functools import lru_cache

from hypothesis import strategies as st

from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.blocks import adm_blocks
from space.architecture_cost import GenomeCosts
from space.architecture_ladders import adm_sections, removable_names
from space.architecture_limits import BoundedSpace, few_configurations, fitted
from space.architectures import MODES, ArchitectureGenome, ArchitectureSpace, Mode
from tests.unit.networks.pruning.test_configuration import IMAGENET_64
from tests.unit.space.strategies import generators

SMALL = UNetConfig(
    in_channels=1,
    model_channels=16,
    out_channels=1,
    num_res_blocks=1,
    attention_resolutions=(2,),
    channel_mult=(1, 2),
    num_head_channels=8,
    norm_groups=8,
    resblock_updown=True,
)
NETWORKS = {"small": (SMALL, 8), "imagenet-64": (IMAGENET_64, 64)}


@lru_cache
def space_of(name: str, mode: Mode, steps: int, *, bodiless: bool = True) -> ArchitectureSpace:
    """The blocks of a network; `bodiless`: every body may be removed and reused."""
    config, _ = NETWORKS[name]
    blocks = adm_blocks(config)
    names = removable_names(blocks) if bodiless else ()
    return ArchitectureSpace(
        blocks=blocks,
        steps=steps,
        mode=mode,
        removable=names,
        reusable=names,
        sections=adm_sections(config),
    )


@lru_cache
def costs_of(space: ArchitectureSpace, name: str, passes: tuple[int, ...]) -> GenomeCosts:
    """Kept, for it is the slow part of an example."""
    return GenomeCosts.of_adm(space, *NETWORKS[name], passes=passes)


@st.composite
def bounded_spaces(draw: st.DrawFn, name: str) -> BoundedSpace:
    """A saving or a budget, or both as far apart as they must be."""
    steps = draw(st.integers(1, 6))
    mode, bodiless = draw(st.sampled_from(MODES)), draw(st.booleans())
    space = space_of(name, mode, steps, bodiless=bodiless)
    passes = (1,) + (draw(st.integers(1, 2)),) * (steps - 1)
    costs = costs_of(space, name, passes)
    least, most = draw(
        st.sampled_from([(0.0, 1.0), (0.75, 1.0), (0.97, 1.0), (1.0, 1.0), (0.0, 0.8), (0.6, 0.85)])
    )
    sensitivity = draw(
        st.just(()) | st.lists(st.floats(0, 5), min_size=len(space.blocks), max_size=80)
    )
    return BoundedSpace(
        space=space,
        costs=costs,
        least=least,
        most=most,
        sensitivity=tuple(sensitivity[: len(space.blocks)]),
    )


@st.composite
def members(draw: st.DrawFn, bounded: BoundedSpace) -> ArchitectureGenome:
    """Any places at all, brought within the limits: far from what operators make by themselves."""
    space = bounded.space
    rng = draw(generators)
    count = draw(st.integers(1, space.max_configurations))
    widths = [
        tuple(int(rng.integers(ladder.size)) for ladder in space.ladders) for _ in range(count)
    ]
    origins = rng.integers(count, size=space.steps).tolist()
    genome = few_configurations([widths[c] for c in origins], origins, bounded)
    return fitted(genome, bounded, rng)
