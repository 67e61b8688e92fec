"""What a request means in numbers: the space, the price of an image, who gets how much budget."""

from __future__ import annotations

from dataclasses import dataclass

from fewstep.errors import InvalidInput
from fewstep.process import VPDiscrete
from fewstep.request import MIN_FIDELITY, SearchRequest
from search.published import calls_of
from space.seeds import paper_uniform_seed, user_seeds
from space.timesteps import Genome, TimestepSpace

SELECTION_SHARE = 0.2
"""Most of the budget that scoring the finalists on the selection bank may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a strategy needs to know; plain values, equal for equal requests.

    Attributes:
        space: Where candidates come from.
        calls_per_image: Network calls of one image.
        fidelities: Images per score, ascending; the first screens.
        budget: Network calls of the search and selection phases together.
        search_budget: What the strategy may spend of it.
        num_finalists: How many finalists the strategy hands over; one needs no selection.
        selection_images: Images per finalist on the selection bank.
        seed: The request's seed.
        user_seeds: The request's own start grids.
        paper_fraction: Share of the published image counts (paper mode).
    """

    space: TimestepSpace
    calls_per_image: int
    fidelities: tuple[int, ...]
    budget: int
    search_budget: int
    num_finalists: int
    selection_images: int
    seed: int
    user_seeds: tuple[Genome, ...]
    paper_fraction: float


def make_plan(request: SearchRequest, process: VPDiscrete) -> Plan:
    """Lay a request out over a model's process.

    Raises:
        InvalidInput: the process has too few indices, a start grid is outside of it, the budget
            cannot pay for a single schedule, or paper mode does not exist for the request.
    """
    space = TimestepSpace(process, request.canonical_solver, request.steps)
    per_image = request.calls_per_image
    least = request.fidelities[0] * per_image
    if request.budget < least:
        raise InvalidInput(
            f"budget={request.budget}: one schedule at {request.fidelities[0]} images costs "
            f"{least} network calls; allowed: {least} and more",
            field="budget",
        )
    if request.strategy == "paper":
        _check_paper(request, space)
    finalists, images = _selection(request)
    return Plan(
        space=space,
        calls_per_image=per_image,
        fidelities=request.fidelities,
        budget=request.budget,
        search_budget=request.budget - (finalists * images * per_image if finalists > 1 else 0),
        num_finalists=finalists,
        selection_images=images,
        seed=request.seed,
        user_seeds=tuple(user_seeds(space, request.initial_times).values()),
        paper_fraction=request.paper_fraction,
    )


def _check_paper(request: SearchRequest, space: TimestepSpace) -> None:
    """All or nothing: a part of the published algorithm would be no comparison."""
    paper_uniform_seed(space)
    needed = calls_of(space, request.paper_fraction, request.calls_per_image)
    if needed > request.budget:
        raise InvalidInput(
            f"budget={request.budget}: paper mode at paper_fraction={request.paper_fraction} needs "
            f"{needed} network calls; raise the budget or lower the fraction",
            field="budget",
        )


def _selection(request: SearchRequest) -> tuple[int, int]:
    """(finalists, images each) that the selection share pays for; one finalist needs none."""
    share = int(SELECTION_SHARE * request.budget) // request.calls_per_image
    finalists = min(request.num_finalists, share // MIN_FIDELITY)
    if finalists < 2:
        return 1, 0
    images = share // finalists // MIN_FIDELITY * MIN_FIDELITY
    return finalists, min(images, max(request.fidelities))
