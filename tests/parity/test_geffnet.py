"""Against geffnet, timm's ancestor with timm's names: V1, Lite, EdgeTPU and MnasNet-A1, plain and `tf_` models."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from effnet.families import find
from effnet.nn import build
from effnet.spec import NetworkSpec
from effnet.weights import layouts
from tests.parity.conftest import lively

peer = pytest.importorskip("geffnet")

VARIANTS = [
    ("b0", "tf_efficientnet_b0"),
    ("b0", "efficientnet_b0"),
    ("b1", "tf_efficientnet_b1"),
    ("b2", "tf_efficientnet_b2"),
    ("b3", "tf_efficientnet_b3"),
    ("b4", "tf_efficientnet_b4"),
    ("b5", "tf_efficientnet_b5"),
    ("b6", "tf_efficientnet_b6"),
    ("b7", "tf_efficientnet_b7"),
    ("b8", "tf_efficientnet_b8"),
    ("lite0", "tf_efficientnet_lite0"),
    ("lite1", "tf_efficientnet_lite1"),
    ("lite2", "tf_efficientnet_lite2"),
    ("lite3", "tf_efficientnet_lite3"),
    ("lite4", "tf_efficientnet_lite4"),
    ("edgetpu-s", "tf_efficientnet_es"),  # strides in the projection, as the official code
    ("edgetpu-m", "tf_efficientnet_em"),
    ("edgetpu-l", "tf_efficientnet_el"),
    ("edgetpu-s", "efficientnet_es"),
    ("mnasnet_a1", "semnasnet_100"),
]


def spec_of(name: str, theirs: str) -> NetworkSpec:
    """Return ours with the conventions that the peer's name stands for."""
    spec = find(name).replace(classes=20)
    if theirs.startswith("tf_"):
        return spec.with_conventions(padding="same", norm_eps=1e-3)
    return spec.with_conventions(padding="symmetric", norm_eps=1e-5)


@pytest.mark.parametrize(("name", "theirs"), VARIANTS)
def test_logits_agree(name: str, theirs: str, same_logits: Callable[[Tensor, Tensor], None]) -> None:
    side = 65 if name == "lite1" else 64  # an odd side pads differently
    spec = spec_of(name, theirs)
    ours, images = lively(spec, side)
    model = peer.create_model(theirs, num_classes=20, pretrained=False).eval()
    state = layouts.from_native(ours.state_dict(), spec, "timm")
    model.load_state_dict(state)
    with torch.inference_mode():
        same_logits(ours(images), model(images))
    back = build(spec).eval()
    assert layouts.detect(model.state_dict()) == "timm"
    back.load_state_dict(layouts.to_native(model.state_dict(), spec))
    with torch.inference_mode():
        assert torch.equal(back(images), ours(images))
