"""What may be in the ONNX graph of a bundle, read from its bytes without the onnx package.

A bundle can come from anybody. ONNX itself can keep weights in other files, which a runtime then opens wherever they
are, and has loops, whose rounds nobody bounds. No network of effnet has either, so a graph with one is refused before a
runtime sees it.
"""

from __future__ import annotations

from effnet.deploy.document import AGAIN
from effnet.deploy.protobuf import ProtobufError, values
from effnet.errors import WeightsError

# Fields of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto (onnx.proto).
_GRAPH, _FUNCTIONS = 7, 25
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15
_OP_TYPE, _ATTRIBUTE = 4, 5
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS = 5, 6, 10, 11, 22, 23
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_CONTROL = frozenset({b"Loop", b"Scan", b"If", b"SequenceMap"})


def require_plain(model: bytes) -> None:
    """Refuse a serialised ModelProto that reaches out of its file or repeats itself.

    Raises:
        WeightsError: it keeps tensors elsewhere, has loops, branches or functions, or is damaged.
    """
    graphs = 0
    try:
        for number, value in values(memoryview(model)):
            if number == _FUNCTIONS:
                raise WeightsError("its graph has functions, which no network of effnet has", fix=AGAIN)
            if number == _GRAPH:
                graphs += 1
                _graph(_bytes(value))
    except ProtobufError as error:
        raise WeightsError(f"is no ONNX model, or damaged: {error}", fix=AGAIN) from None
    if graphs > 1:  # as one message they would be joined into a graph that nobody looked at
        raise WeightsError(f"has {graphs} graphs", fix=AGAIN)


def _graph(graph: memoryview) -> None:
    for number, value in values(graph):
        if number == _NODE:
            _node(_bytes(value))
        elif number == _INITIALIZER:
            _tensor(_bytes(value))
        elif number == _SPARSE:
            raise WeightsError("its graph has sparse tensors, which no network of effnet has", fix=AGAIN)


def _node(node: memoryview) -> None:
    for number, value in values(node):
        if number == _OP_TYPE and (kind := bytes(_bytes(value))) in _CONTROL:
            raise WeightsError(f"its graph has {kind.decode()}, which no network of effnet has", fix=AGAIN)
        if number == _ATTRIBUTE:
            for place, part in values(_bytes(value)):
                if place in (_SUBGRAPH, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS):
                    raise WeightsError("its graph has graphs inside, which no network of effnet has", fix=AGAIN)
                if place in (_TENSOR, _TENSORS):
                    _tensor(_bytes(part))


def _tensor(tensor: memoryview) -> None:
    for number, value in values(tensor):
        if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise WeightsError("its graph keeps tensors in another file, which bundles do not", fix=AGAIN)


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ProtobufError("a number where a message belongs")
    return value
