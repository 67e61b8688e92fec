"""What a conditional function is, and its gradient wherever it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from fewstep.denoisers.base import StackedLevel


class ConditionalFunction(Protocol):
    """A log-likelihood-like potential of noisy states, and what is known of them.

    The scale of guidance is not part of it: `guided` multiplies it in.
    """

    def value(self, x: Tensor, at: StackedLevel) -> Tensor:
        """The potential of states (B, ...) in process scale, shape (B,)."""
        ...

    def gradient(self, x: Tensor, at: StackedLevel) -> Tensor:
        """Its gradient with respect to the states, shaped like `x`."""
        ...

    def impute(self, x: Tensor, at: StackedLevel) -> Tensor:
        """The states with what is known put in; `x` itself where nothing is."""
        ...


# value(states, levels) -> (B,)
Potential = Callable[[Tensor, StackedLevel], Tensor]


def gradient_of(potential: Potential, x: Tensor, at: StackedLevel) -> Tensor:
    """The gradient of a potential by automatic differentiation, row by row.

    Works under `torch.inference_mode()`, in which scoring runs, and leaves no gradient in any
    parameter. Tensors that the potential itself holds must have been made outside inference mode,
    or by `outside_inference_mode`.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        state, levels = differentiable_copy(x, at)
        total = potential(state, levels).sum()
        (gradient,) = torch.autograd.grad(total, state)
    return gradient


def differentiable_copy(x: Tensor, at: StackedLevel) -> tuple[Tensor, StackedLevel]:
    """Copies to differentiate through: what inference mode made cannot be saved for that."""
    rows = (at.t, at.alpha, at.sigma, at.network_time)
    return x.detach().clone().requires_grad_(), StackedLevel(*(row.clone() for row in rows))


def outside_inference_mode(tensor: Tensor) -> Tensor:
    """The tensor, or its copy where it was made in inference mode and so bars backward passes."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(mode=False):
        return tensor.clone()
