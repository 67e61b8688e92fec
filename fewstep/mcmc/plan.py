"""What a schedule must say of its chains to be drawn again, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TypeAlias

from fewstep.errors import InvalidInput
from fewstep.mcmc.settings import Adjust, DLGSettings, Emission, Gibbs

PlanValue: TypeAlias = int | float | str

START_SOLVER = "dpm-solver++-2m"
START_GRID = "log-snr"
"""The plain run that gives chains the clean images they start from."""

LEAST_START_CALLS = 2  # as many predictions as the start's solver combines


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPlan:
    """How images are drawn from chains, beside the schedule that denoises them.

    The schedule's first time is the nominal start: its ratio is what chains are started at.

    Attributes:
        eta: Step of the Langevin move, in squared units of the data.
        num_skip: Chain steps from one image of a chain to its next.
        chains: Chains that run side by side, each of one class.
        burn_in: Chain steps before the first image.
        start_calls: Denoiser calls of the plain run that chains start from.
        gibbs, emission, adjust: As in `DLGSettings`, but for `mala`, which takes densities.

    Raises:
        InvalidInput: a value is not allowed.
    """

    eta: float
    num_skip: int
    chains: int = 32
    burn_in: int = 10
    start_calls: int = 10
    gibbs: Gibbs = "sample"
    emission: Emission = "last"
    adjust: Adjust = "none"

    def __post_init__(self) -> None:
        self.settings(1.0)  # which checks what it shares with them
        object.__setattr__(self, "eta", float(self.eta))  # one spelling, one hash
        if self.adjust == "mala":
            raise InvalidInput(
                "adjust='mala': a noise-level guide gives no densities to accept by; allowed: "
                "none, noise-corrected",
                field="adjust",
            )
        for name, least in (("chains", 1), ("start_calls", LEAST_START_CALLS)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise InvalidInput(
                    f"{name}={value!r}: not allowed; allowed: whole numbers from {least}",
                    field=name,
                )

    def settings(self, start_rho: float) -> DLGSettings:
        """The settings of chains that start at that noise-to-signal ratio."""
        return DLGSettings(
            eta=self.eta,
            num_skip=self.num_skip,
            space="vp-rescaled",
            gibbs=self.gibbs,
            emission=self.emission,
            adjust=self.adjust,
            burn_in=self.burn_in,
            start_rho=start_rho,
        )

    def windows(self, images: int) -> int:
        """Images of one chain when the chains give that many together.

        Raises:
            InvalidInput: they cannot share them out evenly.
        """
        if images % self.chains:
            raise InvalidInput(
                f"dlg.chains={self.chains}: chains give {images} images together; allowed: "
                f"divisors of {images}",
                field="dlg.chains",
            )
        return images // self.chains

    def calls_beside(self, images: int) -> float:
        """Calls of start and burn-in that fall to one image."""
        return (self.start_calls + self.burn_in) / self.windows(images)

    def pairs(self) -> tuple[tuple[str, PlanValue], ...]:
        """All values by name, sorted."""
        return tuple(sorted(asdict(self).items()))

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> ChainPlan:
        """Read what `pairs` gave.

        Raises:
            InvalidInput: an unknown or missing name, or a value that is not allowed.
        """
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise InvalidInput(
                    f"chains: unknown field {name!r}; allowed: {', '.join(names)}", field="chains"
                )
        for name in ("eta", "num_skip"):
            if name not in values:
                raise InvalidInput(f"chains: field {name!r} is missing", field="chains")
        return cls(**values)  # type: ignore[arg-type]  # checked by __post_init__
