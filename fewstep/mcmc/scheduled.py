"""Images of a schedule document that is drawn from chains."""

from __future__ import annotations

from torch import Tensor

from fewstep.denoisers import Denoiser
from fewstep.errors import InvalidInput
from fewstep.mcmc.draws import Draws
from fewstep.mcmc.posterior import NoiseLevelPosterior
from fewstep.mcmc.sampling import DLGResult, sample_with_dlg
from fewstep.mcmc.settings import DLGSettings
from fewstep.running import sample
from fewstep.schedule import Schedule


def sample_chains(
    schedule: Schedule,
    denoiser: Denoiser,
    posterior: NoiseLevelPosterior,
    x: Tensor,
    *,
    count: int,
    draws: Draws,
) -> DLGResult:
    """Draw `count` images from chains, one chain for each row of `x`.

    Args:
        schedule: A document with chains.
        denoiser: The model, made with the document's clipping and guidance; rows are chains.
        posterior: The document's noise-level guide.
        x: Unit normal noise (C, ...) that the chains' plain start runs from. The document's fitness
            was measured with `chains.chains` rows and `chains.windows` images of each.
        count: How many images; image i is of chain i modulo the chains.
        draws: The random numbers.

    Raises:
        InvalidInput: the document has no chains, or as `sample_with_dlg`.
    """
    section = schedule.chains
    if section is None:
        raise InvalidInput(
            "chains=None: images of this schedule are not drawn from chains; allowed: "
            "documents with chains, others run by Schedule.sample",
            field="chains",
        )
    process, start = schedule.process, section.start
    initial = sample(denoiser, x, times=start.times, process=process, solver=start.solver)
    return sample_with_dlg(
        denoiser,
        posterior,
        settings=DLGSettings.from_dict(section.settings),
        times=section.schedule,
        process=process,
        solver=schedule.solver.name,
        options=schedule.solver.options,
        initial=initial,
        count=count,
        draws=draws,
        initialisation_calls=start.nfe,
    )
