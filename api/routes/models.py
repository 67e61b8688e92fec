"""The models that searches may name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from fastapi import APIRouter

from api import examples, openapi
from api.deps import Service
from api.models import model_of
from fewstep import wire
from fewstep.errors import InvalidInput
from fewstep.networks.models import names, resolve

router = APIRouter(prefix="/models", tags=["models"])


@router.get(
    "",
    operation_id="list_models",
    responses={
        **openapi.problems(),
        200: openapi.example("Every model", examples.page_of(examples.MODEL)),
    },
)
def list_models(service: Service) -> wire.Page[wire.Model]:
    """List the models of the registry and of the model roots, on one page."""
    roots = service.settings.model_roots
    return wire.Page[wire.Model](items=list(_usable(roots)))


def _usable(roots: Sequence[Path]) -> Iterator[wire.Model]:
    """Leave out folders that a submission would refuse; whoever names one is told why."""
    for name in names(roots=roots):
        with suppress(InvalidInput):
            yield model_of(resolve(name, roots=roots))
