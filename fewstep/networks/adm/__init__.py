"""The ADM UNet: configuration and layout without torch, the network itself in `unet`."""

from __future__ import annotations
