"""The published second stage, for comparison: times first, then times and layers left out.

Ref: Li et al. 2023 (AutoDiffusion), as released. The first generation runs every layer at every
step. Once times alone stop improving, or after five generations, a growing share of the layers may
be left out, at each step others; what is saved makes room for more steps. The budget counts layers,
which says little about cost (`cost_share`). Operators, and errors that are not kept:
`space.layer_skips`. As in paper mode every evaluation has noise and labels of its own, and the best
value the archive ever saw wins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from evaluators.price import Price
from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.program import trace
from fewstep.solvers.options import OptionValue
from search.ledger import Ledger
from search.published import LAYER_GENERATIONS, calls_of, images_of, settings_of
from search.published_run import Operators, PublishedRun
from search.strategy import Strategy, generator_for
from space.architecture_cost import ImageSize, passes_of_steps, schedule_macs
from space.architecture_limits import INCREMENTS
from space.candidate import Candidate
from space.layer_skips import (
    LayerSkipSpace,
    SkipGenome,
    SkipRamp,
    crossover,
    full_genome,
    mutate,
    random_candidate,
)
from space.seeds import paper_uniform_seed
from space.timesteps import TimestepSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """Everything the strategy needs to know; plain values.

    Candidates differ in their numbers of steps, so each is charged what it costs. All generations
    are paid for or none: a part of the published algorithm would be no comparison.

    Attributes:
        solver: Name of every candidate's solver.
        options: Its options as (name, value) pairs, one value for all steps.
        space: Indices, layers, and how many of these may run in all.
        config: The network whose layers they are.
        image_size: Side of its images, or height and width.
        price: What images of each candidate cost in network calls.
        budget: Network calls that may be spent.
        seed: Of all random choices.
        fraction: Share of the published image counts.
        ramp: How large a share of the layers may be left out at most; not begun.
        generations: Fifty candidates each, the first included; the published script has 15.
        num_finalists: How many of the best are handed over; published is 1.
        times: The space of full steps alone, as many as the layers allow.

    Raises:
        InvalidInput: the layers are not the network's; the solver does not exist or needs more
            steps; no uniform seed of that many steps; options by step; a ramp that has begun, or
            that leaves nothing of a step; a budget that cannot pay for all generations.
    """

    solver: str
    options: tuple[tuple[str, OptionValue], ...] = ()
    space: LayerSkipSpace
    config: UNetConfig
    image_size: ImageSize
    price: Price
    budget: int
    seed: int
    fraction: float
    ramp: SkipRamp = field(default_factory=SkipRamp)
    generations: int = LAYER_GENERATIONS
    num_finalists: int = 1
    times: TimestepSpace = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_values(self)
        steps = self.space.max_layers // self.space.num_layers
        times = TimestepSpace(self.space.process, self.solver, steps, options=self.options)
        object.__setattr__(self, "times", times)
        paper_uniform_seed(times)
        if self.most_calls > self.budget:
            raise _bad("budget", self.budget, f"{self.most_calls} network calls and more")

    @property
    def uniform(self) -> SkipGenome:
        """The published uniform seed, every layer running."""
        return full_genome(paper_uniform_seed(self.times))

    @property
    def images(self) -> int:
        """Images of every evaluation: as published for as many full steps as the layers allow."""
        return images_of(self.times, self.fraction)

    @property
    def longest(self) -> SkipGenome:
        """A genome of most steps: all leave out as many layers as they ever may."""
        most = _most_left_out(self)
        steps = self.space.max_layers // (self.space.num_layers - most)
        indices = range(min(steps, self.space.size))
        return tuple((k, tuple(range(most))) for k in reversed(indices))

    @property
    def most_per_image(self) -> float:
        """Network calls of one image of the longest candidate."""
        return self.price.per_image(self.candidate(self.longest))

    @property
    def most_calls(self) -> int:
        """Network calls of all generations, if all candidates were the longest."""
        generations = self.generations
        return calls_of(self.times, self.fraction, self.most_per_image, generations=generations)

    def ledger(self) -> Ledger:
        """A ledger that charges each candidate its own steps."""
        return Ledger(self.most_per_image, self.budget, self.price)

    def candidate(self, genome: SkipGenome) -> Candidate:
        """What a genome means; without architecture where every layer runs."""
        times, architecture = self.space.schedule(genome)
        return Candidate(
            solver=self.solver,
            times=times,
            options=self.options,
            architecture=architecture.normalised(self.space.blocks, steps=len(genome)),
        )

    def macs(self, candidate: Candidate) -> int:
        """Multiply-adds of one of its images, guidance passes included."""
        process, guidance = self.space.process, self.price.guidance
        program = trace(
            candidate.times,
            process=process,
            solver=candidate.solver,
            options=dict(candidate.options),
        )
        passes = passes_of_steps(program, candidate.times, guidance)
        return schedule_macs(candidate.architecture, self.config, self.image_size, passes=passes)


def paper_layers(plan: LayerPlan) -> Strategy:
    """Fifty candidates, then fourteen generations of fifty unless said otherwise: 750 evaluations.

    Children per generation, mutation rate and images are those of paper mode at as many steps as
    the budget has full ones.
    """
    settings, rng, ramp = (
        settings_of(plan.times),
        generator_for(plan.seed, "paper-layers"),
        plan.ramp,
    )
    run = PublishedRun(plan.ledger(), plan.images, plan.candidate)
    yield from run.evaluate(run.first_generation(plan.uniform, _operators(plan, ramp, rng)))
    for generation in range(plan.generations - 1):
        ramp = ramp.advanced(generation, has_improved=run.has_improved)
        yield from run.evaluate(run.next_generation(settings, _operators(plan, ramp, rng)))
    return run.outcome(plan.num_finalists)


def cost_share(plan: LayerPlan, candidate: Candidate) -> float:
    """Multiply-adds of a candidate over those of the uniform seed, which runs every layer.

    Above 1 is possible: cheap layers left out make room for steps that run dear ones.

    Raises:
        InvalidInput: the candidate is for another network.
    """
    return plan.macs(candidate) / plan.macs(plan.candidate(plan.uniform))


def _operators(plan: LayerPlan, ramp: SkipRamp, rng: np.random.Generator) -> Operators[SkipGenome]:
    """The operators of one generation."""
    space = plan.space
    return Operators(
        rng=rng,
        random=lambda: random_candidate(space, ramp, rng),
        mutant=lambda genome, rate: mutate(genome, space, ramp, rng, rate),
        cross=lambda a, b: crossover(a, b, space, rng),
    )


def _most_left_out(plan: LayerPlan) -> int:
    """Layers that a step leaves out at most, when the ramp has ended."""
    ramp = plan.ramp
    last = SkipRamp(
        max_fraction=ramp.max_fraction, min_fraction=ramp.min_fraction, fifths=INCREMENTS
    )
    return math.floor(plan.space.num_layers * last.high)


def _check_values(plan: LayerPlan) -> None:
    if plan.space.blocks != adm_blocks(plan.config):
        raise _bad("space.blocks", f"{plan.space.num_layers} layers", "those of the network")
    if plan.ramp.fifths or plan.ramp.is_raised or _most_left_out(plan) >= plan.space.num_layers:
        raise _bad("ramp", plan.ramp, "one that has not begun, max_fraction below 1")
    if plan.generations < 1 or plan.num_finalists < 1:
        values = (plan.generations, plan.num_finalists)
        raise _bad("generations, num_finalists", values, "1 and more of each")
    if not 0.0 < plan.fraction <= 1.0:
        raise _bad("fraction", plan.fraction, "above 0, at most 1")
    for name, value in plan.options:
        if isinstance(value, tuple):
            raise _bad(f"options.{name}", value, "one value for all steps; their number varies")


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"{where}={what!r}; allowed: {allowed}", field=where)
