"""What the cards of the bundled models say in words, beside their figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prose:
    """The sections of a card that are not tables.

    Attributes:
        introduction: What the model is and what it is for.
        picture: What the picture of samples shows.
        classes: What its labels are called.
        training: What it was trained on, and how.
        commands: What trains it and writes its card.
        guides: What its guides were trained on.
        guide_commands: What trains them and writes their figures.
        limits: What not to use it for.
    """

    introduction: str
    picture: str
    classes: str
    training: str
    commands: tuple[str, ...]
    guides: str
    guide_commands: tuple[str, ...]
    limits: str


_DIGITS = Prose(
    introduction="""\
A small class-conditional diffusion model of handwritten digits, 8x8 pixels, one grey channel. It is
here to search few-step schedules on in minutes, on real images, without a GPU.
""",
    picture="Samples of the teacher; one digit per column",
    classes="digits",
    training="""\
On 1,500 of the 1,797 digits of the UCI set "Optical recognition of handwritten digits", as they
ship inside scikit-learn; 297 are held out (a fixed, stratified split). Noise prediction, linear
betas, 1000 steps, labels dropped with probability 0.1 in favour of a null label. The classifier,
whose 64 penultimate activations are the features of every distance below, saw the same 1,500.
""",
    commands=(
        "python -m fewstep.networks.zoo.train digits --out DIR     # resumes where it was stopped",
        "cp DIR/card.json DIR/classifier.safetensors DIR/unet.safetensors \\",
        "  fewstep/networks/zoo/digits/",
        "python -m benchmarks.model_card zoo:digits                # writes this page",
    ),
    guides="""\
Small networks that steer or start sampling, trained on the same 1,500 images; figures are of states
around the held-out ones.
""",
    guide_commands=(
        "python -m fewstep.networks.zoo.train digits --guides --out fewstep/networks/zoo/digits",
        "python -m benchmarks.gradient_cost zoo:digits             # writes this page",
    ),
    limits="""\
Made to compare schedules, not to make digits. Distances are measured on this classifier's features
and cannot be compared with those of Inception features. Most of the reference images were trained
on; the distances to the nearest training image say how much that matters.
""",
)

_CIFAR10_LIMITS = """\
Made to compare schedules, not to make pictures. The photographs came as JPEG files of quality 75,
not as the original set, and distances are measured on this classifier's features: no figure here
can be compared with published ones of CIFAR-10.
"""


def _cifar10(model: str, introduction: str, size: str) -> Prose:
    folder = f"fewstep/networks/zoo/{model}"
    return Prose(
        introduction=introduction,
        picture="Samples of the teacher; one class per column",
        classes="classes",
        training=f"""\
On the 50,000 training photographs of CIFAR-10 (Krizhevsky 2009){size}, mirrored at random; the
10,000 of its test part are held out. Noise prediction, 1000 steps, labels dropped with probability
0.1 in favour of a null label. The classifier, whose penultimate activations are the features of
every distance below, saw the same 50,000. PATH is `cifar10_jpeg.tar.xz` (JPEG files as
`train/CLASS/NNNN.jpg`), which these figures are of, or the original set in its binary or its Python
form.
""",
        commands=(
            f"python -m fewstep.networks.zoo.train {model} --data PATH --out DIR  # resumes",
            f"cp DIR/card.json DIR/classifier.safetensors DIR/unet.safetensors {folder}/",
            f"python -m benchmarks.model_card zoo:{model} --data PATH  # writes this page",
        ),
        guides="""\
Small networks that steer or start sampling, trained on the same 50,000 images; figures are of
states around the held-out ones.
""",
        guide_commands=(
            f"python -m fewstep.networks.zoo.train {model} --guides --data PATH --out {folder}",
            f"python -m benchmarks.gradient_cost zoo:{model}  # writes this page",
        ),
        limits=_CIFAR10_LIMITS,
    )


PROSE = {
    "zoo:digits": _DIGITS,
    "zoo:cifar10": _cifar10(
        "cifar10",
        "A class-conditional diffusion model of colour photographs, 32x32 pixels, for a GPU.\n",
        "",
    ),
    "zoo:cifar10-16": _cifar10(
        "cifar10-16",
        """\
A small class-conditional diffusion model of colour photographs, 16x16 pixels: what two cores of a
processor train in a few hours. It is here to hold a search against real photographs without
a GPU.
""",
        ", means of 2x2 pixels",
    ),
}
