"""One picture of one class, for a page that shows it at once."""

from __future__ import annotations

import io

from PIL import Image
from torch import Tensor

from effnet.data.decode import to_rgb
from effnet.data.preprocess import to_batch, to_pixels
from effnet.errors import InputError
from effnet.inference.explain.colours import overlay
from effnet.inference.explain.maps import Method, activation_maps
from effnet.nn import Network
from effnet.preprocessing import Preprocess, place


def overlay_png(
    network: Network,
    image: Image.Image,
    class_index: int | None = None,
    *,
    method: Method = "grad-cam",
    stage: int | None = None,
    longest: int = 1024,
) -> bytes:
    """Return a PNG of the whole image under the map of one class; what the network's crop left out is dark.

    Args:
        network: with its preprocessing.
        image: upright, as `effnet.data.decode` gives it.
        class_index: None: the network's answer.
        method, stage: as for `activation_maps`.
        longest: side in pixels above which the picture is made smaller.

    Raises:
        InputError, UnknownNameError: no classifier or preprocessing, or no such class, stage or method.
    """
    whole = to_rgb(image)
    preprocess = _preprocess(network)
    heat = heat_of(network, whole, class_index, preprocess=preprocess, method=method, stage=stage)
    buffer = io.BytesIO()
    picture = overlay(whole, heat, window=place(preprocess, *whole.size).window, longest=longest)
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def heat_of(
    network: Network,
    image: Image.Image,
    class_index: int | None = None,
    *,
    preprocess: Preprocess | None = None,
    method: Method = "grad-cam",
    stage: int | None = None,
) -> Tensor:
    """Return the map (H', W') of one class on one RGB image, for the window that `effnet.preprocessing.place` gives.

    Args:
        preprocess: if not the network's own.

    Raises:
        InputError, UnknownNameError: as `overlay_png`.
    """
    preprocess = preprocess or _preprocess(network)
    weight = next(network.parameters())
    batch = to_batch([to_pixels(image, preprocess)], preprocess).to(weight.device, weight.dtype)
    classes = None if class_index is None else [[class_index]]
    return activation_maps(network, batch, classes, method=method, stage=stage)[0, 0]


def _preprocess(network: Network) -> Preprocess:
    if network.preprocess is None:
        fix = "load trained weights, or set network.preprocess to an effnet.Preprocess"
        raise InputError("does not know how images are prepared", where=network.spec.name, fix=fix)
    return network.preprocess
