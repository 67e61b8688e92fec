"""Model cards: what they say, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fewstep.errors import InvalidInput
from fewstep.networks.card import MAX_CARD_BYTES, ModelCard, read_card
from fewstep.networks.models import resolve
from fewstep.process import VE

Edit = Callable[[dict[str, Any]], object]


def _read_edited(root: Path, edit: Edit) -> ModelCard:
    path = root / "copy" / "card.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_card(root / "copy")


def test_bundled_card_describes_a_guided_noise_predictor() -> None:
    card = resolve("zoo:digits")
    assert card.name == "zoo:digits"
    assert card.image_shape == (1, 8, 8)
    assert (card.num_classes, card.null_label) == (10, 10)
    assert card.unet_config().num_classes == 11  # the null label has a row of its own
    assert card.make_process().describe()["beta_schedule"] == "linear"
    assert sorted(card.references) == ["digits-all", "digits-heldout", "digits-train"]


def test_bundled_files_exist_and_are_small() -> None:
    card = resolve("zoo:digits")
    assert card.weights_path.stat().st_size <= 2_000_000
    for name in card.references:
        assert card.reference_path(name).is_file()
    assert card.reference_path() == card.reference_path(card.default_reference)


def test_unknown_reference_lists_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"reference='mnist'.*digits-all, digits-heldout"):
        resolve("zoo:digits").reference_path("mnist")


def test_teacher_limit_is_wider_where_the_reference_has_few_images() -> None:
    card = resolve("zoo:digits")
    assert card.max_teacher_fid("digits-all") == card.teacher["max_fid"]
    assert card.max_teacher_fid("digits-heldout") > 2 * card.teacher["max_fid"]


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda d: d.update(surprise=1), "surprise: Unexpected keyword argument"),
        (lambda d: d.pop("licence"), "licence: Field required"),
        (lambda d: d.update(num_classes="10"), "num_classes: Input should be a valid integer"),
        (lambda d: d.update(num_classes=None), "num_classes, null_label"),
        (lambda d: d.update(null_label=11), "num_classes, null_label"),
        (lambda d: d.update(prediction="velocity"), "'velocity'; allowed: 'noise'"),
        (lambda d: d.update(default_reference="mnist"), "allowed: one of: digits-all"),
        (lambda d: d.update(image_shape=[3, 8, 8]), "image_shape"),
        (lambda d: d.update(image_shape=[1, 9, 8]), "image_shape"),
        (lambda d: d.update(weights_file="../digits/unet.safetensors"), "plain *.safetensors"),
        (lambda d: d.update(weights_file="unet.pt"), "plain *.safetensors"),
        (lambda d: d["references"].update(x="/etc/passwd"), "plain *.safetensors"),
        (lambda d: d["architecture"].update(kind="dit"), "'dit'; allowed: 'adm-unet'"),
        (lambda d: d["architecture"].update(depth=3), "architecture.depth: unknown field"),
        (lambda d: d["process"].update(family="levy"), "process.family='levy'"),
        (lambda d: d.update(process=VE().describe()), "'ve'; allowed: 'vp-discrete'"),
        (lambda d: d["teacher"].pop("max_fid"), "teacher.max_fid: Field required"),
        (lambda d: d["teacher"].update(max_fid_to={"mnist": 1.0}), "teacher.max_fid_to"),
        (lambda d: d.update(folder="/etc"), "folder"),
    ],
)
def test_bad_card_is_refused_by_what_is_wrong_in_it(
    model_root: Path, edit: Edit, told: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        _read_edited(model_root, edit)
    assert told in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"name": NaN}', b"null"])
def test_card_that_is_no_json_object_is_refused(model_root: Path, content: bytes) -> None:
    (model_root / "copy" / "card.json").write_bytes(content)
    with pytest.raises(InvalidInput, match="card of 'copy'"):
        read_card(model_root / "copy")


def test_missing_and_oversized_cards_are_refused(model_root: Path) -> None:
    path = model_root / "copy" / "card.json"
    path.write_bytes(b" " * (MAX_CARD_BYTES + 1))
    with pytest.raises(InvalidInput, match="at most"):
        read_card(model_root / "copy")
    path.unlink()
    with pytest.raises(InvalidInput, match=r"has no card\.json"):
        read_card(model_root / "copy")
