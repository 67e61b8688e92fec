"""Guidance as the searches and documents know it: its scale, and what it costs."""

from __future__ import annotations


def guidance_passes(guidance_scale: float) -> int:
    """Network passes of one denoiser call under classifier-free guidance.

    A scale of 1 is the plain conditional model: one pass. Any other scale needs the null label's
    prediction too: two passes, batched or not.
    """
    return 1 if guidance_scale == 1.0 else 2
