"""Graphs of strangers: nothing outside the file, nothing without an end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from effnet.deploy.onnx_graph import require_plain
from effnet.errors import WeightsError


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("x", "y")]
    weights = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    middle = nodes or (helper.make_node("MatMul", ["x", "w"], ["y"]),)
    return helper.make_model(helper.make_graph(list(middle), "g", ends[:1], ends[1:], [weights]))


def loop(made: onnx.ModelProto) -> None:
    made.graph.node.append(helper.make_node("Loop", ["n"], ["z"], body=made.graph))


def branch(made: onnx.ModelProto) -> None:
    made.graph.node.append(helper.make_node("If", ["n"], ["z"], then_branch=made.graph, else_branch=made.graph))


def hidden(made: onnx.ModelProto) -> None:
    made.graph.node.append(helper.make_node("Other", ["n"], ["z"], domain="theirs", body=made.graph))


def function(made: onnx.ModelProto) -> None:
    inner = [helper.make_node("Loop", ["a"], ["b"], body=made.graph)]
    made.functions.append(helper.make_function("d", "f", ["a"], ["b"], inner, [helper.make_opsetid("", 18)]))


def external(made: onnx.ModelProto) -> None:
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="local.bin")


def named_only(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].external_data.add(key="location", value="local.bin")


def external_constant(made: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.ones(2, np.float32), "c")
    value.external_data.add(key="location", value="local.bin")
    made.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))


def sparse(made: onnx.ModelProto) -> None:
    made.graph.sparse_initializer.add()


@pytest.mark.parametrize("change", [loop, branch, hidden, function, external, named_only, external_constant, sparse])
def test_what_reaches_out_or_repeats_is_refused(change: Callable[[onnx.ModelProto], None]) -> None:
    made = model()
    require_plain(made.SerializeToString())
    change(made)
    with pytest.raises(WeightsError):
        require_plain(made.SerializeToString())


def test_two_graphs_that_a_runtime_would_join_are_refused() -> None:
    with pytest.raises(WeightsError, match="2 graphs"):
        require_plain(model().SerializeToString() * 2)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damage_is_an_error_of_the_file_or_harmless(data: st.DataObject) -> None:
    whole = bytearray(model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WeightsError):
        require_plain(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
