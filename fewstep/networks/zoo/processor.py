"""What the processor of this machine is called: figures of speed say it."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """The model name as Linux gives it, or what the platform says."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
