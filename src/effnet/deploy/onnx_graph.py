"""What may be in the ONNX graph of a bundle, read from its bytes without the onnx package.

A bundle can come from anybody. ONNX itself can keep weights in other files, which a runtime then opens wherever they
are, and has loops, whose rounds nobody bounds. No network of effnet has either, so a graph with one is refused before a
runtime sees it.
"""

from __future__ import annotations

from collections.abc import Iterator

from effnet.deploy.document import AGAIN
from effnet.errors import WeightsError

# Fields of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto (onnx.proto).
_GRAPH, _FUNCTIONS = 7, 25
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15
_OP_TYPE, _ATTRIBUTE = 4, 5
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS = 5, 6, 10, 11, 22, 23
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_CONTROL = frozenset({b"Loop", b"Scan", b"If", b"SequenceMap"})
_LONGEST = 10  # bytes of a number


def require_plain(model: bytes) -> None:
    """Refuse a serialised ModelProto that reaches out of its file or repeats itself.

    Raises:
        WeightsError: it keeps tensors elsewhere, has loops, branches or functions, or is damaged.
    """
    graphs = 0
    for number, value in _fields(memoryview(model)):
        if number == _FUNCTIONS:
            raise WeightsError("its graph has functions, which no network of effnet has", fix=AGAIN)
        if number == _GRAPH:
            graphs += 1
            _graph(_bytes(value))
    if graphs > 1:  # as one message they would be joined into a graph that nobody looked at
        raise WeightsError(f"has {graphs} graphs", fix=AGAIN)


def _graph(graph: memoryview) -> None:
    for number, value in _fields(graph):
        if number == _NODE:
            _node(_bytes(value))
        elif number == _INITIALIZER:
            _tensor(_bytes(value))
        elif number == _SPARSE:
            raise WeightsError("its graph has sparse tensors, which no network of effnet has", fix=AGAIN)


def _node(node: memoryview) -> None:
    for number, value in _fields(node):
        if number == _OP_TYPE and (kind := bytes(_bytes(value))) in _CONTROL:
            raise WeightsError(f"its graph has {kind.decode()}, which no network of effnet has", fix=AGAIN)
        if number == _ATTRIBUTE:
            for place, part in _fields(_bytes(value)):
                if place in (_SUBGRAPH, _SUBGRAPHS, _SPARSE_TENSOR, _SPARSE_TENSORS):
                    raise WeightsError("its graph has graphs inside, which no network of effnet has", fix=AGAIN)
                if place in (_TENSOR, _TENSORS):
                    _tensor(_bytes(part))


def _tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise WeightsError("its graph keeps tensors in another file, which bundles do not", fix=AGAIN)


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise WeightsError("is no ONNX model: a number where a message belongs", fix=AGAIN)
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Return (field, value) of each field of a message; fixed-width values as 0."""
    place, size = 0, len(message)
    while place < size:
        tag, place = _number(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _number(message, place)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, place = _number(message, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise WeightsError(f"is no ONNX model: wire type {kind}", fix=AGAIN)
        if place + length > size:
            raise WeightsError("is cut off", fix=AGAIN)
        yield tag >> 3, message[place : place + length] if kind == 2 else 0
        place += length


def _number(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _LONGEST, 7):
        if place >= len(message):
            raise WeightsError("is cut off", fix=AGAIN)
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
    raise WeightsError("is no ONNX model: a number without end", fix=AGAIN)
