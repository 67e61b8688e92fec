"""Windows of chain steps, and which of a window's states is handed on to be denoised."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fewstep.mcmc.chain import ChainState, Kernel
from fewstep.mcmc.draws import Draws


@dataclass(frozen=True, slots=True)
class Window:
    """What a window emits, and where the chains go on from: always its last state."""

    emitted: ChainState
    state: ChainState


def run_window(kernel: Kernel, state: ChainState, draws: Draws) -> Window:
    """Take `num_skip` steps and choose by the emission rule.

    Emitting the state of least noise is cheaper to denoise, but biased: such states are not drawn
    from the joint distribution of states and levels. Where the window's start is a candidate, too,
    a state that is the least of two windows is emitted twice.
    """
    rule = kernel.settings.emission
    kept = state if rule == "min-incl-start" else None
    for _ in range(kernel.settings.num_skip):
        state = kernel.step(state, draws)
        kept = state if kept is None or rule == "last" else quieter(kept, state)
    assert kept is not None  # num_skip is 1 and more
    return Window(emitted=kept, state=state)


def quieter(kept: ChainState, state: ChainState) -> ChainState:
    """For each chain the state of less noise; `kept`, the earlier one, where both are equal."""
    is_quieter = state.classes > kept.classes  # classes run from most to least noise
    rows = is_quieter.view((-1,) + (1,) * (state.x.dim() - 1))
    return ChainState(
        x=torch.where(rows, state.x, kept.x),
        classes=torch.where(is_quieter, state.classes, kept.classes),
    )
