"""What a search over architectures is told about a network before it starts, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.architecture import Repair
from fewstep.networks.pruning.calibration_plan import CalibrationPlan

Importance = Literal["magnitude", "reconstruction", "sensitivity"]
IMPORTANCES: tuple[Importance, ...] = get_args(Importance)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandSurvey:
    """One band of a schedule's steps.

    Errors are what one step of the band, run with a cut, changes final images by: mean squared, per
    value, to first order.

    Attributes:
        rankings: By block, its units, the most important first.
        kept_errors: By block, then by number of units: the error with so many of the most important
            ones kept, repaired. For each width that a search tries, but the full one.
        body_errors: By block whose body can go, the error without it, repaired.
        reuse_errors: By the same blocks, the error with what its body put out in the call before;
            none where no call before ran the network on as many rows.
    """

    rankings: Mapping[str, tuple[int, ...]]
    kept_errors: Mapping[str, Mapping[int, float]]
    body_errors: Mapping[str, float]
    reuse_errors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was measured on the states of one schedule, band by band.

    Attributes:
        calibration: The schedule.
        importance: What the rankings are by.
        repair: What stands in for what was cut.
        bands: As many as the calibration has.
    """

    calibration: CalibrationPlan
    importance: Importance
    repair: Repair
    bands: tuple[BandSurvey, ...]

    def __post_init__(self) -> None:
        count = len(set(self.calibration.band_of_step))
        if self.importance not in IMPORTANCES or len(self.bands) != count:
            raise InvalidInput(
                f"survey: {len(self.bands)} bands by {self.importance!r}; allowed: {count}, by "
                f"{', '.join(IMPORTANCES)}",
                field="survey",
            )

    @property
    def by_step(self) -> tuple[BandSurvey, ...]:
        """The band of each step."""
        return tuple(self.bands[band] for band in self.calibration.band_of_step)

    @property
    def rankings(self) -> list[Mapping[str, tuple[int, ...]]]:
        """Those of each step, as `ArchitectureSpace.decode` takes them."""
        return [band.rankings for band in self.by_step]

    def to_dict(self) -> dict[str, object]:
        """JSON-ready fields."""
        return {
            "calibration": self.calibration.to_dict(),
            "importance": self.importance,
            "repair": self.repair,
            "bands": [
                {
                    "rankings": {name: list(units) for name, units in band.rankings.items()},
                    "kept_errors": {
                        name: {str(units): error for units, error in errors.items()}
                        for name, errors in band.kept_errors.items()
                    },
                    "body_errors": dict(band.body_errors),
                    "reuse_errors": dict(band.reuse_errors),
                }
                for band in self.bands
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Survey:
        """Read what `to_dict` wrote."""
        bands, importance = values["bands"], values["importance"]
        assert isinstance(bands, Sequence)
        return cls(
            calibration=CalibrationPlan.from_dict(values["calibration"]),
            importance=importance,  # type: ignore[arg-type]
            repair=values["repair"],  # type: ignore[arg-type]
            bands=tuple(_band(band) for band in bands),
        )


def _band(values: Mapping[str, Mapping[str, Sequence[float]]]) -> BandSurvey:
    return BandSurvey(
        rankings={name: tuple(map(int, units)) for name, units in values["rankings"].items()},
        kept_errors={
            name: {int(units): error for units, error in errors.items()}  # type: ignore[attr-defined]
            for name, errors in values["kept_errors"].items()
        },
        body_errors=dict(values["body_errors"]),  # type: ignore[arg-type]
        reuse_errors=dict(values["reuse_errors"]),  # type: ignore[arg-type]
    )
