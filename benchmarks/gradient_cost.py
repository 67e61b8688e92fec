"""What a guide's gradient costs in network passes: `python -m benchmarks.gradient_cost zoo:digits`.

Times one gradient of class guidance and one pass of the model's network on the same 256 states,
float32, one thread, and writes their ratio, the seconds and the machine into the guide's entry of
card.json; MODEL_CARD.md follows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.machine import machine
from benchmarks.model_card_prose import PROSE
from benchmarks.model_card_text import model_card_text
from fewstep.denoisers.base import StackedLevel
from fewstep.guidance.classifier import ClassifierGuidance
from fewstep.networks.card import Guide, ModelCard
from fewstep.networks.denoising import balanced_labels
from fewstep.networks.guides import label_classifier
from fewstep.networks.models import load_network, resolve
from fewstep.networks.zoo.train_guides import replace_in_card

BATCH = 256
REPETITIONS = 21
_TIME = 0.5  # of the process; neither network's cost depends on it

Figures = dict[str, object]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gradient_cost", description=__doc__)
    parser.add_argument("model", choices=list(PROSE))
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    card = resolve(options.model)
    found = measure(card, repetitions=options.repetitions)
    write(card, found)
    print(f"gradient_cost {found['gradient_cost']:.3f} network passes")


def measure(card: ModelCard, *, repetitions: int) -> dict[str, float]:
    """Medians of the seconds of a pass and of a gradient, taken in turns, and their ratio."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, *card.image_shape, generator=generator)
    labels = balanced_labels(card, BATCH)
    process = card.make_process()
    at = StackedLevel.of(process.at(_TIME), process.network_time(_TIME), BATCH, x.device)
    network, guidance = load_network(card), ClassifierGuidance(label_classifier(card), labels)
    rounds = [
        (
            _seconds(lambda: network(x, at.network_time, labels)),
            _seconds(lambda: guidance.gradient(x, at)),
        )
        for _ in range(repetitions + 1)
    ][1:]  # the first of each warms up
    passes, gradients = zip(*rounds, strict=True)
    network_s, gradient_s = statistics.median(passes), statistics.median(gradients)
    return {
        "gradient_cost": gradient_s / network_s,
        "network_s": network_s,
        "gradient_s": gradient_s,
        "batch": BATCH,
        "repetitions": repetitions,
    }


def write(card: ModelCard, found: dict[str, float]) -> None:
    """Put the cost into the guide's entry of the card, and render the page anew."""
    guides = {name: _with_cost(guide, found) for name, guide in card.guides.items()}
    document = replace_in_card(card.folder, {"guides": guides})
    (card.folder / "MODEL_CARD.md").write_text(model_card_text(document), encoding="utf-8")


def _with_cost(guide: Guide, found: dict[str, float]) -> Figures:
    entry: Figures = dict(guide)
    if guide["kind"] != "noisy-label":
        return entry
    timing = {name: value for name, value in found.items() if name != "gradient_cost"}
    measured = guide["measured"] | {"timing": timing | {"machine": machine()}}
    return entry | {"gradient_cost": found["gradient_cost"], "measured": measured}


@torch.inference_mode()
def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
