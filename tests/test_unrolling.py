"""From a spec to its blocks: every number decided once."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.errors import InputError
from effnet.families import find, names
from effnet.spec import NetworkSpec
from effnet.unrolling import unroll
from tests.strategies import specs

B0 = find("b0")


def test_v1_table_1() -> None:
    """Sizes at 224 px as the paper's table gives them."""
    unrolled = unroll(B0)
    assert (unrolled.stem_size, unrolled.final_size, unrolled.features) == (112, 7, 1280)
    last = {block.stage: block.out_size for block in unrolled.blocks}
    assert list(last.values()) == [112, 56, 28, 14, 14, 7, 7]


def test_only_the_first_block_of_a_stage_strides_and_changes_channels() -> None:
    for block in unroll(find("b7")).blocks:
        if block.index:
            assert (block.stride, block.in_channels) == (1, block.out_channels)
            assert block.residual
        stage = find("b7").stages[block.stage - 1]
        assert block.out_channels == stage.channels


def test_squeeze_follows_the_block_s_input_not_its_expansion() -> None:
    second = unroll(B0).blocks[1]
    assert (second.in_channels, second.mid_channels, second.squeeze_channels) == (16, 96, 4)


def test_drop_path_rises_linearly_from_zero() -> None:
    rates = [block.drop_path for block in unroll(B0).blocks]
    assert rates == pytest.approx([0.2 * i / 16 for i in range(16)])


def test_edgetpu_expands_from_another_width() -> None:
    first = unroll(find("edgetpu-s")).blocks[0]
    assert (first.in_channels, first.mid_channels, first.out_channels, first.residual) == (32, 96, 24, False)


def test_resnet_projects_where_the_shape_changes() -> None:
    blocks = unroll(find("resnet50")).blocks
    assert [block.projects_shortcut for block in blocks[:4]] == [True, False, False, True]
    assert all(block.residual for block in blocks)
    assert blocks[0].mid_channels == 64
    assert unroll(find("resnet50")).features == 2048
    assert blocks[0].in_size == 56


@given(spec=specs(), side=st.integers(1, 300))
def test_sizes_and_channels_chain(spec: NetworkSpec, side: int) -> None:
    unrolled = unroll(spec, side)
    assert unrolled.resolution == side
    assert len(unrolled.blocks) == spec.blocks
    assert unrolled.stem_size == math.ceil(side / spec.stem.stride)
    channels = spec.stem.channels
    size = math.ceil(unrolled.stem_size / 2) if spec.stem.pool else unrolled.stem_size
    for block in unrolled.blocks:
        assert (block.in_channels, block.in_size) == (channels, size)
        assert block.out_size == math.ceil(size / block.stride)
        assert min(block.mid_channels, block.out_channels, block.out_size) >= 1
        channels, size = block.out_channels, block.out_size
    assert (unrolled.head_in_channels, unrolled.final_size) == (channels, size)


@pytest.mark.parametrize("name", names())
def test_the_native_size_is_the_default(name: str) -> None:
    spec = find(name)
    assert unroll(spec) == unroll(spec, spec.resolution)


@pytest.mark.parametrize("side", [0, -1, 1.5, True, "224", 1 << 17])
def test_impossible_sizes_are_refused(side: int) -> None:
    with pytest.raises(InputError):
        unroll(B0, side)
