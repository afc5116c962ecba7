"""What `cost` promises beyond agreeing with torch: its totals, its units, and its refusals."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effnet.cost import cost
from effnet.errors import EffnetError, InputError, UnknownNameError
from effnet.families import find, names
from effnet.scaling import compound, scale

B0 = find("b0")


def test_totals_are_those_of_the_rows() -> None:
    total = cost(B0, batch=3)
    for field in ("params", "buffers", "macs", "activations", "bytes_read", "bytes_written"):
        assert getattr(total, field) == sum(getattr(layer, field) for layer in total.layers), field
    assert total.training_bytes == sum(layer.saved_bytes for layer in total.layers)
    assert total.peak_inference_bytes == max(layer.live_bytes for layer in total.layers)


def test_rows_are_in_running_order_and_their_shapes_chain() -> None:
    layers = cost(B0).layers
    assert [layers[0].name, layers[1].name, layers[-3].name] == ["features.0", "features.1.0.block.0", "features.8"]
    assert [layer.name for layer in layers[-2:]] == ["avgpool", "classifier.1"]
    assert layers[0].in_shape == (3, 224, 224)
    assert layers[-1].out_shape == (1000, 1, 1)
    for before, after in pairwise(layers):
        assert before.out_shape == after.in_shape


def test_the_first_block_by_hand() -> None:
    """B0 stage 1 at 112 x 112: depthwise 3x3 over 32 channels, SE to 8, project to 16."""
    depthwise, gate, project = cost(B0, dtype="float16").layers[1:4]
    pixels = 112 * 112
    assert depthwise.kind == "depthwise"
    assert depthwise.macs == 9 * 32 * pixels
    assert depthwise.params == 9 * 32 + 2 * 32
    assert depthwise.buffers == 2 * 32
    assert depthwise.bytes_read == 2 * (32 * pixels + 9 * 32 + 4 * 32)
    assert depthwise.bytes_written == 2 * 32 * pixels
    assert gate.kind == "squeeze_excite"
    assert gate.params == (32 * 8 + 8) + (8 * 32 + 32)
    assert gate.macs == 2 * 32 * 8
    assert gate.activations == 8 + 32
    assert project.macs == 32 * 16 * pixels
    assert project.activations == 16 * pixels


def test_a_shortcut_is_read_where_it_is_added() -> None:
    with_skip, without = cost(find("resnet18")), cost(find("resnet18").with_stage(1, skip=False))
    assert with_skip.bytes_read - without.bytes_read == 2 * 4 * 64 * 56 * 56
    assert with_skip.macs == without.macs


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float16", 2), ("bfloat16", 2), ("int8", 1)])
def test_bytes_follow_the_dtype(dtype: str, size: int) -> None:
    counted, single = cost(B0, dtype=dtype), cost(B0, dtype="int8")  # type: ignore[arg-type]
    assert counted.weight_bytes == size * (counted.params + counted.buffers)
    assert counted.bytes_read == size * single.bytes_read
    assert counted.peak_inference_bytes == size * single.peak_inference_bytes
    assert counted.total_inference_bytes == counted.weight_bytes + counted.peak_inference_bytes
    assert (counted.macs, counted.params) == (single.macs, single.params)


def test_training_holds_saved_tensors_weights_gradients_and_two_optimizer_slots() -> None:
    counted = cost(B0, batch=8)
    assert counted.gradient_bytes == 4 * counted.params
    assert counted.optimizer_bytes == 8 * counted.params
    assert counted.training_bytes is not None
    assert counted.total_training_bytes == (
        counted.training_bytes + counted.weight_bytes + counted.gradient_bytes + counted.optimizer_bytes
    )


def test_nobody_trains_in_int8() -> None:
    counted = cost(B0, dtype="int8")
    assert counted.training_bytes is None
    assert counted.total_training_bytes is None


@given(batch=st.integers(1, 64), side=st.integers(1, 300), name=st.sampled_from(names()))
def test_a_batch_multiplies_tensors_and_nothing_else(batch: int, side: int, name: str) -> None:
    one, many = cost(find(name), side), cost(find(name), side, batch)
    assert (many.macs, many.params, many.activations) == (one.macs, one.params, one.activations)
    assert many.peak_inference_bytes == batch * one.peak_inference_bytes
    assert many.bytes_written == batch * one.bytes_written


@given(phi=st.floats(-6, 6), step=st.floats(0, 2))
def test_cost_never_shrinks_along_the_compound_curve(phi: float, step: float) -> None:
    before, after = cost(compound(B0, phi)), cost(compound(B0, phi + step))
    assert after.params >= before.params
    assert after.macs >= before.macs


@pytest.mark.parametrize(("axis", "power"), [("depth", 1), ("width", 2), ("resolution", 2)])
def test_macs_grow_as_v1_section_3_says(axis: str, power: int) -> None:
    """Linear in depth, quadratic in width and resolution; rounding, stem and head move it a little."""
    grown = cost(scale(B0, **{axis: 2.0})).macs / cost(B0).macs
    assert grown == pytest.approx(2**power, rel=0.08)


@pytest.mark.parametrize(
    "arguments", [{"resolution": 0}, {"resolution": 1.5}, {"batch": 0}, {"batch": True}, {"batch": 2.0}]
)
def test_impossible_arguments_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError):
        cost(B0, **arguments)  # type: ignore[arg-type]


def test_an_unknown_dtype_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="float16"):
        cost(B0, dtype="flaot16")  # type: ignore[arg-type]
    assert issubclass(UnknownNameError, EffnetError)
