"""A model card in words: MODEL_CARD.md out of card.json, so that both say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.model_card_prose import PROSE, Prose
from fewstep.networks.zoo.recipe import TrainingSettings
from fewstep.networks.zoo.recipes import recipe_of

Table = Mapping[str, Any]  # the document was checked by `fewstep.networks.card`


def model_card_text(document: Table) -> str:
    """The page for a card with its `measured` figures."""
    measured, prose = document["measured"], PROSE[document["name"]]
    parts = (
        _opening(document, prose)
        + _facts(document, prose, measured)
        + _training_section(prose, recipe_of(document["name"]).settings, measured.get("training")),
        _floor_section(measured),
        _distance_section(measured["teachers"]),
        _nearest_section(measured["teachers"]),
    )
    guides = _guides_section(prose, document.get("guides", {}))
    return "\n".join(parts) + guides + f"\n## Limits\n\n{prose.limits}"


def _opening(document: Table, prose: Prose) -> str:
    return (
        f"# {document['name']}\n\n{prose.introduction}\n![{prose.picture}](samples.png)\n\n"
        "## What it is\n\n| | |\n|---|---|\n"
    )


def _training_section(prose: Prose, settings: TrainingSettings, training: Table | None) -> str:
    commands = "".join(f"    {command}\n" for command in prose.commands)
    return (
        f"\n## How it was trained\n\n{prose.training}\n{commands}\nThe same seed gives the same "
        "bytes on the same kind of machine with the same version of torch and as many threads.\n"
        + _cycles_text(settings)
    ) + ("" if training is None else _speed_text(training))


def _cycles_text(settings: TrainingSettings) -> str:
    if not settings.restarts:
        return ""
    cycles = [f"{settings.num_steps:,} steps from {settings.peak_rate:g}"]
    for cycle in settings.restarts:
        gamma = cycle.min_snr_gamma
        weighted = "" if gamma is None else f", its loss weighted by min(SNR, {gamma:g}) / SNR"
        cycles.append(f"{cycle.num_steps:,} from {cycle.peak_rate:g}{weighted}")
    return f"\nThe learning rate falls to zero more than once: {'; then '.join(cycles)}.\n"


def _speed_text(training: Table) -> str:
    threads = " or ".join(str(count) for count in training["threads"])
    return (
        f"\n{training['steps']:,} steps, {training['images_seen'] / 1e6:.2f} million images at "
        f"{training['images_per_second']:.0f} a second on {', '.join(training['devices'])} "
        f"({threads} threads, torch {', '.join(training['torch'])}): "
        f"{training['flops_per_image'] / 1e9:.2f} GFLOP an image, forward and backward, which is "
        f"{100 * training['share_of_bf16_rate']:.0f} % of the "
        f"{training['bf16_flops_per_second'] / 1e12:.2f} TFLOP/s that a large bfloat16 matrix "
        "product reached there.\n"
    )


def _facts(document: Table, prose: Prose, measured: Table) -> str:
    architecture, weights = document["architecture"], measured["weights"]
    rows = {
        "network": f"ADM UNet, {weights['parameters']:,} parameters, "
        f"{weights['file_bytes'] / 1e6:.1f} MB in half precision",
        "widths": f"{architecture['model_channels']} channels times "
        f"{architecture['channel_mult']}, attention at {_attention_sides(document)}",
        "betas": f"{document['process']['beta_schedule']}",
        "predicts": f"{document['prediction']}, clipped to [-1, 1]: {document['clip_denoised']}",
        "labels": f"{document['num_classes']} {prose.classes}; {document['null_label']} is none "
        "of them",
        "features": f"{document['extractor']}, accuracy {weights['classifier_accuracy']:.4f} on "
        f"{weights['num_heldout']} held-out images",
        "weights": f"sha256 `{document['weights_sha256']}`",
        "licence": document["licence"],
    }
    if "loading" in measured:
        loading = measured["loading"]
        rows["loading"] = (
            f"{loading['seconds']:.2f} s from reference to network on "
            f"{loading['machine']['processor']}, median of {loading['repetitions']}"
        )
    return "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def _floor_section(measured: Table) -> str:
    halves = measured["real_halves"]
    count, splits = halves["num_images_each"], halves["num_splits"]
    rows = {"real images, the other half": halves}
    rows |= {name: found["at_half_counts"] for name, found in measured["teachers"].items()}
    return (
        f"## Against one half of the real images\n\n{count} images against {count} real ones, mean "
        f"over {splits} random halves with classes in equal numbers. The first row is the floor: "
        "what real images score.\n\n"
        "| | FID (std over halves) | KID | precision | recall |\n|---|---|---|---|---|\n"
    ) + "".join(
        f"| {name} | {row['fid']:.3f} ({row['fid_std']:.3f}) | {row['kid']:.5f} "
        f"| {row['precision']:.3f} | {row['recall']:.3f} |\n"
        for name, row in rows.items()
    )


def _distance_section(teachers: Table) -> str:
    sets = sorted(next(iter(teachers.values()))["fid"])
    header = "".join(f" FID to {name} |" for name in sets)
    return (
        "## Against all of them\n\n"
        f"| teacher | grid | samples |{header} KID | class accuracy |\n"
        f"|---|---|---|{'---|' * len(sets)}---|---|\n"
    ) + "".join(
        f"| {name} | {row['grid']} | {row['num_samples']} |"
        + "".join(f" {row['fid'][reference]:.3f} |" for reference in sets)
        + f" {row['kid']:.5f} | {row['class_accuracy']:.4f} |\n"
        for name, row in teachers.items()
    )


def _nearest_section(teachers: Table) -> str:
    first = next(iter(teachers.values()))["nearest_training_image"]
    rows, ratios = [], []
    for name, found in teachers.items():
        for space in ("features", "pixels_rms"):
            row = found["nearest_training_image"][space]
            ratios.append(row["samples_median"] / row["heldout_median"])
            rows.append(
                f"| {name} | {space} | {row['samples_median']:.3f} | {row['heldout_median']:.3f} "
                f"| {row['samples_closest_5_percent']:.3f} "
                f"| {row['heldout_closest_5_percent']:.3f} |\n"
            )
    return (
        "## Distance to the nearest training image\n\n"
        f"Of {first['num_samples']} samples and of {first['num_heldout']} held-out images, to "
        f"{first['num_training']} training images. A model that copies has samples closer than "
        f"held-out images; here the median distances of samples are {min(ratios):.2f} to "
        f"{max(ratios):.2f} times those of held-out images. Below 1, the model has begun to "
        "memorise.\n\n"
        "| teacher | space | samples, median | held-out, median | samples, closest 5% "
        "| held-out, closest 5% |\n|---|---|---|---|---|---|\n"
    ) + "".join(rows)


def _attention_sides(document: Table) -> str:
    side = document["image_shape"][1]
    sides = [side // factor for factor in document["architecture"]["attention_resolutions"]]
    return " and ".join(f"{size}x{size}" for size in sides)


def _guides_section(prose: Prose, guides: Table) -> str:
    described = {"noisy-label": _noisy_label_text, "noise-level": _noise_level_text}
    texts = [described[guide["kind"]](name, guide) for name, guide in guides.items()]
    commands = "".join(f"    {command}\n" for command in prose.guide_commands)
    heading = f"\n## Guides\n\n{prose.guides}\n{commands}"
    return heading + "".join(texts) if texts else ""


def _guide_heading(name: str, measured: Table) -> str:
    return (
        f"\n### {name}\n\n{measured['parameters']:,} parameters, "
        f"{measured['file_bytes'] / 1e6:.2f} MB in half precision, "
        f"{measured['training_steps']:,} steps. "
    )


def _noisy_label_text(name: str, guide: Table) -> str:
    measured = guide["measured"]
    accuracies, entropies = measured["accuracy_by_quintile"], measured["cross_entropy_by_quintile"]
    width = 1 / len(accuracies)
    times = [f"{n * width:.1f} to {(n + 1) * width:.1f}" for n in range(len(accuracies))]
    return (
        _guide_heading(name, measured)
        + f"What a noisy state shows. {_cost_text(guide)}"
        + f"{measured['states_per_quintile']:,} states in each fifth of the time.\n\n"
        + "| t | accuracy | cross-entropy |\n|---|---|---|\n"
        + "".join(
            f"| {span} | {accuracy:.3f} | {entropy:.3f} |\n"
            for span, accuracy, entropy in zip(times, accuracies, entropies, strict=True)
        )
    )


def _cost_text(guide: Table) -> str:
    if "gradient_cost" not in guide:
        return ""
    timing = guide["measured"]["timing"]
    return (
        f"One gradient costs {guide['gradient_cost']:.2f} passes of the network (medians of "
        f"{timing['repetitions']}: {1e3 * timing['gradient_s']:.1f} ms and "
        f"{1e3 * timing['network_s']:.1f} ms for {timing['batch']} states in float32 on one thread "
        f"of {timing['machine']['processor']}). "
    )


def _noise_level_text(name: str, guide: Table) -> str:
    measured = guide["measured"]
    return (
        _guide_heading(name, measured)
        + "The posterior of rho = sigma/alpha of a state. "
        + f"{measured['states_per_band']:,} states in each band; chance is a cross-entropy of "
        + f"{measured['chance_cross_entropy']:.2f}. Reachable is that of the exact posterior, "
        + f"which knows {_known(measured)}the held-out images; the variance ratio, of sampled "
        + "levels over true ones, is 1 where the posterior is calibrated. Bias and deviation are "
        + "of log rho.\n\n"
        + "| rho | cross-entropy | reachable | bias of the likeliest | its deviation "
        + "| variance ratio |\n|---|---|---|---|---|---|\n"
        + "".join(_band_row(band) for band in measured["bands"])
    )


def _known(measured: Table) -> str:
    known = measured.get("num_known_to_reachable")
    return "" if known is None else f"{known:,} images, among them "


def _band_row(band: Table) -> str:
    cleanest, noisiest = band["rho"]
    return (
        f"| {cleanest:.2g} to {noisiest:.3g} | {band['cross_entropy']:.2f} "
        f"| {band['reachable_cross_entropy']:.2f} | {band['argmax_bias']:+.3f} "
        f"| {band['argmax_sd']:.3f} | {band['sampled_variance_ratio']:.2f} |\n"
    )
