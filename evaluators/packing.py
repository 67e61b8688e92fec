"""Packing: the images of many candidates cut into tiles, fixed batches that run in one forward.

A tile's rows may belong to several candidates whose programs are alike. Which images share a tile
follows from the asks in ask order alone, never from workers or timing.

A score is stored under a key that says nothing of its neighbours, so an image must not depend on
who shares its tile. It does not, to the last bit: on CPU with one thread per operation, images of
the ADM UNet and features of the classifiers were measured to be the same for every position in the
batch, all neighbours, and every batch size tried (16 to 256). The tests hold this against
tiles of the real runner. Three rules keep it so:

- every forward has exactly `micro_batch` rows; the last tile is padded;
- `micro_batch` is a multiple of 16 (`Numerics`), so no row meets a kernel's scalar remainder;
- programs share a tile only if each of their combinations names the same terms. Otherwise some
  would gain terms with coefficient 0, which turn -0 into 0 and infinite results into NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from evaluators.banks import Bank
from fewstep.networks.pruning.architecture import Architecture
from fewstep.program import Program

Pattern: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """Images start..stop-1 of a bank, made by one program on the networks of an architecture."""

    program: Program
    bank: Bank
    start: int
    stop: int
    architecture: Architecture | None = None

    @property
    def rows(self) -> int:
        """Number of images."""
        return self.stop - self.start

    def split(self, rows: int) -> tuple[Segment, Segment]:
        """The first `rows` images, and the others."""
        middle = self.start + rows
        return replace(self, stop=middle), replace(self, start=middle)


@dataclass(frozen=True, slots=True)
class Part:
    """A segment in a tile, and the number of the piece of work it belongs to."""

    work: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class Tile:
    """What runs in one forward: parts that have one pattern; free rows at the end."""

    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows in use."""
        return sum(part.segment.rows for part in self.parts)

    @property
    def shares(self) -> tuple[tuple[int, int], ...]:
        """Work and rows of each part, in order."""
        return tuple((part.work, part.segment.rows) for part in self.parts)


def pattern(segment: Segment) -> Pattern:
    """What segments of one tile have in common: networks, kinds, the terms of all combinations."""
    program = segment.program
    rows = tuple(tuple(sorted(node.input)) for node in program.nodes)
    terms = (rows, tuple(sorted(program.output)), program.noise_terms)
    return segment.architecture, program.shape, *terms


def pack(segments: Iterable[Segment], micro_batch: int) -> list[Tile]:
    """Cut segments, numbered in their order, into tiles of at most `micro_batch` rows.

    Tiles of one pattern are filled in order and listed as they become full; what is left open at
    the end follows in order of its first segment. So parts of one segment stay in order.
    """
    tiles: list[Tile] = []
    open_parts: dict[Pattern, list[Part]] = {}
    for work, segment in enumerate(segments):
        parts = open_parts.setdefault(pattern(segment), [])
        rest = segment
        while rest.rows:
            used = sum(part.segment.rows for part in parts)
            taken, rest = rest.split(min(rest.rows, micro_batch - used))
            parts.append(Part(work, taken))
            if used + taken.rows == micro_batch:
                tiles.append(Tile(tuple(parts)))
                parts.clear()
    return tiles + [Tile(tuple(parts)) for parts in open_parts.values() if parts]
