"""Use fewstep as an installed library: run by test_packaging.py in an environment of its own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

APPLICATION = ("space", "evaluators", "search", "store", "migrations", "api", "demo", "benchmarks")
SERVICE = (
    "sqlalchemy", "alembic", "fastapi", "uvicorn", "ray", "pymoo", "scipy", "sklearn",
    "torchvision", "torch_fidelity", "matplotlib", "PIL", "diffusers",
)  # fmt: skip


def check_surroundings() -> None:
    """Fail unless fewstep comes from the wheel, and neither checkout nor service is in reach."""
    import fewstep

    home = Path(str(fewstep.__file__)).resolve()
    assert home.is_relative_to(Path(sys.prefix).resolve()), home
    present = [n for n in (*APPLICATION, *SERVICE) if importlib.util.find_spec(n) is not None]
    assert present == [], present


def sample_digits() -> None:
    """Sample four digits with the bundled model and a schedule made here."""
    import torch

    import fewstep
    from fewstep.denoisers import class_conditional
    from fewstep.networks.models import load_network, resolve
    from fewstep.spacing import grid

    card = resolve("zoo:digits")
    process = card.make_process()
    program = fewstep.trace(grid("trailing", process, 4), process=process, solver="dpm-solver++-2m")
    assert program.nfe == 4
    denoiser = class_conditional(load_network(card), labels=torch.arange(4), clip=1.0)
    x = torch.randn(4, *card.image_shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        images = fewstep.run(program, denoiser, x)
    assert images.shape == x.shape
    assert images.abs().max() <= 1.0
    # A digit has ink and paper; a broken network gives one grey.
    assert images.flatten(1).std(dim=1).min() > 0.2, images.flatten(1).std(dim=1)
    sys.stdout.write(f"sampled {len(images)} images\n")


if __name__ == "__main__":
    check_surroundings()
    sample_digits()
