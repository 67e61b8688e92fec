"""Network calls: what an ask costs, what was spent, what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluators.banks import Bank
from evaluators.price import Price, calls_for
from evaluators.score import Ask


@dataclass(slots=True)
class Ledger:
    """Counts the calls of a search, from its asks alone.

    Banks are nested prefixes and features are kept, so a candidate scored with N' images costs
    only N - N' new ones to be scored with N. Asking again for what was scored costs nothing. Calls
    are counted whether the scores were computed now, found in a store, or failed.

    Attributes:
        calls_per_image: Network calls of one image, where there is no price list.
        budget: Calls that may be spent; None is unlimited.
        price: What images of each candidate cost; searched options may change it.
    """

    calls_per_image: float
    budget: int | None = None
    price: Price | None = None
    spent: int = 0
    _images: dict[tuple[str, Bank], int] = field(default_factory=dict)

    @property
    def left(self) -> int | None:
        """Calls that may still be spent; None is unlimited."""
        return None if self.budget is None else self.budget - self.spent

    def cost(self, ask: Ask) -> int:
        """New network calls that this ask needs."""
        known = self._images.get((ask.candidate.key, ask.bank), 0)
        if known >= ask.num_samples:
            return 0
        each = self.calls_per_image
        if self.price is not None:
            each = self.price.per_image(ask.candidate)
        return calls_for(ask.num_samples, each) - calls_for(known, each)

    def affordable(self, asks: Sequence[Ask]) -> list[Ask]:
        """The longest prefix of `asks` (all different) that the budget can pay for."""
        if self.budget is None:
            return list(asks)
        total, prefix = self.spent, []
        for ask in asks:
            total += self.cost(ask)
            if total > self.budget:
                break
            prefix.append(ask)
        return prefix

    def charge(self, ask: Ask) -> int:
        """Spend an ask's cost, and hand it back."""
        cost = self.cost(ask)
        place = (ask.candidate.key, ask.bank)
        self._images[place] = max(self._images.get(place, 0), ask.num_samples)
        self.spent += cost
        return cost
