"""The strategies by name, as requests call them."""

from __future__ import annotations

from collections.abc import Callable

from fewstep.registry import Registry
from search.evolution import evolution
from search.paper import paper
from search.plan import Plan
from search.random_search import random_search
from search.strategy import Strategy

STRATEGIES: Registry[Callable[[Plan], Strategy]] = Registry("strategy")
STRATEGIES.register("evolution", evolution)
STRATEGIES.register("paper", paper)
STRATEGIES.register("random", random_search)
