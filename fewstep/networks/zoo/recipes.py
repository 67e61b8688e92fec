"""The recipes of all bundled models, by name."""

from __future__ import annotations

from fewstep.errors import UnknownName
from fewstep.networks.zoo.cifar10_recipe import CIFAR10, CIFAR10_16
from fewstep.networks.zoo.digits_recipe import DIGITS
from fewstep.networks.zoo.recipe import Recipe

RECIPES: dict[str, Recipe] = {recipe.model: recipe for recipe in (DIGITS, CIFAR10, CIFAR10_16)}


def recipe_of(reference: str) -> Recipe:
    """The recipe behind a model reference such as `zoo:digits`.

    Raises:
        UnknownName: the model is not one of ours.
    """
    for recipe in RECIPES.values():
        if recipe.name == reference:
            return recipe
    allowed = ", ".join(recipe.name for recipe in RECIPES.values())
    raise UnknownName(f"model={reference!r}: has no recipe; allowed: {allowed}", field="model")
