"""Tiles of chains: the images that the chains of one candidate give from one start.

A block of `micro_batch` images is what `chains` chains give in as many windows as it takes, one
after the other. Image number block * micro_batch + window * chains + chain belongs to that chain in
that window. A block begins with new chains, so more images only add blocks, and a tile is a block
or a part of one. Chains of different candidates share no tile: their levels part at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from evaluators.banks import Bank
from evaluators.packing import Part, Segment, Tile, pack
from space.candidate import Candidate


@dataclass(frozen=True, slots=True)
class ChainSegment:
    """Images start..stop-1 of a bank, drawn from the chains of one candidate."""

    candidate: Candidate
    bank: Bank
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of images."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class ChainTile:
    """The images of a segment that lie in one block, and the piece of work they belong to.

    A tile that begins inside a block runs its chains from the block's start all the same.
    """

    work: int
    segment: ChainSegment
    block: int

    @property
    def rows(self) -> int:
        """Rows in use."""
        return self.segment.rows

    @property
    def shares(self) -> tuple[tuple[int, int], ...]:
        """Work and rows, as of a `Tile`."""
        return ((self.work, self.rows),)


AnySegment: TypeAlias = Segment | ChainSegment
AnyTile: TypeAlias = Tile | ChainTile


def cut(segment: ChainSegment, work: int, micro_batch: int) -> list[ChainTile]:
    """The tiles of a segment, block by block."""
    tiles, start = [], segment.start
    while start < segment.stop:
        block = start // micro_batch
        stop = min(segment.stop, (block + 1) * micro_batch)
        tiles.append(ChainTile(work, replace(segment, start=start, stop=stop), block))
        start = stop
    return tiles


def tiles_of(segments: Sequence[AnySegment], micro_batch: int) -> list[AnyTile]:
    """All tiles of segments, numbered in their order: those of chains, then the others as packed.

    Parts of one segment stay in order.
    """
    plain = [i for i, segment in enumerate(segments) if isinstance(segment, Segment)]
    packed = pack([s for s in segments if isinstance(s, Segment)], micro_batch)
    tiles: list[AnyTile] = [
        tile
        for work, segment in enumerate(segments)
        if isinstance(segment, ChainSegment)
        for tile in cut(segment, work, micro_batch)
    ]
    for tile in packed:
        tiles.append(Tile(tuple(Part(plain[part.work], part.segment) for part in tile.parts)))
    return tiles
