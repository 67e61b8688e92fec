"""Tiling: every image once, in order, in full tiles of like programs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evaluators.banks import Bank
from evaluators.packing import Segment, Tile, pack, pattern
from fewstep.process import VPDiscrete
from fewstep.program import Program, trace

PROCESS = VPDiscrete.linear()
PROGRAMS = {
    solver: trace((1.0, 0.5, 0.25, 0.0), process=PROCESS, solver=solver)
    for solver in ("ddim", "dpm-solver++-2m", "heun")
}
BANK = Bank("search")

requests = st.lists(
    st.tuples(st.sampled_from(sorted(PROGRAMS)), st.integers(0, 50), st.integers(0, 120)),
    max_size=12,
)


def segments_of(wanted: list[tuple[str, int, int]]) -> list[Segment]:
    return [Segment(PROGRAMS[name], BANK, start, start + num) for name, start, num in wanted]


def images_of(tiles: list[Tile]) -> list[tuple[int, int]]:
    """(work, image) of every row, in tile order."""
    parts = [part for tile in tiles for part in tile.parts]
    return [(p.work, image) for p in parts for image in range(p.segment.start, p.segment.stop)]


@given(wanted=requests, micro_batch=st.sampled_from([16, 32, 64]))
def test_every_image_is_in_one_tile_and_each_segment_stays_in_order(
    wanted: list[tuple[str, int, int]], micro_batch: int
) -> None:
    found = images_of(pack(segments_of(wanted), micro_batch))
    expected = [
        (w, i) for w, (_, start, num) in enumerate(wanted) for i in range(start, start + num)
    ]
    assert sorted(found) == sorted(expected)
    for work in range(len(wanted)):
        images = [image for owner, image in found if owner == work]
        assert images == sorted(images)


@given(wanted=requests, micro_batch=st.sampled_from([16, 32, 64]))
def test_all_tiles_but_the_last_of_each_pattern_are_full(
    wanted: list[tuple[str, int, int]], micro_batch: int
) -> None:
    tiles = pack(segments_of(wanted), micro_batch)
    assert all(1 <= tile.rows <= micro_batch for tile in tiles)
    loose = [tile for tile in tiles if tile.rows < micro_batch]
    patterns = {pattern(tile.parts[0].segment) for tile in loose}
    assert len(loose) == len(patterns)


@given(wanted=requests)
def test_programs_of_one_tile_are_alike(wanted: list[tuple[str, int, int]]) -> None:
    for tile in pack(segments_of(wanted), 32):
        assert len({pattern(part.segment) for part in tile.parts}) == 1


def test_two_schedules_of_one_solver_share_tiles() -> None:
    other = trace((0.9, 0.4, 0.1, 0.0), process=PROCESS, solver="ddim")
    tiles = pack([Segment(PROGRAMS["ddim"], BANK, 0, 20), Segment(other, BANK, 0, 20)], 32)
    assert [[part.work for part in tile.parts] for tile in tiles] == [[0, 1], [1]]


def test_programs_of_equal_kinds_but_other_terms_do_not_share_a_tile() -> None:
    ddim = PROGRAMS["ddim"].to_dict()
    ddim["output"] = {"d2": 1.0, "d0": 0.5}
    other = Program.from_dict(ddim)
    assert other.shape == PROGRAMS["ddim"].shape
    tiles = pack([Segment(PROGRAMS["ddim"], BANK, 0, 4), Segment(other, BANK, 0, 4)], 32)
    assert [tile.rows for tile in tiles] == [4, 4]


def test_nothing_to_do_is_no_tile() -> None:
    assert pack([], 32) == []
    assert pack([Segment(PROGRAMS["ddim"], BANK, 8, 8)], 32) == []
