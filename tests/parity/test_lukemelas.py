"""Against lukemelas' EfficientNet-PyTorch: same weights in, same logits out, in both directions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from effnet.families import find
from effnet.nn import build
from effnet.weights import layouts
from tests.parity.conftest import lively

peer = pytest.importorskip("efficientnet_pytorch")

VARIANTS = [f"b{i}" for i in range(9)]


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_agree(name: str, same_logits: Callable[[Tensor, Tensor], None]) -> None:
    side = 65 if name == "b1" else 64  # an odd side pads differently
    spec = find(name).replace(classes=20).with_conventions(padding="same", norm_eps=1e-3, norm_momentum=0.01)
    ours, images = lively(spec, side)
    # Its padding is computed for the image size that it is told.
    theirs = peer.EfficientNet.from_name(f"efficientnet-{name}", num_classes=20, image_size=side)
    theirs.load_state_dict(layouts.from_native(ours.state_dict(), spec, "lukemelas"))
    with torch.inference_mode():
        same_logits(ours(images), theirs.eval()(images))


def test_their_weights_load_into_ours(same_logits: Callable[[Tensor, Tensor], None]) -> None:
    torch.manual_seed(1)
    theirs = peer.EfficientNet.from_name("efficientnet-b0", num_classes=20, image_size=64)
    images = torch.rand(8, 3, 64, 64)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        theirs.train()(images)
    theirs.eval()
    spec = find("b0").replace(classes=20).with_conventions(padding="same", norm_eps=1e-3)
    ours = build(spec).eval()
    assert layouts.detect(theirs.state_dict()) == "lukemelas"
    ours.load_state_dict(layouts.to_native(theirs.state_dict(), spec))
    with torch.inference_mode():
        same_logits(ours(images), theirs(images))


def test_the_wrong_padding_would_show() -> None:
    """The check above can fail: symmetric padding on the same weights gives other logits."""
    spec = find("b0").replace(classes=20).with_conventions(padding="same")
    ours, images = lively(spec, 64)
    other = build(spec.with_conventions(padding="symmetric")).eval()
    other.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        difference = (ours(images) - other(images)).abs().max() / ours(images).abs().max()
    assert difference > 1e-2
