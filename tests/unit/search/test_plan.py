"""What a request means in numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewstep.errors import InvalidInput
from search.plan import make_plan
from tests.unit.search.analytic import plan_of, process, request_of


def test_guidance_doubles_the_price_of_an_image() -> None:
    assert plan_of().calls_per_image == 4
    assert plan_of(guidance_scale=3.0).calls_per_image == 8


def test_gradients_have_their_price_in_the_plan() -> None:
    fields: dict[str, object] = {"guidance": "classifier", "guidance_scale": 2.0}
    plan = make_plan(request_of(**fields), process(), gradient_cost=0.125)
    assert plan.calls_per_image == 4 + 4 * 0.125
    split = request_of(**fields, solver="stsp4", budget=1_279)
    with pytest.raises(InvalidInput, match="1280 and more"):
        make_plan(split, process(), gradient_cost=0.125)


def test_a_budget_below_one_schedule_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(InvalidInput, match="1024 and more") as caught:
        plan_of(budget=1023)
    assert caught.value.field == "budget"
    assert plan_of(budget=1024).search_budget == 1024


def test_start_grids_outside_the_process_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"initial_times\[0\]=\[1000, 514, 258, 18\]"):
        plan_of(initial_times=[[1000, 514, 258, 18]])


@given(st.integers(1024, 3_000_000), st.integers(1, 50))
def test_search_and_selection_share_the_budget(budget: int, num_finalists: int) -> None:
    plan = plan_of(budget=budget, num_finalists=num_finalists)
    selection = plan.num_finalists * plan.selection_images * plan.calls_per_image
    assert plan.search_budget + selection == budget
    assert selection <= 0.2 * budget
    assert 1 <= plan.num_finalists <= num_finalists
    assert (plan.num_finalists == 1) == (plan.selection_images == 0)
    assert plan.selection_images <= 4096
