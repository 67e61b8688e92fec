"""The published second stage as a strategy: counts, ramp, budgets, replay."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import pytest

from evaluators.price import Price
from evaluators.score import Ask, Score
from fewstep.errors import InvalidInput
from fewstep.networks.adm.config import UNetConfig
from fewstep.networks.pruning.blocks import adm_blocks
from search.paper_layers import LayerPlan, cost_share, paper_layers
from search.published import LAYER_GENERATIONS
from search.strategy import Outcome
from space.candidate import Candidate
from space.layer_skips import LayerSkipSpace, SkipRamp, full_genome
from tests.unit.networks.pruning.test_configuration import IMAGENET_64
from tests.unit.search.analytic import Played, play
from tests.unit.space.architecture_cases import SMALL
from tests.unit.space.strategies import process

LAYERS = len(adm_blocks(SMALL))
PUBLISHED = (971, 856, 744, 676, 647, 572, 441, 305, 137, 85)
PUBLISHED_SKIPS = (4, 8, 10, 15, 30, 39, 46, 49, 54)


def plan_of(config: UNetConfig = SMALL, *, steps: int = 4, **fields: object) -> LayerPlan:
    blocks = adm_blocks(config)
    given: dict[str, object] = {
        "solver": "ddim",
        "space": LayerSkipSpace(process(1000), blocks, steps * len(blocks)),
        "config": config,
        "image_size": 64 if config is IMAGENET_64 else 8,
        "price": Price(),
        "budget": 10**9,
        "seed": 0,
        "fraction": 0.002,
        "ramp": SkipRamp(max_fraction=0.4),
        "generations": 10,
    }
    return LayerPlan(**(given | fields))  # type: ignore[arg-type]


def left_out(candidate: Candidate) -> list[int]:
    """How many layers each step leaves out."""
    if candidate.architecture is None:
        return [0] * candidate.steps
    return [len(candidate.architecture.at(k).choices) for k in range(candidate.steps)]


def draw(text: str) -> float:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def dummy(ask: Ask) -> Score:
    """A deterministic fitness without any structure."""
    return Score(1.0 + draw(ask.candidate.key), None, ask.num_samples * ask.candidate.steps)


def likes_skips(ask: Ask) -> Score:
    """What leaves more out is better; ties by hash."""
    value = 10.0 - sum(left_out(ask.candidate)) + 0.1 * draw(ask.candidate.key)
    return Score(value, None, ask.num_samples * ask.candidate.steps)


def ramps_of(played: Played, plan: LayerPlan) -> list[SkipRamp]:
    """The ramp under which each generation was bred, from the scores that were sent."""
    ramps, ramp, best = [plan.ramp], plan.ramp, float("inf")
    for generation, batch in enumerate(played.batches[:-1]):
        lowest = min(dummy(ask).fid or 9.0 for ask in batch)
        ramp = ramp.advanced(generation, has_improved=lowest < best)
        best = min(best, lowest)
        ramps.append(ramp)
    return ramps


@lru_cache
def played_small() -> tuple[Outcome, Played]:
    return play(paper_layers(plan_of()), dummy)


@pytest.mark.parametrize("generations", [1, 4])
def test_it_evaluates_fifty_candidates_in_each_generation(generations: int) -> None:
    outcome, played = play(paper_layers(plan_of(generations=generations)), dummy)
    assert [len(batch) for batch in played.batches] == [50] * generations
    assert len(played.asks) == 50 + 50 * (generations - 1)
    assert len(outcome.history) == generations


def test_the_published_script_evaluates_750_times_with_1000_images_at_ten_steps() -> None:
    script: dict[str, object] = {"fraction": 1.0, "ramp": SkipRamp()}
    plan = plan_of(IMAGENET_64, steps=10, generations=LAYER_GENERATIONS, **script)
    assert plan.space.max_layers == 580
    assert plan.images == 1000
    assert plan.most_calls == 750 * 1000 * 10, "a tenth less is no room for an eleventh step"


def test_every_evaluation_has_noise_and_random_labels_of_its_own() -> None:
    _, played = played_small()
    assert [ask.bank.set_index for ask in played.asks] == list(range(500))
    assert {(ask.bank.name, ask.bank.labels) for ask in played.asks} == {("search", "random")}
    assert {ask.num_samples for ask in played.asks} == {10}, "5000 images at 0.2 %"


def test_the_first_generation_runs_all_layers_from_the_uniform_seed_on() -> None:
    plan, (_, played) = plan_of(), played_small()
    first = played.batches[0]
    assert first[0].candidate == plan.candidate(full_genome((0, 250, 500, 750)))
    assert all(ask.candidate.architecture is None for ask in first)
    assert {ask.candidate.steps for ask in first} == {4}


def test_no_step_leaves_out_more_than_the_ramp_of_its_generation_allows() -> None:
    plan, (_, played) = plan_of(), played_small()
    ramps = ramps_of(played, plan)
    most = [
        max(count for ask in batch for count in left_out(ask.candidate)) for batch in played.batches
    ]
    allowed = [int(LAYERS * ramp.high) for ramp in ramps]
    assert all(a <= b for a, b in zip(most, allowed, strict=True)), (most, allowed)
    assert most[-1] == allowed[-1] == int(LAYERS * 0.4), (most, allowed)
    assert most[0] == 0


def test_the_budgets_of_layers_and_calls_hold_for_every_candidate() -> None:
    plan, (outcome, played) = plan_of(), played_small()
    for ask in played.asks:
        run = sum(LAYERS - count for count in left_out(ask.candidate))
        assert run <= 4 * LAYERS, ask.candidate
        architecture = ask.candidate.architecture
        assert architecture is None or len(architecture.configurations) <= 3
    steps = [ask.candidate.steps for ask in played.asks]
    assert max(steps) > 4, "what is left out makes room"
    assert max(steps) <= len(plan.longest)
    assert outcome.calls_spent == sum(10 * count for count in steps)
    assert outcome.calls_spent <= plan.most_calls


def test_skipped_layers_go_on_changing_once_there_are_any() -> None:
    """As released, a step that skipped layers kept them: here children at its index have others."""
    _, played = play(paper_layers(plan_of()), likes_skips)
    elite = sorted(played.asks[:450], key=lambda ask: likes_skips(ask).fid or 99.0)[:10]
    same_index = changed = 0
    for child in (ask.candidate for ask in played.batches[-1][:25]):
        for parent in (ask.candidate for ask in elite):
            if len(set(child.times) & set(parent.times)) < 4:
                continue
            for step, t in enumerate(parent.times[:-1]):
                if parent.architecture is None or t not in child.times:
                    continue
                before = parent.architecture.at(step)
                assert child.architecture is not None
                after = child.architecture.at(child.times.index(t))
                same_index += bool(before.choices)
                changed += bool(before.choices) and before != after
    assert same_index > 50, same_index
    assert changed > same_index / 5, (changed, same_index)


def test_layers_whose_loss_helps_are_left_out_in_the_end() -> None:
    outcome, played = play(paper_layers(plan_of(num_finalists=3)), likes_skips)
    values = [10.0 - sum(left_out(c)) for c in outcome.finalists]
    assert len(set(outcome.finalists)) == 3
    best = sorted(likes_skips(ask).fid or 99.0 for ask in played.asks)
    assert all(v <= b <= v + 0.1 for v, b in zip(values, best, strict=False)), (values, best[:3])
    assert values[0] <= 10.0 - 4 * int(LAYERS * 0.4), "as much as the ramp allows, at each step"


def test_equal_scores_give_equal_asks_and_other_seeds_others() -> None:
    outcome, played = played_small()
    again, replayed = play(paper_layers(plan_of()), dummy)
    assert replayed.batches == played.batches
    assert again == outcome
    _, other = play(paper_layers(plan_of(seed=1, generations=1)), dummy)
    assert other.batches[0] != played.batches[0]


def test_failed_candidates_are_not_finalists() -> None:
    def fails(ask: Ask) -> Score:
        return Score(None, "all images are not finite", ask.num_samples * ask.candidate.steps)

    outcome, played = play(paper_layers(plan_of(generations=3)), fails)
    assert len(played.asks) == 150
    assert outcome.finalists == ()


def test_longer_candidates_are_charged_more() -> None:
    plan = plan_of()
    ledger = plan.ledger()
    _, played = played_small()
    by_steps = {ask.candidate.steps: ledger.cost(ask) for ask in played.asks}
    assert len(by_steps) > 1
    assert by_steps == {steps: 10 * steps for steps in by_steps}


def test_the_published_example_costs_983_thousandths_of_its_ten_full_calls() -> None:
    plan = plan_of(IMAGENET_64, steps=10, ramp=SkipRamp(max_fraction=0.2))
    genome = tuple((k, PUBLISHED_SKIPS if k == 676 else ()) for k in PUBLISHED)
    assert round(cost_share(plan, plan.candidate(genome)), 4) == 1 - 0.0168
    assert cost_share(plan, plan.candidate(plan.uniform)) == 1.0
    guided = plan_of(IMAGENET_64, steps=10, price=Price(guidance="classifier-free"))
    assert guided.macs(guided.candidate(genome)) == 2 * plan.macs(plan.candidate(genome))
    longer = plan.candidate(tuple((k, ()) for k in range(9, -1, -1)))
    assert cost_share(plan, longer) == 1.0


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"budget": 19_999}, "budget", r"allowed: \d+ network calls and more"),
        ({"options": (("eta", (0.0, 0.0, 0.0, 0.0)),)}, "options.eta", "one value for all steps"),
        ({"ramp": SkipRamp(fifths=1)}, "ramp", "has not begun"),
        ({"ramp": SkipRamp(max_fraction=1.0)}, "ramp", "max_fraction below 1"),
        ({"generations": 0}, "generations, num_finalists", "1 and more"),
        ({"fraction": 0.0}, "fraction", "above 0"),
        ({"solver": "nonesuch"}, "solver", "nonesuch"),
        ({"solver": "dpm-solver++-3m", "steps": 1}, "steps", "allowed: 3 steps"),
        ({"steps": 37}, "steps", "uniform seed does not exist"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_is_allowed(
    fields: dict[str, object], field: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        plan_of(**fields)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_layers_of_another_network_are_refused() -> None:
    with pytest.raises(InvalidInput, match="those of the network") as caught:
        plan_of(IMAGENET_64, space=plan_of().space)
    assert caught.value.field == "space.blocks"
