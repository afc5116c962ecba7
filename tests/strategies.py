"""Random values that tests draw."""

from __future__ import annotations

from hypothesis import strategies as st

from effnet.spec import BlockSpec, Conventions, HeadSpec, NetworkSpec, StageSpec, StemSpec


@st.composite
def specs(draw: st.DrawFn) -> NetworkSpec:
    """Draw any small network: every kind of block, mixed, under every convention."""
    stages = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["mbconv", "fused_mbconv", "basic", "bottleneck"]))
        residual = kind in ("basic", "bottleneck")
        block = BlockSpec(
            kind=kind,
            kernel=draw(st.sampled_from([1, 3, 5])),
            expand_ratio=draw(st.sampled_from([0.25, 0.5, 1.0, 1.5, 4.0, 6.0])),
            se_ratio=0.0 if residual else draw(st.sampled_from([0.0, 0.25, 1.0, 4.0])),
            skip=draw(st.booleans()),
        )
        stage = StageSpec(
            block=block,
            channels=draw(st.sampled_from([4, 8, 12, 17])),
            repeats=draw(st.integers(1, 3)),
            stride=draw(st.integers(1, 3)),
            expand_from=draw(st.sampled_from([None, None, 5])),
        )
        stages.append(stage)
    stem = StemSpec(
        channels=draw(st.integers(1, 9)),
        kernel=draw(st.sampled_from([1, 3, 7])),
        stride=draw(st.integers(1, 3)),
        pool=draw(st.booleans()),
    )
    conventions = Conventions(
        activation=draw(st.sampled_from(["silu", "relu", "relu6", "hard_swish", "gelu"])),
        fused_padding=draw(st.sampled_from([None, None, "same", "symmetric"])),
        padding=draw(st.sampled_from(["same", "symmetric"])),
    )
    return NetworkSpec(
        name="random",
        stem=stem,
        stages=tuple(stages),
        head=HeadSpec(channels=draw(st.sampled_from([None, 11])), dropout=draw(st.sampled_from([0.0, 0.3]))),
        in_channels=draw(st.integers(1, 4)),
        classes=draw(st.integers(0, 5)),
        resolution=draw(st.integers(1, 40)),
        drop_path=draw(st.sampled_from([0.0, 0.2])),
        conventions=conventions,
    )
