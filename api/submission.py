"""Everything about a request that can be known without loading a model."""

from __future__ import annotations

from fewstep.errors import InvalidInput, UnknownName
from fewstep.networks.card import ModelCard
from fewstep.networks.guidance import check_guidance, label_guide, level_guide
from fewstep.networks.models import resolve
from fewstep.request import SearchRequest
from search.plan import make_plan
from search.pruning_limits import check_limits
from store.settings import Settings


def check_submission(document: object, settings: Settings) -> SearchRequest:
    """Validate a decoded body against itself, the model's card and the quota.

    Raises:
        InvalidInput: names the field, its value and what is allowed.
    """
    request = SearchRequest.parse(document)
    card = resolve(request.model, roots=settings.model_roots)
    _check_reference(request, card)
    check_guidance(card, request.guidance, request.guidance_scale)
    if request.dlg is not None:
        level_guide(card)
    _check_quota(request, settings)
    is_by_classifier = request.guidance == "classifier"
    gradient_cost = label_guide(card).gradient_cost if is_by_classifier else 0.0
    # Steps, start grids and the smallest budget.
    make_plan(request, card.make_process(), gradient_cost=gradient_cost)
    if request.pruning is not None:
        check_limits(request.pruning, card, steps=request.steps)
    return request


def _check_reference(request: SearchRequest, card: ModelCard) -> None:
    if request.reference is not None and request.reference not in card.references:
        allowed = ", ".join(sorted(card.references))
        raise UnknownName(
            f"reference={request.reference!r}: no such reference of {card.name};"
            f" allowed: {allowed}",
            field="reference",
        )


def _check_quota(request: SearchRequest, settings: Settings) -> None:
    if request.budget > settings.max_calls_budget:
        raise InvalidInput(
            f"budget={request.budget}: above this service's quota;"
            f" allowed: at most {settings.max_calls_budget}",
            field="budget",
        )
