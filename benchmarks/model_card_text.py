"""A model card in words: MODEL_CARD.md out of card.json, so that both say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Table = Mapping[str, Any]  # the document was checked by `fewstep.networks.card`

_INTRODUCTION = """\
# zoo:digits

A small class-conditional diffusion model of handwritten digits, 8x8 pixels, one grey channel. It is
here to search few-step schedules on in minutes, on real images, without a GPU.

![Samples of the teacher; one digit per column](samples.png)

## What it is

| | |
|---|---|
"""
_TRAINING = """
## How it was trained

On 1,500 of the 1,797 digits of the UCI set "Optical recognition of handwritten digits", as they
ship inside scikit-learn; 297 are held out (a fixed, stratified split). Noise prediction, linear
betas, 1000 steps, labels dropped with probability 0.1 in favour of a null label. The classifier,
whose 64 penultimate activations are the features of every distance below, saw the same 1,500.

    python -m fewstep.networks.zoo.train digits --out DIR     # resumes where it was stopped
    cp DIR/*.json DIR/classifier.safetensors DIR/unet.safetensors fewstep/networks/zoo/digits/
    python -m benchmarks.model_card zoo:digits                # writes this page

The same seed gives the same bytes on the same kind of machine with the same version of torch.
"""
_GUIDES = """
## Guides

Small networks that steer or start sampling, trained on the same 1,500 images; figures are of states
around the held-out ones.

    python -m fewstep.networks.zoo.train digits-guides --out fewstep/networks/zoo/digits
    python -m benchmarks.gradient_cost zoo:digits             # writes this page
"""
_LIMITS = """
## Limits

Made to compare schedules, not to make digits. Distances are measured on this classifier's features
and cannot be compared with those of Inception features. Most of the reference images were trained
on; the distances to the nearest training image say how much that matters.
"""


def model_card_text(document: Table) -> str:
    """The page for a card with its `measured` figures."""
    measured = document["measured"]
    parts = (
        _INTRODUCTION + _facts(document, measured["weights"]) + _TRAINING,
        _floor_section(measured),
        _distance_section(measured["teachers"]),
        _nearest_section(measured["teachers"]),
    )
    return "\n".join(parts) + _guides_section(document.get("guides", {})) + _LIMITS


def _facts(document: Table, weights: Table) -> str:
    architecture = document["architecture"]
    rows = {
        "network": f"ADM UNet, {weights['parameters']:,} parameters, "
        f"{weights['file_bytes'] / 1e6:.1f} MB in half precision",
        "widths": f"{architecture['model_channels']} channels times "
        f"{architecture['channel_mult']}, attention at 4x4",
        "predicts": f"{document['prediction']}, clipped to [-1, 1]: {document['clip_denoised']}",
        "labels": f"{document['num_classes']} digits; {document['null_label']} is none of them",
        "features": f"{document['extractor']}, accuracy {weights['classifier_accuracy']:.4f} on "
        f"{weights['num_heldout']} held-out images",
        "weights": f"sha256 `{document['weights_sha256']}`",
        "licence": document["licence"],
    }
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


def _guides_section(guides: Table) -> str:
    described = {"noisy-label": _noisy_label_text, "noise-level": _noise_level_text}
    texts = [described[guide["kind"]](name, guide) for name, guide in guides.items()]
    return _GUIDES + "".join(texts) if texts else ""


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
        + f"The digit that a noisy state shows. {_cost_text(guide)}"
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
        + "which knows the held-out images; the variance ratio, of sampled levels over true ones, "
        + "is 1 where the posterior is calibrated. Bias and deviation are of log rho.\n\n"
        + "| rho | cross-entropy | reachable | bias of the likeliest | its deviation "
        + "| variance ratio |\n|---|---|---|---|---|---|\n"
        + "".join(_band_row(band) for band in measured["bands"])
    )


def _band_row(band: Table) -> str:
    cleanest, noisiest = band["rho"]
    return (
        f"| {cleanest:.2g} to {noisiest:.3g} | {band['cross_entropy']:.2f} "
        f"| {band['reachable_cross_entropy']:.2f} | {band['argmax_bias']:+.3f} "
        f"| {band['argmax_sd']:.3f} | {band['sampled_variance_ratio']:.2f} |\n"
    )
