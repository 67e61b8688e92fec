"""What `fewstep sample` is told beside a schedule: its options as they were given, and their texts.

Needs no torch, and nothing of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from fewstep.errors import InvalidInput
from fewstep.named_values import parse_option

# What a condition file holds the known part of.
MEASURED = ("inpainting", "super-resolution", "colourisation")
# Those whose potential can be taken of the denoised prediction instead of the state.
THROUGH_DENOISER = (*MEASURED, "text")
GUIDANCES = ("none", "classifier-free", "classifier", *THROUGH_DENOISER)
DEFAULT_CHAINS = 32
MAX_CHAINS = 4096
_OPTION_NAMES = {"labels": "label", "options": "option"}  # fields that a flag fills one by one

Options: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectOptions:
    """The options that say how to sample where no schedule does; None or empty: not given."""

    model: str | None = None
    solver: str | None = None
    nfe: int | None = None
    steps: int | None = None
    grid: str | None = None
    times: str | None = None
    options: Sequence[str] = ()
    guidance: str | None = None
    guidance_scale: float | None = None
    labels: Sequence[int] = ()
    condition: Path | None = None
    through_denoiser: bool = False
    impute: bool = False
    clip: bool | None = None
    dlg: str | None = None

    def given(self) -> list[str]:
        """Names of the options that were given, as the command line has them."""
        defaults = DirectOptions()
        names = [f.name for f in fields(self) if getattr(self, f.name) != getattr(defaults, f.name)]
        return [_OPTION_NAMES.get(name, name).replace("_", "-") for name in names]


def refuse_with_schedule(direct: DirectOptions) -> None:
    """A schedule document says it all: nothing may be said beside it.

    Raises:
        InvalidInput: names the first option that was given.
    """
    for name in direct.given():
        raise InvalidInput(
            f"--{name}: not with --schedule, which says how to sample; allowed beside it: "
            "--weights, --num, --seed, --out, --root, --json",
            field=name,
        )


def solver_options(texts: Sequence[str]) -> dict[str, object]:
    """Options of a solver, each NAME=VALUE.

    Raises:
        InvalidInput: one is not of that form, or a name is given twice.
    """
    options: dict[str, object] = {}
    for text in texts:
        name, value = parse_option(text)
        if name in options:
            raise InvalidInput(f"--option={text!r}: {name} twice; allowed: once", field="option")
        options[name] = value
    return options


def training_indices(text: str) -> list[int]:
    """Indices between commas, as 999,700,300,50.

    Raises:
        InvalidInput: one is no whole number, or they do not strictly decrease.
    """
    try:
        indices = [int(part) for part in text.split(",")]
    except ValueError:
        indices = []
    if not indices or any(b >= a for a, b in pairwise(indices)):
        raise InvalidInput(
            f"--times={text!r}: allowed: training indices that strictly decrease, from noise to "
            "data, as 999,700,300,50",
            field="times",
        )
    return indices


def dlg_settings(text: str) -> tuple[dict[str, object], int]:
    """Settings of denoising MCMC as eta=0.1,num_skip=4, and how many chains (`chains`, 32).

    Raises:
        InvalidInput: a part is not NAME=VALUE, a name is given twice, or `chains` is no count.
    """
    try:
        pairs = [parse_option(part) for part in text.split(",")]
    except InvalidInput:
        raise InvalidInput(
            f"--dlg={text!r}: allowed: NAME=VALUE between commas, as eta=0.1,num_skip=4",
            field="dlg",
        ) from None
    settings: dict[str, object] = dict(pairs)
    if len(settings) < len(pairs):
        raise InvalidInput(f"--dlg={text!r}: a name twice; allowed: once", field="dlg")
    chains = settings.pop("chains", DEFAULT_CHAINS)
    if type(chains) is not int or not 1 <= chains <= MAX_CHAINS:
        raise InvalidInput(
            f"dlg.chains={chains!r}: allowed: whole numbers from 1 to {MAX_CHAINS}",
            field="dlg.chains",
        )
    return settings, chains
