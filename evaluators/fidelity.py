"""torch-fidelity's metrics on our features, and our extractors among torch-fidelity's.

The only file that imports torch-fidelity. Metrics get features that were computed once, by
whichever executor, and call torch-fidelity's own functions on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import (
    KEY_METRIC_FID,
    fid_features_to_statistics,
    fid_statistics_to_metric,
)
from torch_fidelity.metric_isc import (
    KEY_METRIC_ISC_MEAN,
    KEY_METRIC_ISC_STD,
    isc_features_to_metric,
)
from torch_fidelity.metric_kid import (
    KEY_METRIC_KID_MEAN,
    KEY_METRIC_KID_STD,
    kid_features_to_metric,
)
from torch_fidelity.metric_prc import (
    KEY_METRIC_PRECISION,
    KEY_METRIC_RECALL,
    prc_features_to_metric,
)
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from evaluators.features import EXTRACTORS, load_extractor
from evaluators.frechet import Gaussian
from fewstep.errors import InvalidInput

Features = npt.NDArray[np.float32]

_LAYERS = {"fid": "features", "kid": "features", "prc": "features", "isc": "logits"}


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over subsets or splits, and their standard deviation (not an error of the mean)."""

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Share of generated images near real ones, and of real images near generated ones."""

    precision: float
    recall: float


def kid(
    generated: Features,
    real: Features,
    *,
    subset_size: int = 1000,
    num_subsets: int = 100,
    seed: int = 2020,
) -> Spread:
    """Kernel distance (unbiased; may be below 0). Ref: Binkowski et al. 2018.

    Raises:
        InvalidInput: fewer images on either side than a subset has.
    """
    smaller = min(len(generated), len(real))
    if not 2 <= subset_size <= smaller:
        raise InvalidInput(
            f"subset_size={subset_size}: allowed: 2 to {smaller}, the number of images",
            field="subset_size",
        )
    found = kid_features_to_metric(
        _wide(generated),
        _wide(real),
        kid_subset_size=subset_size,
        kid_subsets=num_subsets,
        rng_seed=seed,
        verbose=False,
    )
    return Spread(found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD])


def inception_score(logits: Features, *, num_splits: int = 10, seed: int = 2020) -> Spread:
    """Exponential mean divergence of class predictions (N, classes). Ref: Salimans et al. 2016.

    Raises:
        InvalidInput: fewer images than splits.
    """
    if not 1 <= num_splits <= len(logits):
        raise InvalidInput(
            f"num_splits={num_splits}: allowed: 1 to {len(logits)}, the number of images",
            field="num_splits",
        )
    found = isc_features_to_metric(_wide(logits), num_splits, True, seed)
    return Spread(found[KEY_METRIC_ISC_MEAN], found[KEY_METRIC_ISC_STD])


def precision_recall(
    generated: Features, real: Features, *, neighborhood: int = 3
) -> PrecisionRecall:
    """Manifold overlap by k-nearest-neighbour balls. Ref: Kynkaanniemi et al. 2019.

    Raises:
        InvalidInput: fewer images on either side than neighbours are asked for.
    """
    smaller = min(len(generated), len(real))
    if not 1 <= neighborhood < smaller:
        raise InvalidInput(
            f"neighborhood={neighborhood}: allowed: 1 to {smaller - 1}", field="neighborhood"
        )
    found = prc_features_to_metric(
        _wide(generated),
        _wide(real),
        prc_neighborhood=neighborhood,
        prc_batch_size=4096,
        save_cpu_ram=True,  # row blocks: a full matrix of 8192 x 8192 distances is 0.5 GB, thrice
        verbose=False,
    )
    return PrecisionRecall(found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL])


def torch_fidelity_fid(features: Features, reference: Gaussian) -> float:
    """Frechet distance by torch-fidelity's formula, to hold ours against."""
    ours = fid_features_to_statistics(_wide(features))
    theirs = {"mu": reference.mean, "sigma": reference.covariance}
    return float(fid_statistics_to_metric(ours, theirs, False)[KEY_METRIC_FID])


def register_with_torch_fidelity(name: str) -> None:
    """Make a registered extractor known to torch-fidelity under the same name; repeats are fine.

    `torch_fidelity.calculate_metrics(..., feature_extractor=name)` then works on uint8 images.

    Raises:
        UnknownName: no such extractor.
    """
    EXTRACTORS.get(name, field="extractor")
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(name, _Adapter)


class _Adapter(FeatureExtractorBase):  # type: ignore[misc]  # torch-fidelity publishes no types
    """One of our extractors as torch-fidelity wants them; it passes the registered name."""

    def __init__(self, name: str, features_list: list[str], **_unused: object) -> None:
        # torch-fidelity hands every option of its caller to every extractor.
        super().__init__(name, features_list)
        self._extractor = load_extractor(name)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("features", "logits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return _LAYERS[metric]

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The requested layers of uint8 images (N, C, H, W)."""
        layers = {"features": self._extractor.features, "logits": self._extractor.logits}
        return tuple(layers[layer](images) for layer in self.features_list)


def _wide(features: Features) -> Tensor:
    """As float64: in float32 torch-fidelity's means and kernels lose digits."""
    return torch.from_numpy(features.astype(np.float64))
