"""Bodies of blocks kept from one call of a network to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.configuration import NetworkConfiguration


class BodyCache:
    """What the bodies of some blocks last put out.

    The caller owns it, shares it among the configurations that one batch is run through, and
    clears it before the next batch. Calls that mean different things, such as with and without
    labels, need one each.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._bodies: dict[str, Tensor] = {}

    @classmethod
    def between(cls, configurations: Iterable[NetworkConfiguration]) -> BodyCache:
        """One for all blocks that any of these configurations reuses."""
        return cls(name for configuration in configurations for name in configuration.reused)

    def clear(self) -> None:
        """Forget every body: the next batch has others."""
        self._bodies.clear()

    def write(self, name: str, body: Tensor) -> None:
        """Keep a body in place of the one before."""
        self._bodies[name] = body.detach()

    def read(self, name: str, *, shape: Iterable[int]) -> Tensor:
        """The last body of a block.

        Raises:
            InvalidInput: no call has run it yet, or one of another batch did.
        """
        body = self._bodies.get(name)
        if body is None:
            raise InvalidInput(
                f"configuration.{name}.mode='reused': no call before this one ran the body; "
                "allowed: reuse after a configuration that runs it, with one shared cache",
                field="configuration",
            )
        if tuple(body.shape) != tuple(shape):
            raise InvalidInput(
                f"configuration.{name}.mode='reused': the body kept has shape {tuple(body.shape)}, "
                f"this call needs {tuple(shape)}; allowed: calls of one batch; clear the cache "
                "between batches",
                field="configuration",
            )
        return body


@dataclass(frozen=True, slots=True)
class CachedBody:
    """A body that is read where it would be computed."""

    cache: BodyCache
    name: str

    def add_to(self, shortcut: Tensor) -> Tensor:
        """The shortcut plus the body kept; their shapes must agree."""
        return shortcut + self.cache.read(self.name, shape=shortcut.shape)


@dataclass(frozen=True, slots=True)
class Recorder:
    """A forward hook for the last layer of a body."""

    cache: BodyCache
    name: str

    def __call__(self, module: nn.Module, inputs: object, output: Tensor) -> None:  # noqa: ARG002
        """Keep what the layer put out."""
        self.cache.write(self.name, output)
