"""What every bundled set of labelled images hands out."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Split = Literal["train", "heldout", "all"]
Images = npt.NDArray[np.uint8]  # (N, C, H, W), 0..255
Labels = npt.NDArray[np.int64]  # (N,)
