"""A grid of small images as a PNG file, by the standard library alone."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

MIN_SIDE = 64  # pixels of a tile: smaller images are enlarged by a whole factor
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}  # by channels: grey, RGB


def encode_grid(images: NDArray[np.uint8]) -> bytes:
    """Arrange images (N, C, H, W), C of 1 or 3, in rows of a near-square grid."""
    num, channels, height, width = images.shape
    columns = math.ceil(math.sqrt(num))
    rows = math.ceil(num / columns)
    padded = np.zeros((rows * columns, channels, height, width), np.uint8)
    padded[:num] = images
    tiles = padded.reshape(rows, columns, channels, height, width)
    grid = tiles.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    factor = max(1, math.ceil(MIN_SIDE / max(height, width)))
    return _encode(grid.repeat(factor, axis=0).repeat(factor, axis=1))


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of pixels (H, W, C), 8 bits, no filter. Ref: PNG specification, sections 5 and 11.2."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # each begins with its filter
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
