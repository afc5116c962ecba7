"""Where in an image a network found its answer.

Every network here ends in a global average pool and one linear layer, so the class activation map of Zhou et al.
(arXiv 1512.04150), which V1 Figure 7 shows, is exact: its mean over the positions plus the bias is the logit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from effnet.errors import InputError
from effnet.nn import Network

# Corners of a colour map from dark blue to yellow whose lightness rises evenly, close to matplotlib's "inferno".
_CORNERS = np.array(
    [(0, 0, 4), (51, 10, 95), (120, 28, 109), (188, 55, 84), (237, 105, 37), (252, 180, 26), (252, 255, 164)], float
)


@torch.no_grad()
def class_activation_map(network: Network, images: Tensor, classes: Sequence[int] | None = None) -> Tensor:
    """Return how much each position of the last feature map speaks for a class.

    Args:
        network: in evaluation mode.
        images: (N, 3, H, W), normalised.
        classes: one for each image; None: the network's answers.

    Returns:
        (N, H', W'), the last feature map's size; in the unit of logits.

    Raises:
        InputError: the network has no classifier, or a class is out of range.
    """
    linear = network.classifier[1]
    if not isinstance(linear, nn.Linear):
        raise InputError("the network has no classifier", where="network", fix="create it with classes=...")
    features = network.forward_features(images)  # (N, C, H', W')
    if classes is None:
        classes = network.forward_head(features).argmax(1).tolist()
    if len(classes) != len(images) or not all(0 <= place < linear.out_features for place in classes):
        what = f"classes {list(classes)} for {len(images)} images of {linear.out_features} classes"
        raise InputError(what, where="classes", fix="give one class number for each image")
    weights = linear.weight[list(classes)]  # (N, C)
    return torch.einsum("nchw,nc->nhw", features, weights)


def overlay(image: Image.Image, heat: Tensor, *, strength: float = 0.55) -> Image.Image:
    """Return the image under its map (H', W'): dark where little speaks for the class, bright where much does.

    Args:
        strength: of the map, 0 to 1.
    """
    values = heat.detach().float().cpu().numpy()
    low, high = float(values.min()), float(values.max())
    values = (values - low) / (high - low) if high > low else np.zeros_like(values)
    smooth = Image.fromarray((255 * values).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    at = np.asarray(smooth, float) / 255 * (len(_CORNERS) - 1)  # (H, W), in corners
    channels = [np.interp(at, range(len(_CORNERS)), _CORNERS[:, channel]) for channel in range(3)]
    colours = Image.fromarray(np.stack(channels, 2).astype(np.uint8))
    return Image.blend(image.convert("RGB"), colours, strength)
