"""Class activation maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from effnet.errors import InputError
from effnet.inference.explain import class_activation_map, overlay
from effnet.nn import build
from tests.tiny import tiny_network

NETWORK = tiny_network().eval()
IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_the_mean_of_the_map_and_the_bias_are_the_logit() -> None:
    logits = NETWORK(IMAGES)
    for classes in ([0, 3, 6], [2, 2, 2]):
        maps = class_activation_map(NETWORK, IMAGES, classes)
        bias = NETWORK.classifier[1].bias[classes]
        torch.testing.assert_close(maps.mean((1, 2)) + bias, logits[range(3), classes], rtol=1e-4, atol=1e-4)


def test_without_classes_the_answers_are_explained() -> None:
    answers = NETWORK(IMAGES).argmax(1).tolist()
    assert torch.equal(class_activation_map(NETWORK, IMAGES), class_activation_map(NETWORK, IMAGES, answers))


def test_the_map_moves_with_what_is_seen() -> None:
    left, right = torch.zeros(2, 1, 3, 64, 64)
    pattern = 3 * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(2))
    left[0, :, 24:40, 8:24] = pattern
    right[0, :, 24:40, 40:56] = pattern
    maps = class_activation_map(NETWORK, torch.cat([left, right]), [1, 1])
    background = class_activation_map(NETWORK, torch.zeros(1, 3, 64, 64), [1])
    change = (maps - background).abs().sum(1)  # (2, W')
    half = change.shape[1] // 2
    assert change[0, :half].sum() > change[0, half:].sum() and change[1, half:].sum() > change[1, :half].sum()


def test_an_overlay_is_as_large_as_the_image_and_bright_where_the_map_is() -> None:
    image = Image.new("L", (90, 60), 128)
    heat = torch.zeros(4, 6)
    heat[:, 3:] = 1
    shown = overlay(image, heat)
    pixels = np.asarray(shown, float).sum(2)
    assert shown.size == (90, 60) and shown.mode == "RGB"
    assert pixels[:, 60:].mean() > pixels[:, :30].mean() + 100
    assert np.ptp(np.asarray(overlay(image, torch.ones(2, 2)), float)[..., 0]) == 0  # nothing to tell apart


def test_impossible_requests_are_refused() -> None:
    for classes in ([0], [0, 1, 7], [0, 1, -1]):
        with pytest.raises(InputError, match="classes"):
            class_activation_map(NETWORK, IMAGES, classes)
    with pytest.raises(InputError, match="classifier"):
        class_activation_map(build(NETWORK.spec.replace(classes=0)), IMAGES)
