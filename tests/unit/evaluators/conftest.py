"""One small model with random weights, loaded once for the tests of scoring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from evaluators.inline import InlineScorer
from evaluators.score import Numerics, Task
from evaluators.tasks import make_task
from evaluators.tile_runner import TileRunner, load_runner
from tests.model_folder import write_model


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model root with a conditional model in it."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def task(root: Path) -> Task:
    """Score that model in tiles of 32."""
    return make_task("file:random", numerics=Numerics(micro_batch=32), roots=[root])


@pytest.fixture(scope="session")
def runner(task: Task, root: Path) -> TileRunner:
    """The loaded model."""
    return load_runner(task, roots=[root])


@pytest.fixture
def scorer(task: Task, root: Path) -> Iterator[InlineScorer]:
    """A scorer with an empty cache."""
    with closing(InlineScorer(task, roots=[root])) as opened:
        yield opened
