"""torchvision's weights enums, made from the table of published weights; no torch until something is loaded.

>>> from effnet.models import EfficientNet_B0_Weights
>>> weights = EfficientNet_B0_Weights.DEFAULT
>>> weights.name, weights.meta["num_params"]
('IMAGENET1K_V1', 5288548)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Self, cast

from effnet.errors import InputError, UnknownNameError
from effnet.labels import published_labels
from effnet.preprocessing import Preprocess
from effnet.weights import published
from effnet.weights.published import PublishedWeights

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


class ImageClassification:
    """The preprocessing of a set of weights, as a callable.

    A Pillow image, or uint8 pixels as a tensor (C, H, W) or (N, C, H, W) -> float32 (C, size, size) or
    (N, C, size, size), with the very pixels that `effnet.Predictor` would compute.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        self.preprocess = preprocess
        self.crop_size = [preprocess.size]
        self.resize_size = [preprocess.resize_to]
        self.mean, self.std = list(preprocess.mean), list(preprocess.std)

    def __call__(self, img: Image | Tensor) -> Tensor:
        """Resize, crop and normalise.

        Raises:
            InputError: neither an image nor uint8 pixels.
        """
        from effnet.data.decode import to_rgb
        from effnet.data.preprocess import to_batch, to_pixels

        images, single = _images(img)
        batch = to_batch(
            [to_pixels(to_rgb(image, white=self.preprocess.white), self.preprocess) for image in images],
            self.preprocess,
        )
        return batch[0] if single else batch

    def __repr__(self) -> str:
        """Say what is done."""
        return f"ImageClassification({self.preprocess.describe()})"


class WeightsEnum(Enum):
    """Sets of trained weights of one network; a member's value is the tag that `effnet weights list` shows."""

    @classmethod
    def verify(cls, obj: Any) -> Self | None:
        """Return the member that `obj` is, or that its name ("IMAGENET1K_V1", "DEFAULT") means; None for None.

        Raises:
            UnknownNameError: this network has no such weights.
        """
        if obj is None or isinstance(obj, cls):
            return obj
        name = str(obj).removeprefix(f"{cls.__name__}.")
        if name not in cls.__members__:
            raise UnknownNameError.among(cls.__name__, name, cls.__members__, see=", ".join(cls.__members__))
        return cls[name]

    @property
    def published(self) -> PublishedWeights:
        """All that is known about these weights."""
        return published.find(self.value)

    @property
    def url(self) -> str:
        """Where the file is published."""
        return self.published.url or ""

    @property
    def meta(self) -> dict[str, Any]:
        """Classes, counts and published accuracy, under torchvision's keys."""
        weights, variant = self.published, published.published(self.published.variant)
        accuracy = weights.accuracy[0]
        return {
            "categories": list(published_labels(weights.classes) or ()),
            "num_params": variant.params,
            "recipe": weights.recipe,
            "_metrics": {"ImageNet-1K": {"acc@1": accuracy.top1, "acc@5": accuracy.top5}},
            "_file_size": None if weights.size is None else round(weights.size / 2**20, 3),
        }

    def transforms(
        self,
        *,
        crop_size: int | None = None,
        resize_size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        antialias: bool | None = True,
    ) -> ImageClassification:
        """Return the preprocessing of these weights; sizes in pixels, `resize_size` of the shorter side.

        Raises:
            InputError, SpecError: a value is impossible, or antialias is off, which nothing here computes.
        """
        if antialias is False:
            fix = "leave it on: the published accuracies are measured with it"
            raise InputError("antialias is False", where="antialias", fix=fix)
        own = self.published.preprocess
        size = own.size if crop_size is None else crop_size
        # A size alone keeps the share that is cut out, so that the same part of the image is seen.
        crop = own.crop if resize_size is None else size / resize_size
        changes = {"mean": mean, "std": std}
        given = {name: tuple(float(value) for value in values) for name, values in changes.items() if values}
        return ImageClassification(dataclasses.replace(own, size=size, crop=crop, **given))  # type: ignore[arg-type]

    def get_state_dict(self, progress: bool = True, check_hash: bool = True) -> Mapping[str, Tensor]:
        """Return the tensors of the file under torchvision's names, fetched once; its hash is always checked.

        Raises:
            WeightsError, DownloadError: they cannot be had.
        """
        from effnet.weights import store
        from effnet.weights.progress_bar import download_bar
        from effnet.weights.reading import read

        with download_bar() as bar:
            path = store.fetch(self.published, progress=bar if progress else None)
        return read(path).tensors


def weights_enum(name: str, variant: str) -> type[WeightsEnum]:
    """Return the enum `name` of torchvision's weights of `variant`: IMAGENET1K_V1, ..., DEFAULT."""
    ours = [w.tag for w in published.published(variant).weights if w.source == "torchvision"]
    members = {tag.partition(".")[2].replace("tv_in1k", "IMAGENET1K").upper(): tag for tag in sorted(ours)}
    make = cast("Callable[..., type[WeightsEnum]]", WeightsEnum)  # an enum without members makes enums
    return make(name, {**members, "DEFAULT": sorted(ours)[-1]}, module="effnet.models", qualname=name)


def _images(img: Any) -> tuple[list[Any], bool]:
    from PIL import Image

    if isinstance(img, Image.Image):
        return [img], True
    if str(getattr(img, "dtype", "")) != "torch.uint8" or img.ndim not in (3, 4) or img.shape[-3] not in (1, 3):
        raise InputError(
            f"cannot prepare {type(img).__name__}", where="transforms", fix="give a Pillow image or uint8 (C, H, W)"
        )
    arrays = img.reshape(-1, *img.shape[-3:]).permute(0, 2, 3, 1).cpu().numpy()  # (N, C, H, W) -> (N, H, W, C)
    return [Image.fromarray(a[..., 0] if a.shape[-1] == 1 else a) for a in arrays], img.ndim == 3
