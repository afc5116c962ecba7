"""The preprocessing of torchvision's weights as a module, for images and for tensors."""

from __future__ import annotations

from enum import Enum
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]

from effnet.data.decode import to_rgb
from effnet.data.preprocess import to_batch, to_pixels
from effnet.errors import InputError
from effnet.preprocessing import Preprocess


class InterpolationMode(Enum):
    """Resampling filters, under torchvision's names."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class ImageClassification(nn.Module):
    """The preprocessing of a set of weights, as a callable.

    A Pillow image, or uint8 pixels as a tensor (C, H, W) or (N, C, H, W) -> float32 (C, size, size) or
    (N, C, size, size), with the very pixels that `effnet.Predictor` would compute. A float tensor on the 0..1 scale is
    resized by torch with antialiasing, as torchvision does it, and may have any leading dimensions; so is everything
    in a TorchScript program.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.crop_size = [preprocess.size]
        self.resize_size = [preprocess.resize_to]
        self.mean, self.std = list(preprocess.mean), list(preprocess.std)
        self.interpolation = InterpolationMode(preprocess.interpolation)
        self.antialias = True
        self.filter: str = preprocess.interpolation

    def forward(self, img: Tensor) -> Tensor:
        """Resize, crop and normalise.

        Raises:
            InputError: neither an image nor pixels.
        """
        if not is_scripting():
            if not isinstance(img, Tensor) or not img.is_floating_point():
                return self._exact(img)
            if img.ndim < 3:
                raise _refused(img)
        x = img.to(torch.float32) / 255 if img.dtype == torch.uint8 else img
        lead = x.shape[:-3]
        x = x.reshape([-1] + list(x.shape[-3:]))  # noqa: RUF005 (a script knows no star)
        height, width, short = x.shape[-2], x.shape[-1], self.resize_size[0]
        size = [short, int(short * width / height)] if height <= width else [int(short * height / width), short]
        if size != [height, width]:
            x = F.interpolate(x, size=size, mode=self.filter, align_corners=False, antialias=True)
        side = self.crop_size[0]  # never more than what was resized: a Preprocess cuts out at most all of it
        row = int(round((x.shape[-2] - side) / 2.0))  # noqa: RUF046 (in a script it is a float)
        column = int(round((x.shape[-1] - side) / 2.0))  # noqa: RUF046
        x = x[..., row : row + side, column : column + side]
        mean = torch.tensor(self.mean, dtype=x.dtype, device=x.device).view(-1, 1, 1)
        std = torch.tensor(self.std, dtype=x.dtype, device=x.device).view(-1, 1, 1)
        return ((x - mean) / std).reshape(list(lead) + list(x.shape[-3:]))

    @torch.jit.unused
    def _exact(self, img: Any) -> Tensor:
        images, single = _images(img)
        batch = to_batch([to_pixels(to_rgb(image), self.preprocess) for image in images], self.preprocess)
        return batch[0] if single else batch

    def describe(self) -> str:
        """Say what is done."""
        return self.preprocess.describe()

    def __repr__(self) -> str:
        """Say what is done."""
        return f"ImageClassification({self.preprocess.describe()})"


def _images(img: Any) -> tuple[list[Any], bool]:
    if isinstance(img, Image.Image):
        return [img], True
    if str(getattr(img, "dtype", "")) != "torch.uint8" or img.ndim not in (3, 4) or img.shape[-3] not in (1, 3):
        raise _refused(img)
    arrays = img.reshape(-1, *img.shape[-3:]).permute(0, 2, 3, 1).cpu().numpy()  # (N, C, H, W) -> (N, H, W, C)
    return [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else a) for a in arrays], img.ndim == 3


def _refused(img: Any) -> InputError:
    fix = "give a Pillow image, uint8 (C, H, W), or floats from 0 to 1 (..., C, H, W)"
    return InputError(f"cannot prepare {type(img).__name__}", where="transforms", fix=fix)
