"""Where maps lie in memory and how loops are tiled, for one width of vectors.

A map is stored in blocks of as many channels as a vector has lanes, each block a picture whose pixels are vectors; it
has a border of zeros as wide as the windows that read it reach, so that no loop asks where an edge is. No step writes a
border, so it is zeroed once; a place in memory with a border is therefore only given to maps of the same shape.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from effnet.deploy.native.plan import FeatureMap, Plan, Step

MAX_PIXELS, MAX_BLOCKS = 14, 4
"""Largest tile that is compiled (`convolution.h`)."""

WINOGRAD = (2, 4)
"""Sides of output tiles that are compiled (`winograd.h`)."""

_STRIP_FLOATS = 96 << 10
"""Transformed inputs of Winograd's algorithm that are worked on at once: with products and weights they fill 1 MB."""

_NEAR_BYTES = 256 << 10
"""A map of more leaves the second cache before it is read."""

_TRANSFORM, _WEIGHT = 8.0, 12.0
"""What a transformed value and a weight that is read cost, in multiplications: estimates from profiles."""

ALIGNMENT = 16
"""Floats: 64 bytes, a cache line and the widest vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """What a processor computes with: floats in a vector, vectors in registers."""

    lanes: int
    registers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A map in memory: first float, channels in a block, pixels of border; `unmade`: only some rows ever exist."""

    shape: FeatureMap
    offset: int
    lanes: int
    border: int
    unmade: bool = False

    @property
    def floats(self) -> int:
        """Room that it takes; none where it is never whole."""
        return 0 if self.unmade else _floats(self.shape, self.lanes, self.border)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """What is computed at once.

    Attributes:
        pixels: of a row; with Winograd's algorithm, tiles.
        blocks: of output channels.
        winograd: side of an output tile of Winograd's algorithm (2 or 4); 0: the sum as it is written.
        strip: tiles of it that are transformed at once.
        joined: whether the next step, a depthwise one, does this too, a few rows at a time.
    """

    pixels: int
    blocks: int
    winograd: int = 0
    strip: int = 0
    joined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A plan on a processor: its maps in one arena of `floats`, and a tile for each step."""

    plan: Plan
    vectors: Vectors
    maps: tuple[Placed, ...]
    tiles: tuple[Tile, ...]
    floats: int


def layout(plan: Plan, vectors: Vectors) -> Layout:
    """Lay a plan out for a processor."""
    tiles = tuple(_tile(number, plan, vectors) for number in range(len(plan.steps)))
    borders = _borders(plan, tiles)
    last_use = {
        index: number + tiles[number].joined for number, step in enumerate(plan.steps) for index in _touched(step)
    }
    arena = _Arena()
    placed: dict[int, Placed] = {}

    def place(index: int) -> None:
        lanes = 1 if index == 0 else vectors.lanes
        shape, border = plan.maps[index], borders[index]
        offset = arena.take(shape, lanes, border)
        placed[index] = Placed(shape=shape, offset=offset, lanes=lanes, border=border)

    place(0)
    unmade = {step.output for step, tile in zip(plan.steps, tiles, strict=True) if tile.joined}
    for number, step in enumerate(plan.steps):
        for index in _touched(step):
            if index in unmade:
                placed[index] = Placed(shape=plan.maps[index], offset=0, lanes=vectors.lanes, border=0, unmade=True)
            elif index not in placed:
                place(index)
        for index in [index for index in placed if last_use[index] == number]:
            if index != len(plan.maps) - 1 and index not in unmade:
                arena.give_back(placed[index])
    maps = tuple(placed[index] for index in range(len(plan.maps)))
    return Layout(
        plan=plan,
        vectors=vectors,
        maps=maps,
        tiles=tiles,
        floats=arena.floats,
    )


def most_pixels(blocks: int, vectors: Vectors) -> int:
    """Return how many pixels fit beside `blocks` vectors of weights and one input value in the registers."""
    return min(MAX_PIXELS, (vectors.registers - 1 - blocks) // blocks)


def blocks_of(channels: int, lanes: int) -> int:
    """Return the blocks that hold `channels`."""
    return -(-channels // lanes)


def _borders(plan: Plan, tiles: tuple[Tile, ...]) -> list[int]:
    borders = [0] * len(plan.maps)
    for step, tile in zip(plan.steps, tiles, strict=True):
        source = plan.maps[step.input]
        reach = _reach(step, source)
        if side := tile.winograd:  # its last tiles may reach further
            reach = max(-(-size // side) * side + 1 - size for size in (source.height, source.width))
        borders[step.input] = max(borders[step.input], reach)
    return borders


def _reach(step: Step, source: FeatureMap) -> int:
    """Return how far the windows of a step reach beyond its input."""
    if step.kind not in ("convolution", "depthwise"):
        return 0
    return max(step.before, step.after(source.height), step.after(source.width))


def _touched(step: Step) -> Iterable[int]:
    return [index for index in (step.input, step.output, step.shortcut, step.sums, step.gate) if index is not None]


def _floats(shape: FeatureMap, lanes: int, border: int) -> int:
    pixels = (shape.height + 2 * border) * (shape.width + 2 * border)
    floats = blocks_of(shape.channels, lanes) * lanes * pixels
    return -(-floats // ALIGNMENT) * ALIGNMENT


class _Arena:
    """Gives out places, and those that are free again: with a border to the same shape only."""

    def __init__(self) -> None:
        self.floats = 0
        self._bordered: dict[tuple[object, ...], list[int]] = defaultdict(list)
        self._plain: list[tuple[int, int]] = []  # (floats, offset)

    def take(self, shape: FeatureMap, lanes: int, border: int) -> int:
        wanted = _floats(shape, lanes, border)
        if border:
            free = self._bordered[self._key(shape, lanes, border)]
            return free.pop() if free else self._new(wanted)
        fitting = [place for place in self._plain if place[0] >= wanted]
        if not fitting:
            return self._new(wanted)
        size, offset = min(fitting)
        self._plain.remove((size, offset))
        if size > wanted:
            self._plain.append((size - wanted, offset + wanted))
        return offset

    def give_back(self, placed: Placed) -> None:
        if placed.border:
            self._bordered[self._key(placed.shape, placed.lanes, placed.border)].append(placed.offset)
        else:
            self._plain.append((placed.floats, placed.offset))

    def _new(self, floats: int) -> int:
        self.floats, offset = self.floats + floats, self.floats
        return offset

    @staticmethod
    def _key(shape: FeatureMap, lanes: int, border: int) -> tuple[object, ...]:
        # A last block that is not full leaves its rest unwritten or zero, whatever the channels: only blocks count.
        return (blocks_of(shape.channels, lanes), shape.height, shape.width, lanes, border)


def _tile(number: int, plan: Plan, vectors: Vectors) -> Tile:
    """Return the tile that needs the fewest cycles for a row, by what the registers and the load units allow."""
    step = plan.steps[number]
    target = plan.maps[step.output]
    if step.kind == "depthwise":
        return Tile(pixels=_even(target.width, MAX_PIXELS if vectors.registers >= 32 else MAX_PIXELS // 2), blocks=1)
    if step.kind != "convolution":
        return Tile(pixels=1, blocks=1)
    source, blocks = plan.maps[step.input], blocks_of(target.channels, vectors.lanes)
    window = (step.kernel, step.stride, step.before, step.gate)
    # The image has no vectors of channels, which Winograd's loops read.
    if step.input != 0 and window == (3, 1, 1, None) and (side := _winograd(source, target)):
        number = side + 2
        strip = max(1, min(_STRIP_FLOATS // (number**2 * source.channels), _tiles(target, side)))
        tile = _dense_tile(strip, blocks, vectors)
        return dataclasses.replace(tile, winograd=side, strip=strip)
    if _joins(number, plan):
        return dataclasses.replace(_dense_tile(target.width, blocks, vectors), joined=True)
    # A 1x1 convolution between maps without borders runs as one long row.
    return _dense_tile(target.width * (target.height if step.kernel == step.stride == 1 else 1), blocks, vectors)


def _joins(number: int, plan: Plan) -> bool:
    """Return whether a convolution is better done with the depthwise step that follows: its map leaves the caches."""
    step, following = plan.steps[number], plan.steps[min(number + 1, len(plan.steps) - 1)]
    target = plan.maps[step.output]
    large = 4 * target.channels * target.height * target.width > _NEAR_BYTES
    alone = sum(step.output in _touched(other) for other in plan.steps) == 2
    plain = step.shortcut is None and step.gate is None
    return large and plain and alone and following.kind == "depthwise" and following.input == step.output


def _dense_tile(width: int, blocks: int, vectors: Vectors) -> Tile:
    tiles = [
        Tile(pixels=_even(width, most_pixels(count, vectors)), blocks=count)
        for count in range(1, min(MAX_BLOCKS, blocks) + 1)
    ]
    return min(tiles, key=lambda tile: (_cycles(tile, width, blocks), -tile.pixels))


def _winograd(source: FeatureMap, target: FeatureMap) -> int:
    """Return the side of output tiles for which Winograd's algorithm is the soonest done; 0 where it does not pay."""
    if source.channels < 16:
        return 0
    direct = 9 * source.channels * target.channels * target.height * target.width
    costs = {0: float(direct)}
    for side in WINOGRAD:
        products = source.channels * target.channels * (side + 2) ** 2
        tiles = _tiles(target, side)
        transforms = tiles * (side + 2) ** 2 * (source.channels + target.channels) * _TRANSFORM
        costs[side] = products * tiles + transforms + products * _WEIGHT
    return min(costs, key=lambda side: costs[side])


def _tiles(target: FeatureMap, side: int) -> int:
    return -(-target.height // side) * -(-target.width // side)


def _even(width: int, most: int) -> int:
    pieces = -(-width // most)
    return -(-width // pieces)


def _cycles(tile: Tile, width: int, blocks: int) -> float:
    """Return the cycles for one input value at every pixel of a row: of products, or of loads if those take longer."""

    def one(pixels: int, count: int) -> float:
        return max(pixels * count, count + pixels / 2, 4.0) + 1  # four: a sum is ready for the next only then

    pieces = -(-width // tile.pixels)
    wide, rest = divmod(blocks, tile.blocks)
    return pieces * (wide * one(tile.pixels, tile.blocks) + (one(tile.pixels, rest) if rest else 0))
