"""The bundled models: their data, their training and their weights."""

from __future__ import annotations
