"""Requests that the service accepts, to be changed into ones that it must not."""

from __future__ import annotations

from pydantic import JsonValue

SMALL: dict[str, JsonValue] = {
    "model": "file:random",
    "solver": "ddim",
    "nfe": 3,
    "budget": 5_000,
    "fidelities": [64],
    "num_finalists": 2,
    "report_images": 64,
    "report_sets": 2,
}
