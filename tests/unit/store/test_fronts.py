"""Fronts of searches and over all of them; on SQLite and on Postgres."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from sqlalchemy import Engine

from fewstep.errors import NotFound
from store import artifacts, fronts, leases, schedules
from store.records import FrontPoint
from tests.unit.store.examples import claim, new_schedule, publish, submit


def point(name: str, cost: float, fid: float) -> FrontPoint:
    return FrontPoint(
        id=name,
        search_id="search",
        point=0,
        solver="ddim",
        nfe=4,
        cost=cost,
        cost_share=1.0,
        macs=None,
        seconds=None,
        fid=fid,
        standard_error=0.1,
        weights_sha256=None,
    )


def test_a_search_publishes_its_front_with_weights(store_engine: Engine) -> None:
    pruned = new_schedule(3.5, cost_share=0.7, weights=b"tensors")
    search_id = publish(store_engine, new_schedule(3.25), pruned, new_schedule(9.0, cost_share=0.5))
    found = schedules.front_of_search(store_engine, search_id)
    assert [(each.point, each.fid, each.cost_share) for each in found] == [
        (0, 3.25, 1.0),
        (1, 3.5, 0.7),
        (2, 9.0, 0.5),
    ]
    sha256 = hashlib.sha256(b"tensors").hexdigest()
    assert [each.weights_sha256 for each in found] == [None, sha256, None]
    assert artifacts.get(store_engine, sha256) == b"tensors"
    assert (found[1].macs, found[1].seconds) == (2_800_000, 0.5)
    assert schedules.of_search(store_engine, search_id) == found[0]
    assert schedules.of_search(store_engine, search_id, 2) == found[2]
    assert schedules.get(store_engine, found[1].id) == found[1]
    listed = schedules.list_page(store_engine, limit=2)
    assert [each.id for each in listed.items] == [found[0].id, found[1].id]


def test_ids_follow_from_the_search_and_the_best_keeps_its_own(store_engine: Engine) -> None:
    search_id = publish(store_engine, new_schedule(), new_schedule(4.0, cost_share=0.5))
    namespace = uuid.UUID("6f0d7c1e-5f0b-4c55-9a44-0f6b1d6a52c8")
    names = [search_id, f"{search_id}/1"]
    found = [each.id for each in schedules.front_of_search(store_engine, search_id)]
    assert found == [str(uuid.uuid5(namespace, name)) for name in names]


def test_a_point_that_was_not_published_is_not_found(store_engine: Engine) -> None:
    search_id = publish(store_engine, new_schedule())
    with pytest.raises(NotFound, match="no schedule 1"):
        schedules.of_search(store_engine, search_id, 1)
    with pytest.raises(NotFound, match="does not exist"):
        schedules.get(store_engine, search_id)


def test_success_without_a_schedule_is_our_mistake_and_changes_nothing(
    store_engine: Engine,
) -> None:
    submit(store_engine)
    lease = claim(store_engine)
    with pytest.raises(ValueError, match="none"):
        leases.succeed(store_engine, lease, result={}, schedules=[])
    leases.check(store_engine, lease)  # it is still running, and ours


@pytest.mark.parametrize(
    ("points", "dominated"),
    [
        ({"a": (4, 3.0)}, {"a": None}),
        ({"a": (4, 3.0), "b": (2, 5.0)}, {"a": None, "b": None}),
        ({"a": (4, 3.0), "b": (3, 2.0)}, {"a": "b", "b": None}),
        ({"a": (4, 3.0), "b": (4, 2.0)}, {"a": "b", "b": None}),
        ({"a": (4, 3.0), "b": (4, 3.0)}, {"a": None, "b": None}),
        # The nearest of those that cost no more, not the cheapest.
        ({"a": (4, 3.0), "b": (2, 2.5), "c": (3, 2.0)}, {"a": "c", "b": None, "c": None}),
        ({"a": (4, 3.0), "b": (5, 1.0), "c": (1, 9.0)}, {"a": None, "b": None, "c": None}),
        ({"a": (4, 9.0), "b": (2, 5.0), "c": (3, 7.0)}, {"a": "b", "b": None, "c": "b"}),
    ],
)
def test_a_point_is_dominated_by_the_nearest_that_costs_no_more(
    points: dict[str, tuple[float, float]], dominated: dict[str, str | None]
) -> None:
    found = fronts.marked([point(name, *values) for name, values in points.items()])
    assert {each.id: each.dominated_by for each in found} == dominated
    assert [each.cost for each in found] == sorted(cost for cost, _ in points.values())


def test_a_pruned_schedule_that_a_shorter_one_dominates_is_marked(store_engine: Engine) -> None:
    pruned = publish(
        store_engine,
        new_schedule(2.0, nfe=8),
        new_schedule(6.0, nfe=8, cost_share=0.6),
        new_schedule(2.5, nfe=8, cost_share=0.8),
    )
    shorter = publish(store_engine, new_schedule(4.0, nfe=4))
    (front,) = fronts.list_fronts(store_engine, model="zoo:digits")
    (best,) = schedules.front_of_search(store_engine, shorter)
    assert [(each.cost, each.fid, each.dominated_by) for each in front.points] == [
        (4.0, 4.0, None),
        (pytest.approx(4.8), 6.0, best.id),
        (pytest.approx(6.4), 2.5, None),
        (8.0, 2.0, None),
    ]
    own = fronts.of_search(store_engine, pruned)
    assert own.key == front.key
    assert [(each.point, each.dominated_by) for each in own.points] == [
        (0, None),
        (1, best.id),
        (2, None),
    ]


def test_only_what_may_be_compared_stands_together(store_engine: Engine) -> None:
    publish(store_engine, new_schedule(3.0))
    publish(store_engine, new_schedule(1.0, nfe=2, num_samples=1024))
    publish(store_engine, new_schedule(2.0, nfe=2, guidance_scale=2.5, cost_share=0.5))
    found = fronts.list_fronts(store_engine, model="zoo:digits")
    keys = [(f.key.guidance, f.key.guidance_scale, f.key.num_samples) for f in found]
    assert keys == [
        ("classifier-free", 2.5, 4096),
        ("none", 1.0, 1024),
        ("none", 1.0, 4096),
    ]
    assert [p.dominated_by for front in found for p in front.points] == [None] * 3
    assert found[0].points[0].cost == 2.0, "guidance takes two passes, of which half is left"
    (guided,) = fronts.list_fronts(store_engine, model="zoo:digits", guidance_scale=2.5)
    assert guided == found[0]
    assert fronts.list_fronts(store_engine, model="zoo:digits", reference="heldout") == []
    assert fronts.list_fronts(store_engine, model="zoo:other") == []


def test_points_of_a_search_are_shown_however_many_are_nearer(
    store_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fronts, "MAX_SCHEDULES", 1)
    search_id = publish(store_engine, new_schedule(9.0), new_schedule(9.5, cost_share=0.5))
    publish(store_engine, new_schedule(1.0, nfe=1))
    points = fronts.of_search(store_engine, search_id).points
    assert [each.fid for each in points] == [9.0, 9.5]
    assert all(each.dominated_by is not None for each in points)


def test_a_search_that_published_nothing_has_no_front(store_engine: Engine) -> None:
    assert schedules.front_of_search(store_engine, submit(store_engine).id) == []
    with pytest.raises(NotFound, match="no schedule"):
        fronts.of_search(store_engine, "nothing")
