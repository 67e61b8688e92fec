"""From names to tasks: what is pinned, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluators.references import ReferenceStatistics
from evaluators.score import Task
from evaluators.tasks import make_task, process_of, reference_of
from fewstep.errors import ChecksFailed, InvalidInput, UnknownName, UnsafeCheckpoint
from fewstep.process import VPDiscrete
from tests.model_folder import write_model


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may damage; the root it lies under."""
    shutil.copytree(root / "random", tmp_path / "random")
    return tmp_path


def edit_card(root: Path, **changes: object) -> None:
    path = root / "random" / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_task_takes_defaults_from_the_card(task: Task) -> None:
    assert (task.reference, task.clip_denoised, task.guidance_scale) == ("digits", True, 1.0)
    assert (task.image_shape, task.num_classes) == ((1, 8, 8), 10)


def test_two_copies_of_a_model_make_equal_tasks(task: Task, copy: Path) -> None:
    assert make_task("file:random", numerics=task.numerics, roots=[copy]) == task


def test_a_change_of_process_changes_the_definition(task: Task, copy: Path) -> None:
    edit_card(copy, process=VPDiscrete.linear(500).describe())
    changed = make_task("file:random", numerics=task.numerics, roots=[copy])
    assert changed.definition_sha256 != task.definition_sha256
    assert changed == replace(task, definition_sha256=changed.definition_sha256)


def test_a_change_of_licence_changes_nothing(task: Task, copy: Path) -> None:
    edit_card(copy, licence="MIT")
    assert make_task("file:random", numerics=task.numerics, roots=[copy]) == task


def test_the_task_s_process_and_reference_are_the_card_s(task: Task, root: Path) -> None:
    assert process_of(task, roots=[root]).describe() == VPDiscrete.linear().describe()
    assert reference_of(task, roots=[root]).num_images == 300


def test_unknown_models_and_references_are_refused_by_field(root: Path) -> None:
    with pytest.raises(UnknownName, match="file:random") as caught:
        make_task("file:other", roots=[root])
    assert caught.value.field == "model"
    with pytest.raises(InvalidInput, match="allowed: digits") as refused:
        make_task("file:random", reference="cats", roots=[root])
    assert refused.value.field == "reference"


def test_guidance_of_a_model_without_null_label_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, is_conditional=False)
    with pytest.raises(InvalidInput, match="no null label; allowed: 1") as caught:
        make_task("file:random", guidance_scale=2.0, roots=[tmp_path])
    assert caught.value.field == "guidance_scale"


def test_a_reference_of_another_extractor_or_size_is_refused(copy: Path) -> None:
    path = copy / "random" / "reference-digits.safetensors"
    features = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    for extractor, shape, named in (
        ("inception@1", (1, 8, 8), "extractor is inception@1, but file:random needs pixels@"),
        (make_task("file:random", roots=[copy]).extractor, (1, 16, 16), "image_shape is"),
    ):
        ReferenceStatistics.from_features(
            features, extractor=extractor, image_shape=shape, resize_rule="none", source="test"
        ).save(path)
        with pytest.raises(InvalidInput, match=named):
            make_task("file:random", roots=[copy])


def test_a_reference_that_changed_since_is_not_loaded(copy: Path) -> None:
    task = make_task("file:random", roots=[copy])
    reference = reference_of(task, roots=[copy])
    replace(reference, source="changed").save(copy / "random" / "reference-digits.safetensors")
    with pytest.raises(ChecksFailed, match="the file changed"):
        reference_of(task, roots=[copy])


def test_a_card_that_changed_since_is_noticed(copy: Path) -> None:
    task = make_task("file:random", roots=[copy])
    edit_card(copy, process=VPDiscrete.cosine(1000).describe())
    with pytest.raises(ChecksFailed, match=r"definition .* the model changed"):
        process_of(task, roots=[copy])


def test_weights_that_are_a_pickle_are_refused(copy: Path) -> None:
    (copy / "random" / "unet.safetensors").write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00")
    with pytest.raises(UnsafeCheckpoint):
        make_task("file:random", roots=[copy])
