"""EfficientNet-PyTorch's two descriptions of a network, `BlockArgs` and `GlobalParams`, and the spec that they mean."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from effnet.errors import InputError, SpecError, UnknownNameError
from effnet.families import v1
from effnet.families.catalog import canonical, find
from effnet.scaling import scale
from effnet.spec import BlockSpec, NetworkSpec, StageSpec

VALID_MODELS = tuple(name.replace("_", "-") for name in v1.COEFFICIENTS)

_STEM, _HEAD = 32, 1280  # of the base; the original has them in its code


class AnnouncedSize(int):
    """The input side that a model was made for, where nobody asked for a size: padding then follows each image."""


class GlobalParams(NamedTuple):
    """The settings of one whole network, under the original's names."""

    width_coefficient: float | None = None
    depth_coefficient: float | None = None
    image_size: int | Sequence[int] | None = None
    dropout_rate: float | None = None
    num_classes: int | None = None
    batch_norm_momentum: float | None = None
    batch_norm_epsilon: float | None = None
    drop_connect_rate: float | None = None
    depth_divisor: int | None = None
    min_depth: int | None = None
    include_top: bool | None = None


class BlockArgs(NamedTuple):
    """The blocks of one stage before scaling, under the original's names."""

    num_repeat: int | None = None
    kernel_size: int | None = None
    stride: int | Sequence[int] | None = None
    expand_ratio: float | None = None
    input_filters: int | None = None
    output_filters: int | None = None
    se_ratio: float | None = None
    id_skip: bool | None = None


class BlockDecoder:
    """Between `BlockArgs` and the original's notation, `r2_k5_s22_e6_i24_o40_se0.25`."""

    @staticmethod
    def decode(string_list: Sequence[str]) -> list[BlockArgs]:
        """Return the blocks of each text.

        Raises:
            InputError: a text says no block.
        """
        return [BlockDecoder._decode_block_string(text) for text in string_list]

    @staticmethod
    def encode(blocks_args: Sequence[BlockArgs]) -> list[str]:
        """Return the text of each stage's blocks."""
        return [BlockDecoder._encode_block_string(block) for block in blocks_args]

    @staticmethod
    def _decode_block_string(block_string: str) -> BlockArgs:
        found = dict(re.findall(r"(?:^|_)(r|k|s|e|i|o|se)(\d[\d.]*)", block_string))
        if missing := [key for key in "rkseio" if key not in found]:
            fix = "write it as r1_k3_s11_e1_i32_o16_se0.25"
            raise InputError(f"{block_string!r} has no {', '.join(missing)}", where="blocks_args", fix=fix)
        return BlockArgs(
            num_repeat=int(found["r"]),
            kernel_size=int(found["k"]),
            stride=[int(found["s"][0])],
            expand_ratio=int(found["e"]),
            input_filters=int(found["i"]),
            output_filters=int(found["o"]),
            se_ratio=float(found["se"]) if "se" in found else None,
            id_skip="noskip" not in block_string,
        )

    @staticmethod
    def _encode_block_string(block: BlockArgs) -> str:
        stride = stride_of(block)
        sizes = f"r{block.num_repeat}_k{block.kernel_size}_s{stride}{stride}_e{block.expand_ratio}"
        gate = f"_se{block.se_ratio}" if block.se_ratio else ""
        skip = "_noskip" if block.id_skip is False else ""
        return f"{sizes}_i{block.input_filters}_o{block.output_filters}{gate}{skip}"


def stride_of(block: BlockArgs) -> int:
    """Return the stride of a stage's first block."""
    stride = block.stride
    return int(stride[0] if isinstance(stride, Sequence) else stride or 1)


def round_filters(filters: int, global_params: GlobalParams) -> int:
    """Return `filters` times the width, a multiple of the divisor that is not below nine tenths of it."""
    if not global_params.width_coefficient:
        return filters
    divisor = global_params.depth_divisor or 8
    scaled = filters * global_params.width_coefficient
    rounded = max(global_params.min_depth or divisor, int(scaled + divisor / 2) // divisor * divisor)
    return int(rounded + divisor if rounded < 0.9 * scaled else rounded)


def round_repeats(repeats: int, global_params: GlobalParams) -> int:
    """Return `repeats` times the depth, rounded up."""
    depth = global_params.depth_coefficient
    return math.ceil(depth * repeats - 1e-9) if depth else repeats


def model_name(name: Any) -> str:
    """Return our name of the original's `name`.

    Raises:
        UnknownNameError: it has no such network.
    """
    found = canonical(name) if isinstance(name, str) else ""
    if found not in v1.COEFFICIENTS:
        fix = f"use one of {', '.join(VALID_MODELS)}; effnet.create has every other network"
        raise UnknownNameError(f"EfficientNet has no {name!r}", fix=fix)
    return found


def efficientnet_params(name: str) -> tuple[float, float, int, float]:
    """Return width, depth, resolution and dropout of the network called `name`.

    Raises:
        UnknownNameError: no such network.
    """
    return v1.COEFFICIENTS[model_name(name)]


def efficientnet(
    width_coefficient: float | None = None,
    depth_coefficient: float | None = None,
    image_size: int | None = None,
    dropout_rate: float = 0.2,
    drop_connect_rate: float = 0.2,
    num_classes: int = 1000,
    include_top: bool = True,
) -> tuple[list[BlockArgs], GlobalParams]:
    """Return the blocks of B0 and the settings given."""
    blocks, fan_in = [], _STEM
    for kernel, stride, expand, channels, repeats in v1.B0_STAGES:
        blocks.append(BlockArgs(repeats, kernel, [stride], expand, fan_in, channels, 0.25, True))
        fan_in = channels
    return blocks, GlobalParams(
        width_coefficient,
        depth_coefficient,
        image_size,
        dropout_rate,
        num_classes,
        0.99,
        1e-3,
        drop_connect_rate,
        8,
        None,
        include_top,
    )


def get_model_params(
    model_name: str, override_params: Mapping[str, Any] | None = None
) -> tuple[list[BlockArgs], GlobalParams]:
    """Return blocks and settings of the network called `model_name`, with the given settings changed.

    Raises:
        UnknownNameError: no such network or setting.
    """
    width, depth, side, dropout = efficientnet_params(model_name)
    blocks, params = efficientnet(width, depth, AnnouncedSize(side), dropout)
    for given in override_params or {}:
        if given not in GlobalParams._fields:
            raise UnknownNameError.among("parameter", given, (*GlobalParams._fields, "in_channels"))
    return blocks, params._replace(**(override_params or {}))


def spec_of(blocks_args: Any, global_params: Any) -> NetworkSpec:
    """Return the network that the two describe, with three image channels.

    Raises:
        InputError: they describe none, or one that is no chain of MBConv blocks.
        SpecError: a value is impossible.
    """
    if not isinstance(blocks_args, list | tuple) or not blocks_args:
        fix = "give what get_model_params returns, or use from_name"
        raise InputError("blocks_args is no list of blocks", where="blocks_args", fix=fix)
    params = GlobalParams(**global_params._asdict())
    if params.min_depth not in (None, params.depth_divisor):
        raise InputError("min_depth is not supported", where="min_depth", fix="leave it out: it is depth_divisor")
    width, depth = params.width_coefficient or 1.0, params.depth_coefficient or 1.0
    plain = [block._replace(stride=[stride_of(block)]) for block in blocks_args]
    known = _known(width, depth) if plain == efficientnet()[0] and params.depth_divisor == 8 else None
    spec = find(known) if known else _scaled(plain, params, width, depth)
    momentum = round(1 - _number(params, "batch_norm_momentum", 0.99), 12)  # 0.01, not 0.010000000000000009
    return spec.replace(
        classes=params.num_classes if params.include_top in (None, True) else 0,
        head=dataclasses.replace(spec.head, dropout=params.dropout_rate or 0.0),
        drop_path=params.drop_connect_rate or 0.0,
        resolution=max(sides(params.image_size) or (spec.resolution,)),
    ).with_conventions(padding="same", norm_eps=_number(params, "batch_norm_epsilon", 1e-3), norm_momentum=momentum)


def sides(size: Any) -> tuple[int, int] | None:
    """Return height and width of an `image_size`; None where there is none.

    Raises:
        InputError: it is no size.
    """
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else size
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise InputError(f"image_size is {size!r}", where="image_size", fix="give pixels, or (height, width)")
    return int(pair[0]), int(pair[1])


def _number(params: GlobalParams, field: str, default: float) -> Any:
    value = getattr(params, field)
    return default if value is None else value


def _known(width: float, depth: float) -> str | None:
    return next((name for name, values in v1.COEFFICIENTS.items() if values[:2] == (width, depth)), None)


def _scaled(blocks: list[BlockArgs], params: GlobalParams, width: float, depth: float) -> NetworkSpec:
    base = find("efficientnet_b0")
    fan_in = _STEM
    stages = []
    for block in blocks:
        if block.input_filters != fan_in:
            what = f"a block reads {block.input_filters} filters where {fan_in} come in"
            raise InputError(what, where="blocks_args", fix="give each block its predecessor's output_filters")
        fan_in = int(block.output_filters or 0)
        design = BlockSpec(
            kernel=int(block.kernel_size or 0),
            expand_ratio=float(block.expand_ratio or 0),
            se_ratio=block.se_ratio or 0.0,
            skip=block.id_skip is not False,
        )
        repeats = int(block.num_repeat or 0)
        stages.append(StageSpec(block=design, channels=fan_in, repeats=repeats, stride=stride_of(block)))
    if tuple(stages) != base.stages:
        base = base.replace(name="efficientnet", stages=tuple(stages))
    base = base.replace(scaling=dataclasses.replace(base.scaling, divisor=params.depth_divisor or 8))
    scaled = scale(base, width=width, depth=depth)
    if scaled.head.channels != round_filters(_HEAD, params._replace(width_coefficient=width)):
        what = f"depth_divisor {params.depth_divisor} does not divide the channels at width {width:g}"
        raise SpecError(what, where="depth_divisor", fix="use effnet.create with a spec")
    named = scaled.replace(name=f"{base.name}@w{width},d{depth}")
    return named.replace(origin=scaled.origin)
