"""Against Keras applications on Keras' torch backend: same weights in, same logits out, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from effnet.families import find
from effnet.nn import build
from effnet.spec import NetworkSpec
from effnet.weights import layouts
from tests.parity.conftest import lively

keras = pytest.importorskip("keras")

VARIANTS = [
    ("b0", "EfficientNetB0"),
    ("b1", "EfficientNetB1"),
    ("b2", "EfficientNetB2"),
    ("b3", "EfficientNetB3"),
    ("b4", "EfficientNetB4"),
    ("b5", "EfficientNetB5"),
    ("b6", "EfficientNetB6"),
    ("b7", "EfficientNetB7"),
    ("v2-b0", "EfficientNetV2B0"),
    ("v2-b1", "EfficientNetV2B1"),
    ("v2-b2", "EfficientNetV2B2"),
    ("v2-b3", "EfficientNetV2B3"),
    ("v2-s", "EfficientNetV2S"),
    ("v2-m", "EfficientNetV2M"),
    ("v2-l", "EfficientNetV2L"),
]
SIDE = 64


def build_theirs(function: str) -> Any:
    arguments = {"weights": None, "classes": 20, "classifier_activation": None, "input_shape": (SIDE, SIDE, 3)}
    if "V2" in function:
        arguments["include_preprocessing"] = False
    return getattr(keras.applications, function)(**arguments)


def put(theirs: Any, state: dict[str, Tensor]) -> None:
    """Give their model our weights: every one of theirs must have a counterpart, and every one of ours be used."""
    used = set()
    for weight in theirs.weights:
        # A layer that only prepares the input has no counterpart.
        if weight.path.startswith("normalization"):
            continue
        name = weight.path if weight.path in state else weight.path.replace("/kernel", "/depthwise_kernel")
        weight.assign(state[name].numpy())
        used.add(name)
    assert used == set(state)


def their_logits(theirs: Any, images: Tensor, function: str) -> Tensor:
    # V1 models divide by 255 themselves.
    pixels = images.permute(0, 2, 3, 1) * (1 if "V2" in function else 255)  # (N, C, H, W) -> (N, H, W, C)
    with torch.inference_mode():
        result: Tensor = theirs(np.ascontiguousarray(pixels.numpy()), training=False).detach()
    return result


def spec_of(name: str) -> NetworkSpec:
    return find(name).replace(classes=20).with_conventions(padding="same", norm_eps=1e-3)


@pytest.mark.parametrize(("name", "function"), VARIANTS)
def test_logits_agree(name: str, function: str, same_logits: Callable[[Tensor, Tensor], None]) -> None:
    spec = spec_of(name)
    ours, images = lively(spec, SIDE)
    theirs = build_theirs(function)
    put(theirs, layouts.from_native(ours.state_dict(), spec, "keras"))
    with torch.inference_mode():
        same_logits(ours(images), their_logits(theirs, images, function))


@pytest.mark.parametrize(("name", "function"), [("b0", "EfficientNetB0"), ("v2-b0", "EfficientNetV2B0")])
def test_their_weights_load_into_ours(name: str, function: str, same_logits: Callable[[Tensor, Tensor], None]) -> None:
    keras.utils.set_random_seed(1)
    theirs = build_theirs(function)
    theirs(np.random.default_rng(0).uniform(size=(8, SIDE, SIDE, 3)).astype(np.float32), training=True)
    state = {
        w.path: torch.from_numpy(np.asarray(w.value.detach().cpu()).copy())
        for w in theirs.weights
        if not w.path.startswith("normalization")
    }
    spec = spec_of(name)
    ours = build(spec).eval()
    ours.load_state_dict(layouts.to_native(state, spec, "keras"))
    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        same_logits(ours(images), their_logits(theirs, images, function))
