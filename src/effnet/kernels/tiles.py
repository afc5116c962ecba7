"""How a tensor is cut into tiles. Plain arithmetic: registers and traffic depend on it, results do not."""

from __future__ import annotations

from typing import NamedTuple

_CHANNEL_BLOCKS = (128, 64, 32, 16)
_PADDING_WORTH = 1.1
_WIDEST_RESULT = 256
"""Results up to which one pass gives both gradients of a matrix product: their sums fill half the registers."""


class RowTile(NamedTuple):
    """A tile of rows x channels for kernels that see a map as (pixels, channels)."""

    rows: int
    channels: int
    warps: int


class WindowTile(NamedTuple):
    """A tile of `height` output rows x `width` columns x channels for convolutions."""

    width: int
    channels: int
    height: int
    warps: int


class ProductTile(NamedTuple):
    """A tile of a matrix product: rows (pixels) x outputs, `channels` of the sum at a time."""

    rows: int
    outputs: int
    channels: int
    warps: int


class GradientTile(NamedTuple):
    """How the gradients of a matrix product are cut.

    `source`: one pass gives both gradients, because `outputs` covers all results; else the source's has its own.
    `programs`: how many walk over the rows, each with its own sums of the weight's gradient.
    """

    rows: int
    outputs: int
    channels: int
    programs: int
    warps: int
    source: bool


def cdiv(a: int, b: int) -> int:
    """Return ceil(a / b)."""
    return -(-a // b)


def channel_block(channels: int, largest: int = 128) -> int:
    """Return the widest block of channels that wastes at most a tenth more lanes than the thriftiest one."""
    blocks = [block for block in _CHANNEL_BLOCKS if block <= largest]
    padded = {block: cdiv(channels, block) * block for block in blocks}
    return next(block for block in blocks if padded[block] <= _PADDING_WORTH * min(padded.values()))


def row_tile(channels: int) -> RowTile:
    """Eight elements a thread (one 16-byte load of bfloat16), four warps."""
    block = channel_block(channels)
    return RowTile(rows=1024 // block, channels=block, warps=4)


def forward_tile(kernel: int, stride: int, height: int, width: int, channels: int) -> WindowTile:
    """Tile of the forward depthwise kernel: a thread keeps k accumulators an element, so k = 5 takes fewer elements."""
    block = channel_block(channels, 64)
    columns = 16 if width > 8 else 8
    threads = columns * block // (8 if kernel == 3 and stride == 1 else 4)
    return WindowTile(width=columns, channels=block, height=min(height, 14), warps=_warps(threads))


def pool_parts(taps: int, stride: int, height: int, width: int, channels: int) -> int:
    """Return in how many tiles the forward depthwise kernel with `taps` = k * k cuts a map of this input size."""
    out_height, out_width = cdiv(height, stride), cdiv(width, stride)
    tile = forward_tile(3 if taps == 9 else 5, stride, out_height, out_width, channels)
    return cdiv(out_height, tile.height) * cdiv(out_width, tile.width)


def backward_tile(height: int, channels: int) -> WindowTile:
    """Tile of the backward depthwise kernel: two elements a thread, each with k * k sums of the weight's gradient."""
    block = channel_block(channels, 64)
    columns = 8
    threads = columns * block // 2
    return WindowTile(width=columns, channels=block, height=min(height, 16), warps=_warps(threads))


def product_tile(pixels: int, outputs: int, channels: int, bytes_each: int = 2) -> ProductTile:
    """Tile of the 1x1 convolution: narrow where channels are few, short where pixels are (batch 1).

    Three stages of both operands are in shared memory at once, of which the smallest multiprocessors that we compile
    for have 99 KB a program: float32 (`bytes_each` 4) takes half as many channels.
    """
    rows = 128 if pixels >= 128 * 256 else 64 if pixels >= 64 * 64 else 32
    block = channel_block(outputs)
    warps = 8 if rows * block >= 8192 else 4
    deep = channels > 32 and bytes_each == 2
    return ProductTile(rows=rows, outputs=block, channels=64 if deep else 32, warps=warps)


def row_block(area: int, largest: int = 128) -> int:
    """Return the most rows a tile that waste at most a tenth more of them than the thriftiest."""
    blocks = [block for block in (128, 64, 32) if block <= largest]
    padded = {block: cdiv(area, block) * block for block in blocks}
    return next(block for block in blocks if padded[block] <= _PADDING_WORTH * min(padded.values()))


def training_tile(area: int, outputs: int, channels: int, bytes_each: int = 2) -> ProductTile:
    """Tile of a 1x1 convolution in training; `area` pixels have one gate."""
    deep = channels > 32 and bytes_each == 2
    rows, block = row_block(area), channel_block(outputs)
    warps = 8 if rows * block >= 8192 else 4
    return ProductTile(rows=rows, outputs=block, channels=64 if deep else 32, warps=warps)


def source_tile(area: int, channels: int) -> ProductTile:
    """Tile of the gradient of a wide product's source: rows x source channels, 64 results of the sum at a time."""
    return ProductTile(rows=row_block(area, 64), outputs=128 if channels > 64 else 64, channels=32, warps=8)


def gradient_tile(area: int, pixels: int, outputs: int, channels: int, bytes_each: int = 2) -> GradientTile:
    """Tile of the gradients of a 1x1 convolution: outputs x channels sums of the weight's in registers.

    Compiling found the limits: with more rows or fewer warps, registers spill; float32 (`bytes_each` 4) takes half as
    many channels, for its registers and because the weight of a one-pass tile lies in shared memory.
    """
    lanes = max(16, 1 << (outputs - 1).bit_length())
    source = lanes <= _WIDEST_RESULT
    across = lanes if source else 128
    widest = 128 if across <= 32 else 128 // bytes_each
    block = min(widest, max(16, 1 << (channels - 1).bit_length()))
    blocks = cdiv(outputs, across) * cdiv(channels, block)
    # The partial sums, written and read in float32, stay an eighth of the maps' traffic where a GPU is still filled.
    worth = pixels * (outputs + channels) // (16 * outputs * channels)
    programs = min(max(worth, cdiv(132, blocks)), cdiv(528, blocks))
    wide = across * block * bytes_each >= 8192
    return GradientTile(
        rows=16 if wide else 32,
        outputs=across,
        channels=block,
        programs=programs,
        warps=8 if wide else 4,
        source=source,
    )


def _warps(threads: int) -> int:
    return max(1, min(8, 1 << (threads // 32).bit_length() - 1)) if threads >= 32 else 1
