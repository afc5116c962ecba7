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
from effnet.migration.torchvision_meta import categories, figures
from effnet.weights import published
from effnet.weights.published import PublishedWeights

if TYPE_CHECKING:
    from torch import Tensor

    from effnet.migration.torchvision_transforms import ImageClassification


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
            "categories": categories(published_labels(weights.classes) or ()),
            "num_params": variant.params,
            "_metrics": {"ImageNet-1K": {"acc@1": accuracy.top1, "acc@5": accuracy.top5}},
            **figures(self.value),
        }

    def transforms(
        self,
        *,
        crop_size: int | None = None,
        resize_size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        interpolation: Any = None,
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
        given: dict[str, Any] = {name: tuple(map(float, values)) for name, values in changes.items() if values}
        if interpolation is not None:
            given["interpolation"] = getattr(interpolation, "value", interpolation)
        from effnet.migration.torchvision_transforms import ImageClassification

        return ImageClassification(dataclasses.replace(own, size=size, crop=crop, **given))

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
