"""Denoising Langevin Gibbs once more, in numpy from the paper's text: the check of the library.

Nothing here is shared with the library: the score is the analytic gradient of the mixture's log
density, not a denoiser's, and the posterior's density is written out. Each method is one line of
the method, so that the usual mistakes are one override each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.mixture2d import MIXTURE

Array = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

WEIGHTS = np.array(MIXTURE.weights)
MEANS = np.array(MIXTURE.means)
DEVIATIONS = np.array(MIXTURE.deviations)


class NumpyDLG:
    """Chains of x = centre * x0 + scale * noise, over classes from most to least noise.

    Args:
        alphas: per class, 1 for variance-exploding processes.
        sigmas: per class.
        native: whether chains live in process scale, or are divided by alpha.
        eta: the step, or with `scaled` its factor of scale^2.
        argmax: whether the most probable class is taken, instead of a draw.
        adjust: `none`, `mala` or `noise-corrected`.
    """

    def __init__(
        self,
        alphas: Array,
        sigmas: Array,
        *,
        native: bool = False,
        eta: float = 0.2,
        scaled: bool = False,
        argmax: bool = False,
        adjust: str = "none",
    ) -> None:
        self.alphas, self.native = alphas, native
        self.centre = alphas if native else np.ones_like(alphas)
        self.scale = sigmas if native else sigmas / alphas
        self.eta, self.scaled, self.argmax, self.adjust = eta, scaled, argmax, adjust

    def log_components(self, x: Array, centre: Array, scale: Array) -> Array:
        """Log of weight times density, (B, K), for one centre and scale per row."""
        v = (centre[:, None] * DEVIATIONS) ** 2 + scale[:, None] ** 2
        squares = ((x[:, None] - centre[:, None, None] * MEANS) ** 2).sum(axis=2)
        return np.asarray(np.log(WEIGHTS) - squares / (2 * v) - self.normaliser(v))

    def normaliser(self, v: Array) -> Array:
        """(d / 2) log(2 pi v), for d = 2."""
        return np.log(2 * np.pi * v)

    def log_density(self, x: Array, classes: Classes) -> Array:
        """Log p(x | class), (B,)."""
        parts = self.log_components(x, self.centre[classes], self.scale[classes])
        return np.asarray(np.logaddexp.reduce(parts, axis=1))

    def score(self, x: Array, classes: Classes) -> Array:
        """Its gradient: a weighted mean of pulls towards the components."""
        centre, scale = self.centre[classes], self.scale[classes]
        parts = self.log_components(x, centre, scale)
        shares = np.exp(parts - np.logaddexp.reduce(parts, axis=1)[:, None])
        v = (centre[:, None] * DEVIATIONS) ** 2 + scale[:, None] ** 2
        pulls = (centre[:, None, None] * MEANS - x[:, None]) / v[:, :, None]
        return np.asarray((shares[:, :, None] * pulls).sum(axis=1))

    def log_prior(self) -> Array:
        """Uniform over the classes."""
        return np.zeros(len(self.scale))

    def log_joint(self, x: Array) -> Array:
        """Log p(x, class) up to a constant, (B, M)."""
        count = len(self.scale)
        rows, classes = np.repeat(x, count, axis=0), np.tile(np.arange(count), len(x))
        return self.log_density(rows, classes).reshape(len(x), count) + self.log_prior()

    def probabilities(self, x: Array) -> Array:
        """p(class | x), (B, M)."""
        joint = self.log_joint(x)
        return np.asarray(np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None]))

    def eta_of(self, classes: Classes) -> Array:
        """The step of each chain, (B, 1)."""
        v = self.scale[classes] ** 2
        eta = self.eta * v if self.scaled else np.full(len(v), self.eta)
        if self.adjust == "noise-corrected":
            eta = np.minimum(eta, 3.9 * v)
        return np.asarray(eta[:, None])

    def drift(self, x: Array, classes: Classes) -> Array:
        """Half the step times the score."""
        return np.asarray(0.5 * self.eta_of(classes) * self.score(x, classes))

    def noise(self, z: Array, classes: Classes) -> Array:
        """The square root of the step times unit noise."""
        eta = self.eta_of(classes)
        if self.adjust == "noise-corrected":
            eta = eta - eta**2 / (4 * self.scale[classes][:, None] ** 2)
        return np.asarray(np.sqrt(eta) * z)

    def move(self, x: Array, classes: Classes, rng: np.random.Generator) -> Array:
        """The Langevin move, accepted or not."""
        proposed = x + self.drift(x, classes) + self.noise(rng.standard_normal(x.shape), classes)
        if self.adjust != "mala":
            return np.asarray(proposed)
        u, eta = rng.random(len(x)), self.eta_of(classes)[:, 0]
        forth = ((proposed - x - self.drift(x, classes)) ** 2).sum(axis=1) / (2 * eta)
        back = ((x - proposed - self.drift(proposed, classes)) ** 2).sum(axis=1) / (2 * eta)
        gain = self.log_density(proposed, classes) - self.log_density(x, classes)
        taken = np.log(u) < gain - back + forth
        return np.where(taken[:, None], proposed, x)

    def gibbs(self, x: Array, rng: np.random.Generator) -> Classes:
        """The first class whose cumulative probability reaches a uniform number, or the mode."""
        probabilities = self.probabilities(x)
        if self.argmax:
            return np.asarray(probabilities.argmax(axis=1))
        u = rng.random(len(x))
        reached = np.cumsum(probabilities, axis=1) >= u[:, None]
        last = len(self.scale) - 1
        return np.where(reached.any(axis=1), reached.argmax(axis=1), last)

    def step(self, x: Array, classes: Classes, rng: np.random.Generator) -> tuple[Array, Classes]:
        """One step of x, then of the class, given the new x."""
        x = self.move(x, classes, rng)
        return x, self.gibbs(x, rng)

    def run(
        self, x: Array, classes: Classes, steps: int, rng: np.random.Generator
    ) -> tuple[Array, Classes]:
        """Many steps."""
        for _ in range(steps):
            x, classes = self.step(x, classes, rng)
        return x, classes

    def exact_joint(self, count: int, rng: np.random.Generator) -> tuple[Array, Classes]:
        """States and classes as the chains should be distributed."""
        classes = rng.integers(0, len(self.scale), count)
        noise = rng.standard_normal((count, 2))
        x0 = MIXTURE.sample(count, rng)
        return self.centre[classes][:, None] * x0 + self.scale[classes][:, None] * noise, classes


class WithoutHalf(NumpyDLG):
    """The drift without its half."""

    def drift(self, x: Array, classes: Classes) -> Array:
        return 2.0 * super().drift(x, classes)


class TwiceTheNoise(NumpyDLG):
    """sqrt(2 eta) noise, of the convention that has no half in the drift."""

    def noise(self, z: Array, classes: Classes) -> Array:
        return np.asarray(np.sqrt(2.0) * super().noise(z, classes))


class WrongSign(NumpyDLG):
    """Uphill becomes downhill."""

    def drift(self, x: Array, classes: Classes) -> Array:
        return -super().drift(x, classes)


class EpsAsScore(NumpyDLG):
    """The predicted noise, up to its sign, where its division by the level was forgotten."""

    def score(self, x: Array, classes: Classes) -> Array:
        return self.scale[classes][:, None] * super().score(x, classes)


class ScaledWithoutSquare(NumpyDLG):
    """A scaled step that is not scaled."""

    def eta_of(self, classes: Classes) -> Array:
        return np.full((len(classes), 1), self.eta)


class WithoutNormaliser(NumpyDLG):
    """Every level's posterior density without (d / 2) log v; the score does not change."""

    def log_joint(self, x: Array) -> Array:
        removed = [
            np.logaddexp.reduce(self._bare_components(x, centre, scale), axis=1)
            for centre, scale in zip(self.centre, self.scale, strict=True)
        ]
        return np.stack(removed, axis=1)

    def _bare_components(self, x: Array, centre: float, scale: float) -> Array:
        centres, scales = np.full(len(x), centre), np.full(len(x), scale)
        v = (centre * DEVIATIONS) ** 2 + scale**2
        return self.log_components(x, centres, scales) + self.normaliser(v)


class LinearPrior(NumpyDLG):
    """A prior uniform in the level instead of its logarithm."""

    def log_prior(self) -> Array:
        return np.log(self.scale)


class StaleGibbs(NumpyDLG):
    """The level drawn for where the state was before its move."""

    def step(self, x: Array, classes: Classes, rng: np.random.Generator) -> tuple[Array, Classes]:
        moved = self.move(x, classes, rng)
        return moved, self.gibbs(x, rng)


class WithoutJacobian(NumpyDLG):
    """The density of x at alpha x_hat, taken for that of x_hat = x / alpha."""

    def log_joint(self, x: Array) -> Array:
        return super().log_joint(x) - 2.0 * np.log(self.alphas)
