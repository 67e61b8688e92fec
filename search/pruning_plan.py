"""What the search over architectures is told before it starts, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from evaluators.price import Price, calls_for
from fewstep.errors import InvalidInput
from search.ledger import Ledger
from search.pruning_errors import check_survey, sensitivity_of
from search.strategy import Best
from space.architecture_limits import BoundedSpace
from space.architectures import ArchitectureGenome, ArchitectureSpace
from space.candidate import Candidate
from space.survey import Survey
from space.timesteps import Genome, TimestepSpace

MAX_POINTS = 12


@dataclass(frozen=True, slots=True)
class PrunedGenome:
    """Times with solver options, and what runs at them; both parts are genomes of their spaces."""

    times: Genome
    architecture: ArchitectureGenome


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningPlan:
    """Everything stage 2 needs to know; plain values.

    Attributes:
        bounded: Architectures, what they cost, and limits. `most` below 1 is a budget: the best
            FID within it is searched. Else the front of FID and cost, down to `least`, a limit that
            is opened in five equal parts, one a generation.
        bases: Schedules of stage 1 without architecture, the best first, of one number of steps.
        times: Where their times and options come from.
        survey: What cuts do to the network's output, and which units go first.
        fidelities: Images per score, ascending; the first screens.
        budget: Network calls that may be spent.
        price: What images of each candidate cost in calls; cuts do not change it.
        calls_per_image: Network calls of one image; the most, where searched options change it.
        num_points: How many points are handed over, at most: under a budget some of the front, else
            the best of each of so many equal intervals of cost between `least` and the full one.
        seed: The request's seed.
        start_times: The genomes of the bases.

    Raises:
        InvalidInput: bases that are none, or not of these spaces; a survey of another schedule
            length or of other blocks; or a budget that pays for no score at all.
    """

    bounded: BoundedSpace
    bases: tuple[Candidate, ...]
    times: TimestepSpace
    survey: Survey
    fidelities: tuple[int, ...]
    budget: int
    price: Price
    calls_per_image: float
    num_points: int = 5
    seed: int = 0
    start_times: tuple[Genome, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.num_points <= MAX_POINTS:
            raise _bad("num_points", self.num_points, f"1 to {MAX_POINTS}")
        check_survey(self.space, self.survey)
        object.__setattr__(self, "start_times", _start_times(self))
        _check_budget(self)
        if not self.bounded.sensitivity:
            sensitivity = sensitivity_of(self.space, self.survey)
            object.__setattr__(self, "bounded", replace(self.bounded, sensitivity=sensitivity))

    @property
    def space(self) -> ArchitectureSpace:
        """Where architectures come from."""
        return self.bounded.space

    @property
    def has_budget(self) -> bool:
        """Whether the cost is limited, and FID alone is searched."""
        return self.bounded.most < 1.0

    @property
    def max_saving(self) -> float:
        """The largest part of the full cost that may be saved."""
        return 1.0 - self.bounded.least

    def ledger(self) -> Ledger:
        """A ledger of this plan's prices and budget."""
        return Ledger(self.calls_per_image, self.budget, self.price)

    def calls_for(self, num_images: int) -> int:
        """Calls of so many images of one candidate."""
        return calls_for(num_images, self.calls_per_image)

    def candidate(self, genome: PrunedGenome) -> Candidate:
        """The canonical candidate of a genome; genomes that run the same have the same.

        Raises:
            InvalidInput: a part is no member of its space.
        """
        architecture = self.space.decode(genome.architecture, self.survey.rankings)
        plain = architecture.normalised(self.space.blocks, steps=self.space.steps)
        return replace(self.times.candidate(genome.times), architecture=plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """A candidate that is the best of its tier of cost, or under a budget on the front.

    Attributes:
        candidate: Schedule and architecture.
        cost: Of one image, in the unit of the plan's costs.
        share: Of what the full network costs.
        fid: On the search bank.
        num_samples: Images behind it.
    """

    candidate: Candidate
    cost: float
    share: float
    fid: float
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningOutcome:
    """What stage 2 found.

    Attributes:
        points: By FID, the best first; all by the same number of images. Under a budget a front.
            Else the best of each tier of cost, and others may dominate it: noise decides between
            those that are alike, and more images later. Empty where every cut failed.
        calls_spent: Network calls by the ledger's count.
        history: The best FID so far after each batch; comparable within one `num_samples`.
    """

    points: tuple[FrontPoint, ...]
    calls_spent: int
    history: tuple[Best, ...]


def _start_times(plan: PruningPlan) -> tuple[Genome, ...]:
    """The genomes of the bases, each of which must be its genome's candidate."""
    if not plan.bases:
        raise _bad("bases", "none", "at least one schedule")
    if plan.times.steps != plan.space.steps:
        raise _bad("times.steps", plan.times.steps, f"{plan.space.steps}, as the architectures'")
    found = []
    for i, base in enumerate(plan.bases):
        if base.steps != plan.times.steps:
            raise _bad(f"bases[{i}].times", list(base.times), f"{plan.times.steps} steps")
        genome = plan.times.genome(base)
        if not plan.times.holds(genome) or plan.times.candidate(genome) != base:
            allowed = f"schedules of the space of times, {plan.times.solver}, and no architecture"
            raise _bad(f"bases[{i}]", base.canonical(), allowed)
        found.append(genome)
    return tuple(dict.fromkeys(found))


def _check_budget(plan: PruningPlan) -> None:
    counts = plan.fidelities
    if not counts or list(counts) != sorted(set(counts)):
        raise _bad("fidelities", list(counts), "at least one number of images, ascending")
    least = plan.calls_for(counts[0])
    if plan.budget < least:
        what = f"{least} and more network calls, what one score at {counts[0]} images costs"
        raise _bad("budget", plan.budget, what)


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"{where}={what!r}; allowed: {allowed}", field=where.split("[")[0])
