"""Architectures of schedule documents: written with what they cost, and held against a network.

Needs no torch: what can be refused is refused before a network is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fewstep.errors import ChecksFailed, InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.architecture import Architecture
from fewstep.networks.pruning.blocks import adm_blocks
from fewstep.networks.pruning.schedule_macs import passes_of_steps, schedule_macs
from fewstep.process import process_from_description
from fewstep.program import trace
from fewstep.schedule import ModelSection, Schedule
from fewstep.schedule_architecture import ArchitectureSection


def architecture_section(
    architecture: Architecture,
    config: UNetConfig,
    *,
    model: ModelSection,
    times: Sequence[float],
    solver: str,
    options: Mapping[str, object] | None = None,
    weights_sha256: str | None = None,
) -> ArchitectureSection | None:
    """What `Schedule.build` is given for an architecture; None where it keeps everything.

    Args:
        architecture: what runs at each step; choices that keep everything are left out.
        config: of the full network.
        model: the document's, as are `times`, `solver` and `options`.
        weights_sha256: of the file of repaired tensors.

    Raises:
        InvalidInput: the architecture does not fit the network or the times, or it is repaired and
            has choices that keep everything: its file would be of other configurations.
    """
    normalised = architecture.normalised(adm_blocks(config), steps=len(times) - 1)
    if normalised is None:
        return None
    if normalised != architecture and architecture.repair != "none":
        raise _not_normal(architecture, normalised)
    macs, full_macs = (
        image_macs(each, config, model=model, times=times, solver=solver, options=options)
        for each in (normalised, None)
    )
    return ArchitectureSection.of(
        normalised, macs=macs, full_macs=full_macs, weights_sha256=weights_sha256
    )


def image_macs(
    architecture: Architecture | None,
    config: UNetConfig,
    *,
    model: ModelSection,
    times: Sequence[float],
    solver: str,
    options: Mapping[str, object] | None = None,
) -> int:
    """Multiply-adds of one image, passes of guidance included, as documents count them.

    They are those of the network that is run: rows of the last layer that predict a variance are
    left out. Arguments as for `architecture_section`; None is the full network.

    Raises:
        InvalidInput: the architecture does not fit the network or the times.
    """
    process = process_from_description(model.process)
    program = trace(times, process=process, solver=solver, options=options)
    return schedule_macs(
        architecture,
        replace(config, out_channels=config.in_channels),
        (model.image_shape[1], model.image_shape[2]),
        passes=passes_of_steps(program, times, model.guidance),
    )


def check_architecture(schedule: Schedule, config: UNetConfig) -> ArchitectureSection:
    """Hold a document's architecture against the network it is for; returns it.

    Args:
        schedule: the document.
        config: of the full network.

    Raises:
        InvalidInput: the document has no architecture, names blocks or widths that the network has
            not, is not in canonical form for it, or counts other multiply-adds; names what differs.
    """
    section = schedule.architecture
    if section is None:
        raise InvalidInput(
            "architecture=None: every step runs the full network; allowed: a pruned schedule",
            field="architecture",
        )
    architecture = section.to_architecture()
    computed = architecture_section(
        architecture,
        config,
        model=schedule.model,
        times=schedule.times,
        solver=schedule.solver.name,
        options=schedule.solver.options,
        weights_sha256=section.weights_sha256,
    )
    if computed is None or computed.to_architecture() != architecture:
        raise _not_normal(architecture, None if computed is None else computed.to_architecture())
    for name in ("macs", "full_macs"):
        stored, counted = getattr(section, name), getattr(computed, name)
        if stored != counted:
            raise InvalidInput(
                f"architecture.{name}={stored}: the networks take {counted}",
                field=f"architecture.{name}",
            )
    return section


def check_checkpoint(schedule: Schedule, *, name: str, sha256: str) -> None:
    """Refuse other weights than those that the networks of a document were cut from.

    Raises:
        ChecksFailed: names both.
    """
    wanted = schedule.model.checkpoint_sha256
    if sha256 != wanted:
        raise ChecksFailed(
            f"model.checkpoint_sha256={wanted!r}: an architecture for other weights; those of "
            f"{name} here are {sha256!r}",
            field="model.checkpoint_sha256",
        )


def check_weights(section: ArchitectureSection, weights: Path | None) -> None:
    """Hold a file of repaired tensors against what a document says of it.

    Raises:
        InvalidInput: a file is needed and there is none, or the reverse.
        ChecksFailed: another file.
    """
    wanted = section.weights_sha256
    if wanted is None:
        if weights is not None:
            raise InvalidInput(
                f"weights={weights.name!r}: nothing reads it, the schedule's repair is 'none'; "
                "allowed: no file",
                field="weights",
            )
        return
    if weights is None or not weights.is_file():
        given = "missing" if weights is None else f"{str(weights)!r} is no file"
        raise InvalidInput(
            f"weights: {given}; the schedule runs repaired networks; allowed: the file of their "
            f"tensors with SHA-256 {wanted}, from `fewstep weights ID --out FILE` or GET "
            "/v1/schedules/{id}/weights",
            field="weights",
        )
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != wanted:
        raise ChecksFailed(
            f"architecture.weights_sha256={wanted!r}: the file {weights.name!r} has {found!r}",
            field="architecture.weights_sha256",
        )


def _not_normal(architecture: Architecture, normalised: Architecture | None) -> InvalidInput:
    mine = [configuration.to_dict() for configuration in architecture.configurations]
    theirs = None if normalised is None else normalised.to_dict()["configurations"]
    return InvalidInput(
        f"architecture.configurations={mine!r}: some choices keep everything; allowed: without "
        f"them, {theirs!r}",
        field="architecture.configurations",
    )
