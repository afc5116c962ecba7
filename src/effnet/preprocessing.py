"""How an image becomes a network's input, as a value that travels with the weights.

The same value is used by training, prediction, export and the server, so a wrong resolution, crop or mean cannot
happen silently.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from effnet.errors import SpecError, UnknownNameError

Fit = Literal["crop", "squash", "pad"]
Interpolation = Literal["bicubic", "bilinear"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of V1, V2-B and most ports (facts 2.2 to 2.5); AdvProp, V2-S to XL, Lite and EdgeTPU use about 0.5 for both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """Resize, crop and normalise.

    Attributes:
        size: side of the square input in pixels.
        crop: share of the resized side that the centre crop keeps: 0.875 in V1's later code, size / (size + 32) in the
            earlier and in V2's below 320 px (facts 0, "Eval crop", and 2.3); ports list their own (2.4, 2.5).
        fit: `crop` keeps the aspect ratio: the shorter side becomes round(size / crop), then the centre is cut out;
            `squash` makes both sides round(size / crop), then cuts (V2's code from 320 px, where crop is 1: facts 2.3);
            `pad` makes the longer side `size` and fills the rest with the mean colour.
        interpolation: resampling filter, antialiased.
        mean, std: per channel, on the 0..1 scale.
        white: the value of 16-bit grey images that is white, where 10, 12 or 14 bits lie in 16 (4095 for the 12 of
            X-rays); None: 65535. Other images ignore it.

    Raises:
        SpecError: a value is impossible.
    """

    size: int = 224
    crop: float = 0.875
    fit: Fit = "crop"
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    white: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that no image can meet."""
        if isinstance(self.size, bool) or not isinstance(self.size, int) or not 1 <= self.size <= 16384:
            raise SpecError(f"size is {self.size!r}", where="size", fix="give pixels from 1 to 16384")
        if not _is_real(self.crop) or not 0.1 <= self.crop <= 1:
            raise SpecError(f"crop is {self.crop!r}", where="crop", fix="give a share from 0.1 to 1")
        for name, choices in (("fit", get_args(Fit)), ("interpolation", get_args(Interpolation))):
            if getattr(self, name) not in choices:
                hint = UnknownNameError.among(name, str(getattr(self, name)), choices)
                raise SpecError(hint.what, where=name, fix=f"use one of {', '.join(choices)}")
        for name, low in (("mean", -10.0), ("std", 1e-6)):
            values = getattr(self, name)
            if not isinstance(values, tuple) or not values or not all(_is_real(v) and low <= v <= 10 for v in values):
                raise SpecError(f"{name} is {values!r}", where=name, fix="give one number a channel on the 0..1 scale")
        if len(self.mean) != len(self.std):
            what = f"{len(self.mean)} means and {len(self.std)} deviations"
            raise SpecError(what, where="std", fix="give as many of each")
        white = self.white
        if white is not None and (isinstance(white, bool) or not isinstance(white, int) or not 1 <= white <= 65535):
            raise SpecError(f"white is {white!r}", where="white", fix="give a value from 1 to 65535, such as 4095")

    @property
    def resize_to(self) -> int:
        """Pixels of the shorter side before the centre crop."""
        return round(self.size / self.crop)

    def with_size(self, size: int) -> Self:
        """Return a copy for inputs of `size` pixels; crop and fit stay.

        Raises:
            SpecError: the size is impossible.
        """
        return dataclasses.replace(self, size=size)

    def describe(self) -> str:
        """Return one line for people: `224 px, crop 0.875, bicubic, ImageNet mean/std`."""
        share = f"crop {self.crop:.4g}" if self.fit != "pad" else "padded"
        how = f"{share}, squashed" if self.fit == "squash" else share
        if (self.mean, self.std) == (IMAGENET_MEAN, IMAGENET_STD):
            norm = "ImageNet mean/std"
        else:
            norm = f"mean {_short(self.mean)}, std {_short(self.std)}"
        bright = "" if self.white is None else f", 16-bit grey is white at {self.white}"
        return f"{self.size} px, {how}, {self.interpolation}, {norm}{bright}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; without `white` where it is None, so that versions without it read the rest."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.white is None:
            del values["white"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote: every field but `white`, because a default would be a wrong mean unnoticed.

        Raises:
            SpecError: unknown or missing fields, wrong types or impossible values.
        """
        if not isinstance(data, Mapping):
            raise SpecError("not an object", where="preprocess", fix="give what Preprocess.to_dict wrote")
        known = [f.name for f in dataclasses.fields(cls)]
        for name in data:
            if name not in known:
                hint = UnknownNameError.among("field", str(name), known)
                raise SpecError(hint.what, where="preprocess", fix=hint.fix)
        if missing := [name for name in known if name not in data and name != "white"]:
            raise SpecError(f"missing {', '.join(missing)}", where="preprocess", fix="add the fields")
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in data.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the network's square input lies on an image of one size.

    Attributes:
        resized: (width, height) that the image is resized to.
        corner: (left, top) pixel of the resized image that is the input's first; negative where a border is filled.
        window: (left, top, right, bottom) of the input in pixels of the image itself; it may reach outside.
    """

    resized: tuple[int, int]
    corner: tuple[int, int]
    window: tuple[float, float, float, float]


def place(preprocess: Preprocess, width: int, height: int) -> Placement:
    """Return how an image of width x height pixels becomes the input.

    The longer side is truncated, not rounded, and the crop's corner is rounded to even, as torchvision does.
    """
    size, side = preprocess.size, preprocess.resize_to
    if preprocess.fit == "pad":
        ratio = size / max(width, height)
        wide, high = max(1, round(width * ratio)), max(1, round(height * ratio))
        left, top = -((size - wide) // 2), -((size - high) // 2)
    else:
        if preprocess.fit == "squash":
            wide, high = side, side
        elif width <= height:
            wide, high = side, int(side * height / width)
        else:
            wide, high = int(side * width / height), side
        left, top = round((wide - size) / 2.0), round((high - size) / 2.0)
    across, down = width / wide, height / high  # pixels of the image in one of the resized image
    window = (left * across, top * down, (left + size) * across, (top + size) * down)
    return Placement(resized=(wide, high), corner=(left, top), window=window)


def mismatch(preprocess: Preprocess, size: int) -> str | None:
    """Return what to tell a person who forces inputs of `size` pixels on weights evaluated at another size, or None.

    Confidence belongs to a size: one pixel more gives Lite0 a last map of 8 x 8 where it learnt with 7 x 7, and its
    mean confidence on 500 photographs falls from 0.73 to 0.54 (with its fitted temperature from 0.87 to 0.80, and its
    calibration error rises from 2.8 to 6.4 %). Accuracy falls by more than about two points below 0.85 and above 1.5
    times the size of `preprocess`. Lite0's top-1 on the same photographs, in points against its 224 px: 0.5 times -28,
    0.7 -10, 0.8 -6, 0.86 -2, 0.9 -2, 1.15 +1, 1.3 -2, 1.5 -2, 1.75 -4, 2 times -7 (standard error about 1.5).
    """
    ratio = size / preprocess.size
    if ratio == 1:
        return None
    belongs = f"confidence and temperature belong to {preprocess.size} px"
    if 0.85 <= ratio <= 1.5:
        return f"{size} px where these weights were evaluated at {preprocess.size} px: {belongs}, so expect others"
    return (
        f"{size} px is {ratio:.2g} times the {preprocess.size} px that these weights were evaluated at: "
        f"expect lower accuracy, or leave the size out; {belongs} too"
    )


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(values: tuple[float, ...]) -> str:
    return "/".join(f"{v:.3g}" for v in (values[:1] if len(set(values)) == 1 else values))
