"""What a request means in numbers: the space, the price of an image, who gets how much budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evaluators.price import MICRO_BATCH, Price, calls_for
from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.request import MIN_FIDELITY, SearchRequest
from fewstep.request_chains import ChainsRequest, skips, spends
from fewstep.solvers import SOLVERS
from fewstep.solvers.options import OptionValue
from search.ledger import Ledger
from search.published import calls_of
from space.chains import ChainSpace
from space.choices import start_choices, uniform_choices
from space.seeds import paper_uniform_seed, user_seeds
from space.timesteps import Genome, TimestepSpace

SELECTION_SHARE = 0.2
"""Most of the budget that scoring the finalists on the selection bank may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a strategy needs to know; plain values, equal for equal requests.

    Attributes:
        space: Where candidates come from.
        price: What images of each candidate cost.
        calls_per_image: Network calls of one image; the most, where searched options change it.
        fidelities: Images per score, ascending; the first screens.
        budget: Network calls of the search and selection phases together.
        pruning_budget: What is kept back for pruning the network.
        search_budget: What the strategy may spend of it.
        num_finalists: How many finalists the strategy hands over; one needs no selection.
        selection_images: Images per finalist on the selection bank.
        seed: The request's seed.
        user_seeds: The request's own start grids.
        paper_fraction: Share of the published image counts (paper mode).
    """

    space: TimestepSpace
    price: Price
    calls_per_image: float
    fidelities: tuple[int, ...]
    budget: int
    search_budget: int
    num_finalists: int
    selection_images: int
    seed: int
    user_seeds: tuple[Genome, ...]
    paper_fraction: float
    pruning_budget: int = 0

    def ledger(self, budget: int | None = None) -> Ledger:
        """A ledger of this plan's prices."""
        return Ledger(self.calls_per_image, budget, self.price)

    def calls_for(self, num_images: int) -> int:
        """Calls of so many images of one candidate."""
        return calls_for(num_images, self.calls_per_image)


def make_plan(
    request: SearchRequest,
    process: VPDiscrete,
    *,
    gradient_cost: float = 0.0,
    micro_batch: int = MICRO_BATCH,
) -> Plan:
    """Lay a request out over a model's process.

    Args:
        request: What is searched.
        process: The model's noise process.
        gradient_cost: One gradient of the model's guide in network passes.
        micro_batch: Images that chains give together.

    Raises:
        InvalidInput: the process has too few indices, a start grid is outside of it, the budget
            cannot pay for a single schedule, chains cannot share a batch out, or paper mode does
            not exist for the request.
    """
    space = _space(request, process)
    price = Price(guidance=request.guidance, gradient_cost=gradient_cost, micro_batch=micro_batch)
    per_image = _most_per_image(space, price)
    least = calls_for(request.fidelities[0], per_image)
    pruning_budget = _pruning_budget(request)
    budget = request.budget - pruning_budget
    _check_budget(request, least, budget if pruning_budget == 0 else min(budget, pruning_budget))
    if request.strategy == "paper" and request.pruning is None:
        _check_paper(request, space, per_image)
    finalists, images = _selection(request, budget, per_image)
    reserved = finalists * calls_for(images, per_image) if finalists > 1 else 0
    return Plan(
        space=space,
        price=price,
        calls_per_image=per_image,
        fidelities=request.fidelities,
        budget=budget,
        search_budget=budget - reserved,
        num_finalists=finalists,
        selection_images=images,
        seed=request.seed,
        user_seeds=tuple(user_seeds(space, request.initial_times).values()),
        paper_fraction=request.paper_fraction,
        pruning_budget=pruning_budget,
    )


def _pruning_budget(request: SearchRequest) -> int:
    """What stage 2 gets; the published algorithm has no stages of calls."""
    if request.pruning is None or request.strategy == "paper":
        return 0
    return int(request.pruning.share * request.budget)


def _check_budget(request: SearchRequest, least: int, smallest: int) -> None:
    """Every stage must be able to score something."""
    if smallest >= least:
        return
    message = (
        f"budget={request.budget}: one schedule at {request.fidelities[0]} images costs "
        f"{least} network calls"
    )
    if request.pruning is None:
        raise InvalidInput(f"{message}; allowed: {least} and more", field="budget")
    raise InvalidInput(
        f"{message}, and pruning.share={request.pruning.share:g} leaves {smallest} for one of two "
        "stages; allowed: a larger budget, or a share nearer to a half",
        field="budget",
    )


def _space(request: SearchRequest, process: VPDiscrete) -> TimestepSpace:
    """Where candidates come from."""
    options = _frozen(request.solver_options)
    if request.dlg is None:
        return TimestepSpace(
            process,
            request.canonical_solver,
            request.steps,
            options=options,
            searched=request.search_options,
        )
    return ChainSpace(
        process,
        request.canonical_solver,
        request.steps,
        options=options,
        searched=request.search_options,
        calls=request.nfe,
        skips=_skips(request, request.dlg),
        eta=request.dlg.eta,
        chains=request.dlg.plan(eta=1.0, num_skip=1).pairs(),
    )


def _skips(request: SearchRequest, dlg: ChainsRequest) -> tuple[int, ...]:
    """The numbers of chain steps that leave what the solver can spend."""
    if dlg.num_skip is not None:
        return (dlg.num_skip,)
    solver = SOLVERS.get(request.canonical_solver)
    options = request.solver_options
    return tuple(k for k in skips(request.nfe) if spends(solver, request.nfe - k, options))


def _frozen(options: Mapping[str, object]) -> tuple[tuple[str, OptionValue], ...]:
    """Options as values that can be compared and hashed; the request has checked them."""
    pairs = ((name, tuple(v) if isinstance(v, list) else v) for name, v in options.items())
    return tuple(sorted(pairs))  # type: ignore[arg-type]


def _most_per_image(space: TimestepSpace, price: Price) -> float:
    """The dearest image, of options at their start or at another value in all steps."""
    points = tuple(range(space.size - 1, -1, -space.min_gap))[: space.steps]
    variants = [start_choices(space.genes), *uniform_choices(space.genes)]
    allowed = [choices for choices in variants if space.allows(choices)]
    return max(price.per_image(space.candidate((*points, *choices))) for choices in allowed)


def _check_paper(request: SearchRequest, space: TimestepSpace, per_image: float) -> None:
    """All or nothing: a part of the published algorithm would be no comparison."""
    paper_uniform_seed(space)
    needed = calls_of(space, request.paper_fraction, per_image)
    if needed > request.budget:
        raise InvalidInput(
            f"budget={request.budget}: paper mode at paper_fraction={request.paper_fraction} needs "
            f"{needed} network calls; raise the budget or lower the fraction",
            field="budget",
        )


def _selection(request: SearchRequest, budget: int, per_image: float) -> tuple[int, int]:
    """(finalists, images each) that the selection share pays for; one finalist needs none."""
    share = int(int(SELECTION_SHARE * budget) // per_image)
    finalists = min(request.num_finalists, share // MIN_FIDELITY)
    if finalists < 2:
        return 1, 0
    images = share // finalists // MIN_FIDELITY * MIN_FIDELITY
    return finalists, min(images, max(request.fidelities))
