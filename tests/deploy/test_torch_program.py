"""Files of torch.export from strangers: what torch's own loader would run is never run here."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import effnet
from effnet.deploy.bundle import Bundle, digests, write_bundle
from effnet.deploy.export import convert, describe
from effnet.deploy.export.model import find_model
from effnet.deploy.torch_program import load_program, rebuilt
from effnet.deploy.work import count
from effnet.errors import WeightsError
from tests.deploy.bundles import certificate
from tests.tiny import tiny_network

Members = dict[str, bytes]

MODEL, SAMPLES = "archive/models/model.json", "archive/data/sample_inputs/model.pt"
WEIGHTS, CONSTANTS = "archive/data/weights/", "archive/data/constants/"


class Touching:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@functools.cache
def program() -> bytes:
    network = tiny_network()
    return convert(network, describe(find_model(network), "torch", "fp32"))["model.pt2"]


def members() -> Members:
    with zipfile.ZipFile(io.BytesIO(program())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archived(parts: Members) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def in_samples(parts: Members, mark: Path) -> None:
    parts[SAMPLES] = saved(Touching(mark))


def in_a_constant(parts: Members, mark: Path) -> None:
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    parts[CONSTANTS + "model_constants_config.json"] = json.dumps({"config": {"it": entry}}).encode()
    parts[CONSTANTS + "opaque_obj_0"] = pickle.dumps(Touching(mark))


def in_a_weight(parts: Members, mark: Path) -> None:
    config = json.loads(parts[WEIGHTS + "model_weights_config.json"])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    parts[WEIGHTS + "model_weights_config.json"] = json.dumps(config).encode()
    parts[WEIGHTS + entry["path_name"]] = saved(Touching(mark))


def in_a_size(parts: Members, mark: Path) -> None:
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    size = b"\"Symbol('s"
    before, _, rest = parts[MODEL].partition(size)
    parts[MODEL] = before + json.dumps(code).encode() + rest[rest.index(b'"') + 1 :]


def in_a_name(parts: Members, mark: Path) -> None:
    code = f"images=__import__('pathlib').Path({str(mark)!r}).touch()"
    parts[MODEL] = parts[MODEL].replace(b'"images"', json.dumps(code).encode())


RUN_BY_TORCH: tuple[Callable[[Members, Path], None], ...] = (
    in_samples,
    in_a_constant,
    in_a_weight,
    in_a_size,
    in_a_name,
)


def attack(place: Callable[[Members, Path], None], mark: Path) -> bytes:
    parts = members()
    place(parts, mark)
    return archived(parts)


@pytest.mark.parametrize("place", RUN_BY_TORCH)
def test_code_that_torch_would_run_is_not_run(place: Callable[[Members, Path], None], tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    content = attack(place, mark)
    with contextlib.suppress(Exception):
        torch.export.load(io.BytesIO(content)).module()
    assert mark.exists()  # or this test would show nothing
    mark.unlink()
    path = tmp_path / "theirs.effnet"
    described = describe(find_model(tiny_network()), "torch", "fp32")
    payload = {"model.pt2": content}
    proof = certificate(sha256=digests(described, payload))
    write_bundle(Bundle(manifest=described, certificate=proof, payload=payload), path)
    refused = contextlib.nullcontext() if place is in_samples else pytest.raises(WeightsError, match="Fix:")
    with refused:
        effnet.load(path, threads=1).predict(np.zeros((40, 40, 3), np.uint8))
    with refused:
        count("torch", payload)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("data/aotinductor/model/a.so", "the file"),
        ("data/weights/model.pt", "the file"),
        ("extra/notes", "the file"),
        ("data/weights/../weight_0", "the file"),
    ],
)
def test_members_that_exporting_does_not_write_are_refused(name: str, complaint: str) -> None:
    with pytest.raises(WeightsError, match=complaint):
        rebuilt(archived(members() | {f"archive/{name}": b"\x7fELF"}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("torch.ops.aten.silu_.default", "torch.ops.aten.from_file.default"),
        ("torch.ops.aten.silu_.default", "torch.utils.cpp_extension.load"),
        ("torch.ops.aten.silu_.default", "_operator.methodcaller"),
        ('"as_ints"', '"as_operator"'),
        ('"custom_obj_values": {}', '"custom_obj_values": {"a": {}}'),
    ],
)
def test_operators_and_arguments_that_exporting_does_not_write_are_refused(old: str, new: str) -> None:
    parts = members()
    assert old.encode() in parts[MODEL]
    parts[MODEL] = parts[MODEL].replace(old.encode(), new.encode())
    with pytest.raises(WeightsError, match="which effnet export does not write"):
        load_program(archived(parts))


def test_remarks_and_ways_to_call_are_not_taken_from_the_file() -> None:
    parts = members()
    held = json.loads(parts[MODEL])
    held["guards_code"] = ["print('here')"]
    held["graph_module"]["graph"]["nodes"][0]["metadata"] = {"nn_module_stack": "a,b(c)", "custom": "{}"}
    held["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = '[1, {"fqn": "antigravity:x"}]'
    parts[MODEL] = json.dumps(held).encode()
    images = torch.rand(2, 3, 32, 32)
    theirs, ours = load_program(archived(parts)).module()(images), load_program(program()).module()(images)
    assert torch.equal(theirs, ours)


def test_damage_is_an_error_of_the_file() -> None:
    whole = program()
    parts = members()
    broken = [b"", whole[:100], whole[: len(whole) // 2], bytes(len(whole))]
    for name in (MODEL, WEIGHTS + "model_weights_config.json", WEIGHTS + "weight_0"):
        broken += [archived({k: v for k, v in parts.items() if k != name}), archived(parts | {name: b""})]
    broken += [archived(parts | {MODEL: text}) for text in (b"[]", b"{}", b"[" * 100_000, b'{"graph_module": 3}')]
    for content in broken:
        with pytest.raises(WeightsError):
            count("torch", {"model.pt2": content})
