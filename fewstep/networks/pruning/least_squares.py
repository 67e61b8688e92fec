"""The last layer of a body as a linear map of what moments were taken of, and its refit.

Float64 throughout. A weight here is (K, C_out, D): K maps of rows of D numbers, whose results add
up. With unfolded moments K = 1; with moments of pixels each tap of a 3x3 kernel is its own map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fewstep.errors import InvalidInput
from fewstep.networks.pruning.moments import FloatArray, Moments

Indices = npt.NDArray[np.int64]


def columns_of(channels: npt.ArrayLike, taps: int) -> Indices:
    """Places of channels in a row of moments, channel by channel."""
    places: Indices = np.add.outer(np.asarray(channels, dtype=np.int64) * taps, np.arange(taps))
    return places.ravel()


def weight_by_moments(weight: Tensor, moments: Moments) -> FloatArray:
    """A kernel (C_out, C, ...) as (K, C_out, D).

    Raises:
        InvalidInput: the moments are of another layer.
    """
    rows, channels = weight.shape[:2]
    if (rows, channels) != (len(moments.output), moments.channels):
        raise InvalidInput(
            f"calibration: moments of a layer from {moments.channels} to {len(moments.output)} "
            f"channels; allowed: {channels} to {rows}, those of this network",
            field="calibration",
        )
    kernel = weight.detach().cpu().double().numpy().reshape(rows, channels, -1, moments.taps)
    by_map: FloatArray = np.moveaxis(kernel, 2, 0).reshape(-1, rows, channels * moments.taps)
    return by_map


def kernel_of(weight: FloatArray, *, taps: int, like: Tensor) -> FloatArray:
    """What `weight_by_moments` read, as (C_out, C', ...): C' channels left, sides of `like`."""
    maps, rows, width = weight.shape
    kernel = np.moveaxis(weight.reshape(maps, rows, width // taps, taps), 0, 2)
    shaped: FloatArray = kernel.reshape(rows, width // taps, *like.shape[2:])
    return shaped


def regularised_covariance(moments: Moments, ridge: float) -> FloatArray:
    """Covariance of rows, `ridge` times its mean diagonal added to the diagonal.

    Where nothing varies at all, the identity: whatever is solved with it is zero.
    """
    return _regularised(moments.covariance, ridge)


@dataclass(frozen=True, slots=True)
class Refit:
    """A last layer that reads fewer channels: weight (K, C_out, D') and bias (C_out,)."""

    weight: FloatArray
    bias: FloatArray


def refit(
    weight: FloatArray, bias: FloatArray, moments: Moments, kept: Indices, *, ridge: float | None
) -> Refit:
    """Fit what reads the `kept` places of rows to what all gave: see `repair.repaired`.

    Solving W' = argmin E|W a + b - W' a_K - b'|^2 + r |W' - W_K|^2 gives W' = W_K + W_R P with
    P = S_RK (S_KK + r)^-1 from the covariance S, and b' = b + W_R (m_R - P m_K) from the mean m: P
    predicts removed places from kept ones, whatever the weights. Without `ridge` P is 0.
    """
    lost = np.setdiff1d(np.arange(len(moments.total)), kept)
    mean = moments.mean
    predictor: FloatArray = np.zeros((len(lost), len(kept)))
    if ridge is not None:
        covariance = moments.covariance
        within = _regularised(covariance[np.ix_(kept, kept)], ridge)
        predictor = np.linalg.solve(within, covariance[np.ix_(kept, lost)]).T.astype(np.float64)
    shift = mean[lost] - predictor @ mean[kept]
    return Refit(
        weight=weight[:, :, kept] + weight[:, :, lost] @ predictor,
        bias=bias + (weight[:, :, lost] @ shift).sum(0),
    )


def check_ridge(ridge: float) -> None:
    """Refuse what does not make every covariance invertible.

    Raises:
        InvalidInput: it is not positive and finite.
    """
    if not 0.0 < ridge < math.inf:
        raise InvalidInput(f"ridge={ridge!r}: allowed: positive, finite", field="ridge")


def _regularised(covariance: FloatArray, ridge: float) -> FloatArray:
    scale = float(np.trace(covariance)) / len(covariance)
    return covariance + np.eye(len(covariance)) * (ridge * scale if scale > 0.0 else 1.0)
