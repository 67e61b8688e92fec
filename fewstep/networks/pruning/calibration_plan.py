"""The states on which cuts are measured and repaired: the full network's on a schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewstep.canonical import content_hash
from fewstep.errors import InvalidInput
from fewstep.process import Process
from fewstep.program import Program, trace
from fewstep.solvers import SOLVERS, canonical_name
from fewstep.solvers.options import OptionValue, changed_options, resolve_options

# Moments of every step would take gigabytes for ten steps of a large network.
MAX_BANDS = 3
MAX_IMAGES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPlan:
    """The schedule whose states are visited, and how many images are started.

    Its steps fall into at most three bands, contiguous and as equal as can be, each with moments of
    its own. With the model and its guidance it decides all moments.

    Attributes:
        solver: Canonical solver name (aliases are resolved on construction).
        times: K+1 process times from noise to data.
        options: Changed solver options as sorted (name, value) pairs.
        num_images: How many start states; the first so many of the calibration bank.

    Raises:
        InvalidInput: an unknown solver or option, fewer than two times or such as are no finite
            numbers, or a number of images out of range.
    """

    solver: str
    times: tuple[float, ...]
    options: tuple[tuple[str, OptionValue], ...] = ()
    num_images: int = 128

    def __post_init__(self) -> None:
        object.__setattr__(self, "solver", canonical_name(self.solver))
        object.__setattr__(self, "times", _numbers(self.times))
        kind = SOLVERS.get(self.solver).options
        resolved = resolve_options(kind, dict(self.options), steps=self.steps)
        object.__setattr__(self, "options", tuple(sorted(changed_options(resolved).items())))
        is_count = type(self.num_images) is int and 1 <= self.num_images <= MAX_IMAGES
        if not is_count:
            raise _bad("num_images", self.num_images, f"1 to {MAX_IMAGES}")

    @classmethod
    def from_dict(cls, values: object) -> CalibrationPlan:
        """Read what `to_dict` wrote.

        Raises:
            InvalidInput: a field is missing, unknown or not allowed.
        """
        fields = {"solver", "times", "options", "num_images"}
        if not isinstance(values, Mapping) or set(values) != fields:
            raise _bad("fields", values, f"an object with {', '.join(sorted(fields))}")
        times, options = values["times"], values["options"]
        if not isinstance(times, list | tuple) or not isinstance(options, Mapping):
            raise _bad("times, options", (times, options), "a list and an object")
        return cls(
            solver=str(values["solver"]),
            times=tuple(times),
            options=tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in options.items()),
            num_images=values["num_images"],
        )

    def to_dict(self) -> dict[str, object]:
        """JSON-ready fields."""
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in self.options}
        return {
            "solver": self.solver,
            "times": list(self.times),
            "options": options,
            "num_images": self.num_images,
        }

    @property
    def content_hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        return content_hash(self.to_dict())

    @property
    def steps(self) -> int:
        """K, the number of steps."""
        return len(self.times) - 1

    @property
    def band_of_step(self) -> tuple[int, ...]:
        """The band of each step."""
        bands = min(MAX_BANDS, self.steps)
        return tuple(step * bands // self.steps for step in range(self.steps))

    def program(self, process: Process) -> Program:
        """What is run; every node's `network` is its band.

        Raises:
            InvalidInput: the times are no grid of the process.
        """
        program = trace(self.times, process=process, solver=self.solver, options=dict(self.options))
        return program.with_networks(self.times, self.band_of_step)


def _numbers(times: Sequence[object]) -> tuple[float, ...]:
    found = []
    for i, t in enumerate(times):
        if isinstance(t, bool) or not isinstance(t, int | float) or not math.isfinite(t):
            raise _bad(f"times[{i}]", t, "finite numbers")
        found.append(float(t))
    if len(found) < 2:
        raise _bad("times", found, "at least 2")
    return tuple(found)


def _bad(where: str, what: object, allowed: str) -> InvalidInput:
    return InvalidInput(f"calibration.{where}={what!r}; allowed: {allowed}", field="calibration")
