"""Reading a program of torch.export without running anything that its author wrote.

torch's own loader is not made for strangers' files. It unpickles weights, constants and sample inputs where the archive
says so. It evaluates sizes as Python through sympy. It writes names of nodes into source and compiles that. It opens
shared objects, and its operators include ones that map files into memory. So torch never sees the file: what
`effnet export` writes can be listed, and an archive is made anew of that alone. Raw weights are copied, words and
numbers are copied when they are words and numbers, and everything else is left out or refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from effnet.errors import WeightsError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_ROOT = "archive/"
_MODEL = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
_TENSORS: Mapping[str, tuple[str, str]] = {
    "data/weights/model_weights_config.json": ("data/weights/", "weight_"),
    "data/constants/model_constants_config.json": ("data/constants/", "tensor_"),
}
"""Each list of tensors: the folder of their files, and how their names begin."""

_MARKS = ("archive_format", "archive_version", "byteorder", ".data/version")
_UNREAD = (".data/serialization_id", ".format_version", ".storage_alignment", "version")
"""Members that say nothing about the program."""

_WORD = re.compile(r"[A-Za-z0-9_.]{0,4096}\Z")
"""What cannot be a call, an expression with a call, or a second statement, wherever torch may put it."""

_FREE = re.compile(r"[a-z]{1,8}[0-9]{1,9}\Z")
_SIZE = re.compile(r"(?:Symbol\('[a-z]{1,8}[0-9]{1,9}', positive=True, integer=True\)|-?[0-9]{1,18})\Z")
"""The name of a free size, such as s34; and what sympy may evaluate: such a size, or a number."""

_KINDS = frozenset(
    f"as_{kind}"
    for kind in (
        *("tensor", "tensors", "none", "string", "scalar_type", "memory_format", "layout", "device", "expr", "name"),
        *("int", "ints", "float", "floats", "bool", "bools", "sym_int", "sym_ints"),
    )
)
"""Arguments that are data; not among them: objects, operators and graphs within graphs."""

_OPERATORS = frozenset(
    f"torch.ops.aten.{operator}"
    for operator in (
        *("_assert_tensor_metadata.default", "sym_size.int", "contiguous.default", "permute.default", "pad.default"),
        *("to.dtype", "_to_copy.default", "view.default", "reshape.default", "flatten.using_ints", "clone.default"),
        *("conv2d.default", "convolution.default", "linear.default", "batch_norm.default", "bmm.default"),
        *("add.Tensor", "add_.Tensor", "sub.Tensor", "mul.Tensor", "mul_.Tensor", "div.Tensor", "minimum.default"),
        *("relu.default", "relu_.default", "relu6.default", "relu6_.default", "silu.default", "silu_.default"),
        *("hardtanh.default", "hardtanh_.default", "hardswish.default", "hardswish_.default", "sigmoid.default"),
        *("sigmoid_.default", "hardsigmoid.default", "hardsigmoid_.default", "gelu.default", "clamp.default"),
        *("mish.default", "mish_.default", "leaky_relu.default", "leaky_relu_.default", "identity.default"),
        *("mean.dim", "amax.default", "max_pool2d.default", "avg_pool2d.default", "adaptive_avg_pool2d.default"),
        *("dropout.default", "softmax.int", "matmul.default", "cat.default", "detach.default", "detach_.default"),
    )
)
"""Arithmetic alone: nothing that reads a file, takes an address or prints."""

_TUPLE = '{"type": "builtins.tuple", "context": "null", "children_spec": [%s]}'
_LEAF = '{"type": null, "context": null, "children_spec": []}'
_NO_KEYWORDS = '{"type": "builtins.dict", "context": "[]", "children_spec": []}'
_CALL = {
    "inputs": [],
    "outputs": [],
    "in_spec": f"[1, {_TUPLE % f'{_TUPLE % _LEAF}, {_NO_KEYWORDS}'}]",
    "out_spec": f"[1, {_LEAF}]",
    "forward_arg_names": ["images"],
}
"""images -> logits, which is how every program here is called; as text of a file it could name modules to import."""


def load_program(content: bytes) -> ExportedProgram:
    """Read what `effnet export --to torch` wrote.

    Raises:
        WeightsError: the file is damaged, or holds something that exporting here does not write.
    """
    import torch

    return torch.export.load(io.BytesIO(rebuilt(content)))


def rebuilt(content: bytes) -> bytes:
    """Return the archive made anew of what is known to be data.

    Raises:
        WeightsError: it holds something else.
    """
    try:
        members = _members(content)
        parts = {name: members[name] for name in _MARKS if name in members}
        for name, value in parts.items():
            _check_text(value.decode("ascii").removesuffix("\n"), name)
        parts[_MODEL] = json.dumps(_document(json.loads(members[_MODEL]))).encode()
        for place, (folder, prefix) in _TENSORS.items():
            config = json.loads(members[place])["config"]
            parts[place] = json.dumps({"config": config}).encode()
            parts |= {name: members[name] for name in _tensor_files(config, folder, prefix, members)}
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise WeightsError(f"is no program of torch.export: {str(error)[:200] or type(error).__name__}") from None
    parts[_SAMPLES] = b""  # a pickle; torch goes without
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, value in parts.items():
            archive.writestr(_ROOT + name, value)
    return buffer.getvalue()


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        root = entries[0].filename.partition("/")[0] + "/"
        members: dict[str, bytes] = {}
        for entry in entries:
            name = entry.filename.removeprefix(root)
            if not entry.filename.startswith(root) or name in members or not _is_known(name):
                raise _foreign(f"the file {name[:80]!r}")
            if entry.compress_type != zipfile.ZIP_STORED:
                raise _foreign("compressed files")
            members[name] = archive.read(entry)
        return members


def _is_known(name: str) -> bool:
    if name in (_MODEL, _SAMPLES, *_MARKS, *_UNREAD, *_TENSORS):
        return True
    return any(re.fullmatch(f"{folder}{prefix}[0-9]{{1,9}}", name) for folder, prefix in _TENSORS.values())


def _tensor_files(config: Any, folder: str, prefix: str, members: Mapping[str, bytes]) -> Iterator[str]:
    """Return the names of the files of a list of tensors, each of which is raw numbers."""
    for name, entry in config.items():
        _check_text(name, "the name of a tensor")
        if entry["use_pickle"] is not False or not re.fullmatch(f"{prefix}[0-9]{{1,9}}", entry["path_name"]):
            raise _foreign(f"a pickle, {entry['path_name'][:80]!r}")
        _check(entry)
        if entry["tensor_meta"]["device"]["type"] != "cpu":
            raise _foreign("weights for another device")
        file = folder + entry["path_name"]
        if not members[file]:  # for which torch would allocate whatever the size says
            raise _foreign("an empty tensor")
        yield file


def _document(held: Any) -> dict[str, Any]:
    """Return the description of a program, of checked parts and of constants."""
    module = held["graph_module"]
    graph = module["graph"]
    nodes = [{**node, "metadata": {}} for node in graph["nodes"]]
    for node in nodes:
        if node["target"] not in _OPERATORS:
            raise _foreign(f"the operator {str(node['target'])[:80]!r}")
    if graph["custom_obj_values"]:
        raise _foreign("objects")
    whole = {
        "graph_module": {
            "graph": {**graph, "nodes": nodes},
            "signature": module["signature"],
            "module_call_graph": [{"fqn": "", "signature": None}],
            "metadata": {},
            "treespec_namedtuple_fields": {},
        },
        "guards_code": [],
        **{name: held[name] for name in ("opset_version", "range_constraints", "schema_version", "verifiers")},
    }
    for name in whole["range_constraints"]:
        if not _FREE.match(name):
            raise _foreign(f"the size {name[:80]!r}")
    _check(whole)
    whole["graph_module"]["module_call_graph"][0]["signature"] = _CALL
    if re.fullmatch(r"[0-9a-z.+]{1,40}", held["torch_version"]):
        whole["torch_version"] = held["torch_version"]
    return whole


def _check(value: Any) -> None:
    """Refuse texts that are not words, sizes that are not plain, and arguments that are not data."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key, "a key")
            if key.startswith("as_") and key not in _KINDS:
                raise _foreign(f"an argument {key[:80]}")
            if key != "expr_str":
                _check(inner)
            elif not _SIZE.match(inner):
                raise _foreign(f"the size {inner[:80]!r}")
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif isinstance(value, str):
        _check_text(value, "a name")


def _check_text(text: str, what: str) -> None:
    if not _WORD.match(text):
        raise _foreign(f"{what} that is no word, {text[:80]!r}")


def _foreign(what: str) -> WeightsError:
    return WeightsError(f"holds {what}, which effnet export does not write", fix="export it again, from the model")
