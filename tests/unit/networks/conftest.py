"""A copy of the bundled model to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fewstep.networks.models import resolve


@pytest.fixture
def model_root(tmp_path: Path) -> Path:
    """A root with the bundled model under the name `copy`: `file:copy`."""
    shutil.copytree(resolve("zoo:digits").folder, tmp_path / "copy")
    return tmp_path
