from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effnet.errors import InputError
from effnet.training.checkpoint import CheckpointError, CheckpointStore

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool)

tensors = st.builds(
    lambda shape, dtype, seed: torch.randn(shape, generator=torch.Generator().manual_seed(seed)).mul(9).to(dtype),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from(DTYPES),
    st.integers(0, 100),
)
leaves = tensors | st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
states = st.dictionaries(
    st.text(),
    st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner, inner)
        ),
        max_leaves=6,
    ),
    max_size=4,
)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(bits(one), bits(other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other) and (not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(state=states, step=st.integers(0, 10**12))
def test_every_bit_of_a_state_comes_back(tmp_path_factory, state, step):
    store = CheckpointStore(tmp_path_factory.mktemp("run") / "checkpoints")
    path = store.save(state, step)
    restored = store.load()
    assert restored is not None
    assert same(restored.state, state)
    assert (restored.step, restored.path, restored.skipped) == (step, path, ())


def test_shared_and_strided_memory_is_saved_by_value(tmp_path):
    weight = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    state = {"a": weight, "b": weight, "c": weight[:, 0].t() if weight[:, 0].ndim == 2 else weight[:, 0]}
    store = CheckpointStore(tmp_path)
    store.save(state, 1)
    restored = store.load()
    assert restored is not None
    assert all(torch.equal(restored.state[name], state[name]) for name in state)


def test_the_newest_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step in (5, 10, 1000000000, 20):  # by number, not by name or by time
        store.save({"step": step}, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000020.safetensors", "step-1000000000.safetensors"]
    restored = store.load()
    assert restored is not None and restored.state == {"step": 1000000000}


def test_no_folder_and_no_checkpoint_are_no_error(tmp_path):
    assert CheckpointStore(tmp_path / "none").load() is None
    (tmp_path / "step-1.safetensors.tmp").write_bytes(b"x")
    assert CheckpointStore(tmp_path).load() is None


def saved(folder: Path) -> tuple[CheckpointStore, bytes]:
    store = CheckpointStore(folder)
    store.save({"x": torch.arange(3000.0), "n": 1}, 1)
    path = store.save({"x": torch.arange(3000.0) + 1, "n": 2}, 2)
    return store, path.read_bytes()


def test_a_truncated_file_falls_back_wherever_it_ends(tmp_path):
    store, whole = saved(tmp_path)
    path = tmp_path / "step-000000002.safetensors"
    for length in [*range(0, len(whole), 512), len(whole) - 1]:
        path.write_bytes(whole[:length])
        restored = store.load()
        assert restored is not None
        assert restored.state["n"] == 1
        assert len(restored.skipped) == 1 and path.name in restored.skipped[0]


def test_every_one_of_a_thousand_flipped_bits_is_noticed(tmp_path):
    store, whole = saved(tmp_path)
    path = tmp_path / "step-000000002.safetensors"
    rng = np.random.default_rng(0)
    for place in rng.choice(8 * len(whole), 1000, replace=False):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        restored = store.load()
        assert restored is not None
        # A flip in the padding or spelling of the header may leave the content as it was; never another content.
        assert restored.state["n"] == 1 or torch.equal(restored.state["x"], torch.arange(3000.0) + 1)


def test_when_all_are_damaged_the_error_names_them(tmp_path):
    store, _ = saved(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"step-000000001\."):
        store.load()


def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path):
    store = CheckpointStore(tmp_path)
    for state in ({"x": object()}, {"x": {1: 2}}):
        with pytest.raises(InputError):
            store.save(state, 1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError):
        CheckpointStore(tmp_path, keep=1)
