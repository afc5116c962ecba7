"""Layouts: both directions are each other's inverse, and a file that does not fit says why."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effnet.errors import UnknownNameError, WeightsError
from effnet.families import find
from effnet.nn import build
from effnet.spec import NetworkSpec
from effnet.weights import layouts

PAIRS = [
    ("b0", "torchvision"),
    ("b0", "timm"),
    ("b0", "lukemelas"),
    ("b0", "keras"),
    ("b0", "tensorflow"),
    ("b1", "lukemelas"),
    ("lite0", "lukemelas"),
    ("lite0", "timm"),
    ("v2-b0", "timm"),
    ("v2-b0", "keras"),
    ("v2-b1", "torchvision"),
    ("v2-b0", "tensorflow"),
    ("edgetpu-s", "timm"),
    ("mnasnet_a1", "timm"),
    ("resnet18", "torchvision"),
    ("resnet50", "timm"),
]


def filled(spec: NetworkSpec, seed: int) -> dict[str, torch.Tensor]:
    """Return a state dict whose every element is different from every other tensor's."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.tensor(seed) if tensor.ndim == 0 else torch.randn(tensor.shape, generator=generator)
        for name, tensor in build(spec, weights=False).state_dict().items()
    }


@given(pair=st.sampled_from(PAIRS), classes=st.integers(0, 12), channels=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_there_and_back_is_bit_exact(pair: tuple[str, str], classes: int, channels: int, seed: int) -> None:
    name, layout = pair
    spec = find(name).replace(classes=classes, in_channels=channels)
    state = filled(spec, seed)
    foreign = layouts.from_native(state, spec, layout)
    back = layouts.to_native(foreign, spec, layout)
    assert list(back) == list(state)
    for key, tensor in state.items():
        # TensorFlow's norms have no batch counter.
        if "num_batches" not in key or layout not in ("keras", "tensorflow"):
            assert torch.equal(back[key], tensor), key
    assert layouts.sizes(foreign, spec, layout) == (channels, classes)


@pytest.mark.parametrize(("name", "layout"), PAIRS)
def test_layouts_are_told_by_their_names(name: str, layout: str) -> None:
    spec = find(name)
    foreign = layouts.from_native(build(spec, weights=False).state_dict(), spec, layout)
    expected = "torchvision" if name.startswith("resnet") else layout
    assert layouts.detect(foreign) == expected
    assert spec.name in layouts.recognise(foreign, layout)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod."])
def test_wrappers_prefixes_are_stripped(prefix: str) -> None:
    spec = find("b0").replace(classes=3)
    state = filled(spec, 0)
    wrapped = {prefix + key: tensor for key, tensor in state.items()}
    assert layouts.detect(wrapped) == "torchvision"
    assert all(torch.equal(tensor, state[key]) for key, tensor in layouts.to_native(wrapped, spec).items())


def test_misfits_are_named() -> None:
    spec = find("b0").replace(classes=3)
    state = filled(spec, 0)
    missing = {key: tensor for key, tensor in state.items() if key != "features.0.0.weight"}
    with pytest.raises(WeightsError, match=r"1 missing \(features.0.0.weight\)"):
        layouts.to_native(missing, spec, "torchvision")
    with pytest.raises(WeightsError, match=r"1 unexpected \(extra\)"):
        layouts.to_native({**state, "extra": torch.zeros(1)}, spec)
    with pytest.raises(WeightsError, match="number of classes"):
        layouts.to_native(state, spec.replace(classes=4))
    with pytest.raises(WeightsError, match="efficientnet_b1"):
        layouts.to_native(filled(find("b1"), 0), find("b0"))
    with pytest.raises(WeightsError, match="not floating-point"):
        layouts.to_native({**state, "features.0.0.weight": torch.zeros(32, 3, 3, 3, dtype=torch.int64)}, spec)


def test_unknown_layouts_and_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean timm"):
        layouts.from_native({}, find("b0"), "timn")
    with pytest.raises(WeightsError, match="no known layout"):
        layouts.detect(["encoder.weight"])
    with pytest.raises(WeightsError):
        layouts.from_native(build(find("resnet18"), weights=False).state_dict(), find("resnet18"), "lukemelas")


def test_keras_axes_are_tensorflows() -> None:
    spec = find("b0")
    state = layouts.from_native(build(spec, weights=False).state_dict(), spec, "keras")
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["stem_conv/kernel"] == (3, 3, 3, 32)
    assert shapes["block2b_expand_conv/kernel"] == (1, 1, 24, 144)
    assert shapes["predictions/kernel"] == (1280, 1000)
    depthwise = [shape for name, shape in shapes.items() if name.startswith("block1a_dwconv/")]
    assert depthwise == [(3, 3, 32, 1)]
