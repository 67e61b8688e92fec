"""Sums over what the last layer of a block reads, as plain float64 arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Sums over the inputs of a block's last layer, one row for each pixel of its output.

    A row is what the layer reads for that pixel: `taps` numbers for each of C channels, channel by
    channel, zeros of the padding included. With `taps=1` it is the activations at the pixel alone:
    all there is for attention, an approximation for a residual block.

    Attributes:
        count: Rows.
        taps: 9 or 1.
        total: Sum of rows, (D,) with D = taps * C, float64.
        products: Sum of their outer products, (D, D), float64.
        output: Sum of what the layer put out, (C_out,), float64.
    """

    count: int
    taps: int
    total: FloatArray
    products: FloatArray
    output: FloatArray

    @property
    def channels(self) -> int:
        """Channels that the layer reads."""
        return len(self.total) // self.taps

    @property
    def mean(self) -> FloatArray:
        """Of the rows, (D,)."""
        return self.total / self.count

    @property
    def second(self) -> FloatArray:
        """Mean outer product of the rows, (D, D), not centred."""
        return self.products / self.count

    @property
    def covariance(self) -> FloatArray:
        """Of the rows, (D, D)."""
        return self.second - np.outer(self.mean, self.mean)

    @property
    def mean_output(self) -> FloatArray:
        """Of the body, per channel, (C_out,)."""
        return self.output / self.count

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            count=self.count + other.count,
            taps=self.taps,
            total=self.total + other.total,
            products=self.products + other.products,
            output=self.output + other.output,
        )
