"""Denoising MCMC on a real model: six integrators at equal calls, with and without chains.

    python -m benchmarks.dlg --model zoo:digits --out benchmarks/results/dlg-digits.json

Without chains an integrator starts from noise; with them it starts from the states of Langevin-
Gibbs chains, at their own noise levels. Calls are counted as published plots do (chain steps and
denoising of one sample) and all in (the chains' start and burn-in shared out over the samples).
The model is run without labels, as published, so chains are free to move between classes. The step
eta is chosen once, on another seed, for the first integrator. Results are stored as they are made.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.dlg_cells import Cell, Sampler, cells
from benchmarks.dlg_table import markdown, plot
from benchmarks.machine import machine
from fewstep.networks.models import resolve

# Seeds by calls per sample; the differences at few calls are what chains are for.
SEEDS = {10: (0, 1, 2), 20: (0, 1, 2), 50: (0, 1, 2), 100: (0,)}
ETAS = (0.05, 0.1, 0.2, 0.4, 0.8)
TUNING_SEED, TUNING_BUDGET = 100, 20
NUM_SAMPLES, NUM_CHAINS = 512, 128


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    card = resolve(options.model)
    sampler = Sampler(card, num_samples=NUM_SAMPLES, num_chains=NUM_CHAINS)
    store = _Store(options.out, sampler.identity())
    eta = _tuned_eta(sampler, store)
    for budget, seeds in SEEDS.items():
        for seed in seeds:
            for cell in cells(budget, eta=eta):
                _measure(sampler, store, cell, seed)
    plot(store.document, options.out.with_suffix(".png"))
    print(markdown(store.document))
    return 0


def _tuned_eta(sampler: Sampler, store: _Store) -> float:
    """The step with the lowest distance at one budget, on a seed that is not reported."""
    for eta in ETAS:
        for cell in cells(TUNING_BUDGET, eta=eta):
            if cell.integrator == "KAR1" and cell.has_chains:
                _measure(sampler, store, cell, TUNING_SEED)
    scored = {
        entry["eta"]: entry["fid"]
        for entry in store.document["cells"].values()
        if entry["seed"] == TUNING_SEED
    }
    return float(min(scored, key=lambda eta: scored[eta]))


def _measure(sampler: Sampler, store: _Store, cell: Cell, seed: int) -> None:
    key = f"{cell.name}|{seed}"
    if key in store.document["cells"]:
        return
    started = time.perf_counter()
    figures = sampler.measure(cell, np.random.default_rng([seed, cell.budget]))
    seconds = time.perf_counter() - started
    store.put(key, figures | cell.to_dict() | {"seed": seed, "seconds": seconds})
    print(f"{key}: {figures['fid']:.3f} at {figures['plotted']:.0f} calls", file=sys.stderr)


class _Store:
    """The result file, written as a whole after every cell."""

    def __init__(self, path: Path, identity: dict[str, object]) -> None:
        self._path = path
        fresh: dict[str, Any] = {**identity, "machine": machine(), "cells": {}}
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else fresh
        same = all(held.get(key) == value for key, value in identity.items())
        self.document: dict[str, Any] = held if same else fresh

    def put(self, key: str, entry: dict[str, Any]) -> None:
        """Store a cell."""
        self.document["cells"][key] = entry
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.document, indent=1, sort_keys=True) + "\n"
        self._path.write_text(text, encoding="utf-8")
        self._path.with_suffix(".md").write_text(markdown(self.document), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dlg", description="Integrators with and without chains."
    )
    parser.add_argument("--model", default="zoo:digits")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="JSON file; .md, .png beside it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
