"""Networks that fewstep can build itself, and the models it ships. Loads no torch by itself."""

from __future__ import annotations
