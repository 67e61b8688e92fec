"""Guides in a card: which entries are refused, and what loading checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from evaluators.tasks import definition_sha256
from fewstep.errors import ChecksFailed, InvalidInput, UnknownName, UnsafeCheckpoint
from fewstep.networks.card import ModelCard, read_card
from fewstep.networks.guides import label_classifier, load_guide, noise_level_posterior
from fewstep.networks.models import resolve
from fewstep.networks.zoo.noise_level_classifier import NoiseLevelClassifier
from fewstep.networks.zoo.noisy_classifier import NoisyClassifier

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def card() -> ModelCard:
    return resolve("zoo:digits")


def _edited(root: Path, edit: Edit) -> ModelCard:
    """The copied card, changed."""
    path = root / "copy" / "card.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_card(root / "copy")


def _rewritten(
    root: Path, name: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> ModelCard:
    """The copied card, with another file for one guide, and its right checksum."""
    path = root / "copy" / f"{name}.safetensors"
    save_file(tensors, path, metadata)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return _edited(root, lambda d: d["guides"][name].update(sha256=sha256))


def test_bundled_guides_are_listed_small_and_load(card: ModelCard) -> None:
    assert sorted(card.guides) == ["noise-level", "noisy-label"]
    for name in card.guides:
        size = card.guide_path(name).stat().st_size
        assert size < 1_000_000, (name, size)
        network = load_guide(card, name)
        assert not network.training
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert not any(p.requires_grad for p in network.parameters())
    assert isinstance(load_guide(card, "noisy-label"), NoisyClassifier)
    assert isinstance(load_guide(card, "noise-level"), NoiseLevelClassifier)


def test_guides_do_not_change_what_scores_are_kept_under(card: ModelCard) -> None:
    assert definition_sha256(replace(card, guides={})) == definition_sha256(card)


def test_loading_moves_no_random_numbers_of_others(card: ModelCard) -> None:
    before = torch.get_rng_state()
    label_classifier(card)
    noise_level_posterior(card)
    assert torch.equal(before, torch.get_rng_state())


def test_guide_loaded_in_inference_mode_can_be_differentiated(card: ModelCard) -> None:
    with torch.inference_mode():
        guide = label_classifier(card)
    x = torch.zeros(2, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(guide(x, torch.zeros(2))[:, 3].sum(), x)
    assert gradient.abs().min() > 0.0


def test_unknown_guide_lists_those_there_are(card: ModelCard) -> None:
    with pytest.raises(InvalidInput, match=r"guide='clip'.*allowed: noise-level, noisy-label"):
        load_guide(card, "clip")
    with pytest.raises(InvalidInput, match="allowed: none"):
        load_guide(replace(card, guides={}), "clip")


def test_model_without_a_guide_of_the_kind_says_so(card: ModelCard) -> None:
    bare = replace(card, guides={})
    with pytest.raises(UnknownName, match="no guide of kind 'noisy-label'"):
        label_classifier(bare)
    with pytest.raises(UnknownName, match="no guide of kind 'noise-level'"):
        noise_level_posterior(bare)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda g: g["noisy-label"].update(kind="clip"), "guides.noisy-label.kind"),
        (lambda g: g["noisy-label"].update(surprise=1), "guides.noisy-label.surprise"),
        (lambda g: g["noisy-label"].pop("sha256"), "guides.noisy-label.sha256"),
        (lambda g: g["noisy-label"].update(file="../x.safetensors"), "plain *.safetensors"),
        (lambda g: g["noisy-label"].update(file="x.pt"), "plain *.safetensors"),
        (lambda g: g["noisy-label"].update(gradient_cost=0.0), "guides.noisy-label.gradient_cost"),
        (lambda g: g["noisy-label"].update(gradient_cost=-1), "guides.noisy-label.gradient_cost"),
        (lambda g: g["noisy-label"].update(gradient_cost="1"), "gradient_cost: Input should be"),
        (lambda g: g["noise-level"].update(gradient_cost=0.2), "guides.noise-level.gradient_cost"),
    ],
)
def test_bad_entry_is_refused_by_what_is_wrong_in_it(
    model_root: Path, edit: Edit, told: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        _edited(model_root, lambda document: edit(document["guides"]))
    assert told in caught.value.message


def test_label_guide_of_a_model_without_labels_is_refused(model_root: Path) -> None:
    def unlabelled(document: dict[str, Any]) -> None:
        document.update(num_classes=None, null_label=None)
        document["architecture"].update(num_classes=None)

    with pytest.raises(InvalidInput, match=r"guides\.noisy-label\.kind.*has no labels"):
        _edited(model_root, unlabelled)


@pytest.mark.parametrize("name", ["noisy-label", "noise-level"])
def test_changed_file_is_refused(model_root: Path, name: str) -> None:
    card = read_card(model_root / "copy")
    content = bytearray(card.guide_path(name).read_bytes())
    content[-1] ^= 1
    card.guide_path(name).write_bytes(content)
    with pytest.raises(ChecksFailed, match=rf"{name}\.safetensors: sha256 is"):
        load_guide(card, name)


def test_pickle_is_never_opened(model_root: Path) -> None:
    card = read_card(model_root / "copy")
    card.guide_path("noisy-label").write_bytes(b"\x80\x04N.")
    with pytest.raises(UnsafeCheckpoint, match="it is a pickle"):
        load_guide(card, "noisy-label")


def test_other_tensors_are_refused_by_name(model_root: Path) -> None:
    tensors = load_file(model_root / "copy" / "noisy-label.safetensors")
    tensors["head.weight"] = tensors["head.weight"][:9].clone()
    card = _rewritten(model_root, "noisy-label", tensors)
    with pytest.raises(ChecksFailed, match=r"head\.weight: \(9, 64\) instead of \(10, 64\)"):
        load_guide(card, "noisy-label")


@pytest.mark.parametrize(
    "written",
    [None, "", "rho", "{}", "[]", "3", '["a"]', "[1.0, 1.0]", "[1.0, 0.0]", "[NaN]", "[Infinity]"],
)
def test_file_without_a_grid_of_levels_is_refused(model_root: Path, written: str | None) -> None:
    tensors = load_file(model_root / "copy" / "noise-level.safetensors")
    metadata = None if written is None else {"rho": written}
    card = _rewritten(model_root, "noise-level", tensors, metadata)
    with pytest.raises(ChecksFailed, match="is no grid of noise levels"):
        noise_level_posterior(card)


def test_grid_of_another_length_is_refused(model_root: Path) -> None:
    tensors = load_file(model_root / "copy" / "noise-level.safetensors")
    card = _rewritten(model_root, "noise-level", tensors, {"rho": "[2.0, 1.0]"})
    with pytest.raises(ChecksFailed, match=r"correction\.bias: \(200,\) instead of \(2,\)"):
        load_guide(card, "noise-level")
