"""The machine a figure was measured on; no figure of time or memory stands without it."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from fewstep.networks.zoo.processor import processor_name


def machine() -> dict[str, object]:
    """Processor, cores, system, and the versions that matter for speed."""
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def write_result(path: Path, figures: dict[str, object]) -> None:
    """Write figures and the machine as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**figures, "machine": machine()}, indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
