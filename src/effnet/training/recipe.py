"""Everything that decides the outcome of a training run but the data, as one value.

A recipe file, the command line's flags and this class have the same keys: `lr`, `progressive.stages`,
`augmentation.magnitude`. None means "decide for me", and the run's folder holds what was decided.

    >>> from effnet.training.catalog import find
    >>> from effnet.training.recipe_file import override
    >>> recipe = override(find("finetune"), ["lr=0.001", "progressive.stages=4"])
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from effnet.errors import InputError
from effnet.spec import NetworkSpec
from effnet.training.fields import bounded, changed, keys_of, plain, prove
from effnet.training.learning_rate import Schedule
from effnet.training.progressive import Form, ProgressiveSchedule, Ramp
from effnet.training.score import Chooser


class _Part:
    """Checks every field when it is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Refuse values that cannot be trained with."""
        prove(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer(_Part):
    """How gradients become steps.

    Attributes:
        kind: `rmsprop_tf` is what both papers trained with, as TensorFlow computes it; `sgd` and `adamw` are torch's.
        momentum: of all three (AdamW's beta 1).
        square_decay: decay of the average of squared gradients (AdamW's beta 2); None: 0.9, AdamW 0.999.
        eps: added to that average, or in AdamW to its root; None: 1e-3, AdamW 1e-8.
        weight_decay: gradient of the L2 penalty per unit of weight; AdamW decays weights apart from the gradient.
        decoupled: let RMSProp decay weights apart from the gradient too.
        undecayed: parameters without weight decay. V1's code exempts norms, V2's norms and every bias.
        layer_decay: rate of each layer over that of the layer above it; 1 trains all alike.
        head_rate: rate of the classifier over that of the layers below it.
        clip_norm: longest gradient, as the norm over all parameters; None does not clip.
    """

    kind: Literal["rmsprop_tf", "sgd", "adamw"] = "rmsprop_tf"
    momentum: float = bounded(0.9, 0, 0.9999)
    square_decay: float | None = bounded(None, 0, 0.99999)
    eps: float | None = bounded(None, 1e-16, 10)
    weight_decay: float = bounded(1e-5, 0, 10)
    decoupled: bool = False
    undecayed: Literal["nothing", "norms", "norms_and_biases"] = "norms_and_biases"
    layer_decay: float = bounded(1.0, 0.01, 1)
    head_rate: float = bounded(1.0, 0.001, 1000)
    clip_norm: float | None = bounded(None, 1e-6, 1e6)

    def __post_init__(self) -> None:
        """Refuse what no optimizer does."""
        prove(self)
        if self.decoupled and self.kind == "sgd":
            raise InputError("sgd has no decoupled weight decay", where="decoupled", fix="use rmsprop_tf or adamw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(_Part):
    """What one optimizer step sees.

    Attributes:
        size: images on all devices together in one forward pass, at full image size; None: what memory holds.
        accumulate: forward passes whose gradients make one step.
        sampling: `natural` sees every image once an epoch; `balanced` draws every class equally often; `auto` is
            balanced where one class has many times the images of another, so that the small ones are answered too.
    """

    size: int | None = bounded(None, 1, 1 << 20)
    accumulate: int = bounded(1, 1, 4096)
    sampling: Literal["auto", "natural", "balanced"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation(_Part):
    """What happens to training images; in progressive learning, in the last stage.

    Attributes:
        crop: a `random` box of the image, or the `whole` image squashed to a square.
        crop_area: least share of the image in a random box.
        flip: probability of a horizontal flip; 0 where left and right have a meaning, as in digits.
        interpolation: of the resize.
        policy: RandAugment, AutoAugment v0 or none.
        layers, magnitude: of RandAugment; 10 is full strength.
        cutout: half the side of a grey square over the image's side; 0 is none.
        erasing: probability of random erasing.
        mixup, cutmix: alpha of the Beta distribution that mixing ratios are drawn from; 0 is off.
    """

    crop: Literal["random", "whole"] = "random"
    crop_area: float = bounded(0.08, 0.001, 1)
    flip: float = bounded(0.5, 0, 1)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    policy: Literal["none", "randaugment", "autoaugment"] = "none"
    layers: int = bounded(2, 0, 16)
    magnitude: float = bounded(10.0, 0, 30)
    cutout: float = bounded(0.0, 0, 0.5)
    erasing: float = bounded(0.0, 0, 1)
    mixup: float = bounded(0.0, 0, 100)
    cutmix: float = bounded(0.0, 0, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regularisation(_Part):
    """What else keeps a network from learning by heart; in progressive learning, in the last stage.

    Attributes:
        label_smoothing: share of the target spread over all classes.
        dropout: rate before the classifier; None: the network's own.
        drop_path: rate that the last block approaches; None: the network's own.
    """

    label_smoothing: float = bounded(0.1, 0, 0.9)
    dropout: float | None = bounded(None, 0, 0.99)
    drop_path: float | None = bounded(None, 0, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressive(_Part):
    """Where progressive learning starts (V2 section 4.2); it ends at the recipe's own image size and regularisation.

    A strength starts no higher than it ends, so a weak recipe is not made stronger.

    Attributes:
        stages: 1 is training at a fixed size.
        form: how sizes are spread: as the `paper` says or as Google's `code` does; see ProgressiveSchedule.
        image_size: pixels of the first stage; None: half of the last, rounded down to the multiple.
        multiple: sizes between the first and the last are rounded down to a multiple of it.
        magnitude, mixup, cutmix, dropout: first stage's; defaults are V2 Table 6.
        drop_path: first stage's; None: as in the last, which the paper does.
        batch_scale: first stage's batch over the last stage's.
        constant_pixels: give every stage the same number of pixels in a batch instead.
    """

    stages: int = bounded(1, 1, 10_000)
    form: Form = "paper"
    image_size: int | None = bounded(None, 1, 16384)
    multiple: int = bounded(16, 1, 512)
    magnitude: float = bounded(5.0, 0, 30)
    mixup: float = bounded(0.0, 0, 100)
    cutmix: float = bounded(0.0, 0, 100)
    dropout: float = bounded(0.1, 0, 0.99)
    drop_path: float | None = bounded(None, 0, 0.99)
    batch_scale: float = bounded(1.0, 0.01, 1000)
    constant_pixels: bool = False

    def __post_init__(self) -> None:
        """Refuse a batch that is set twice."""
        prove(self)
        if self.constant_pixels and self.batch_scale != 1:
            raise InputError(
                "both constant_pixels and batch_scale set the batch",
                where="constant_pixels",
                fix="leave out one of the two",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ema(_Part):
    """Moving average of the weights and norm statistics, which evaluation and the saved model use.

    Attributes:
        decay: 0 keeps no average.
        warm_in: use min(decay, (1 + step) / (10 + step)), so that the first weights are soon forgotten.
    """

    decay: float = bounded(0.9999, 0, 0.999999)
    warm_in: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(_Part):
    """How weights that are already good are treated.

    Attributes:
        head_epochs: epochs at the start in which only the classifier learns, so that its first, random gradients
            reach nothing else.
        norm_statistics: `update` them with each batch, or `freeze` what the weights came with, for batches too small
            to estimate them.
    """

    head_epochs: float = bounded(0.0, 0, 100_000)
    norm_statistics: Literal["update", "freeze"] = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation(_Part):
    """What a network learns from another one's answers (arXiv 1503.02531), beside the labels.

    Attributes:
        teacher: a published name, a tag or a model file that knows the same classes; None: labels alone teach.
        weight: share of the teacher in the loss; at 1 the labels are not looked at.
        temperature: both networks' logits are divided by it; the higher, the more the wrong classes tell.
        size: pixels of a side at which the teacher sees the images; None: its own.
    """

    teacher: str | None = None
    weight: float = bounded(0.7, 0, 1)
    temperature: float = bounded(2.0, 0.1, 100)
    size: int | None = bounded(None, 1, 16384)


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision(_Part):
    """How the arithmetic is done.

    Attributes:
        dtype: of the forward and backward pass; weights are float32 always. `auto`: bfloat16 where the device is fast
            at it, else float32.
        channels_last: keep images as (N, H, W, C) in memory.
        compile: run through torch.compile, which takes minutes to start and pays in long runs.
        checkpointing: keep only block inputs for the backward pass: less memory, about a third more time.
        sharding: share weights, gradients and optimizer memory among the processes (FSDP2) instead of copying them,
            for networks that do not fit on one device.
    """

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    checkpointing: bool = False
    sharding: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(_Part):
    """How to train a network.

    Attributes:
        name: what to call it.
        model: a published name; None: chosen by the data and the device.
        weights: to start from, as `effnet.create` takes them; None: fresh ones.
        resolution: full side of the training images in pixels; None: the network's own.
        stem_stride: stride of the first convolution; None: the network's own. 1 suits images of 32 px.
        white: the value of 16-bit grey images that is white, where fewer bits lie in 16 (4095 for 12); `data check`
            measures it. None: 65535, or what the weights were trained with.
        epochs: passes over the data.
        lr: peak learning rate for a step over 256 images; it grows with their number.
        seed: of everything random.
        judged_by: what the best network is chosen by on the validation images: `top1`, or the `mean_of_classes`, in
            which a class of six images counts as much as one of two hundred; `auto`: the latter where classes differ
            that much. Ties go to the lower loss, then to the later epoch.
        patience: epochs without a better validation score until training stops; None: never.
        max_hours: training stops in order when this time has passed; None: never.
    """

    name: str = "custom"
    model: str | None = None
    weights: str | None = None
    resolution: int | None = bounded(None, 1, 16384)
    stem_stride: int | None = bounded(None, 1, 8)
    white: int | None = bounded(None, 1, 65535)
    epochs: int = bounded(350, 1, 100_000)
    lr: float = bounded(0.016, 1e-9, 100)
    seed: int = bounded(0, 0, 2**63 - 1)
    judged_by: Literal["auto", "top1", "mean_of_classes"] = "auto"
    patience: int | None = bounded(None, 1, 100_000)
    max_hours: float | None = bounded(None, 0.0001, 1e5)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    batch: Batch = field(default_factory=Batch)
    augmentation: Augmentation = field(default_factory=Augmentation)
    regularisation: Regularisation = field(default_factory=Regularisation)
    progressive: Progressive = field(default_factory=Progressive)
    ema: Ema = field(default_factory=Ema)
    transfer: Transfer = field(default_factory=Transfer)
    distillation: Distillation = field(default_factory=Distillation)
    precision: Precision = field(default_factory=Precision)

    def __post_init__(self) -> None:
        """Refuse recipes whose parts contradict each other."""
        prove(self)
        warm_up, head = self.schedule.warmup_epochs, self.transfer.head_epochs
        for key, length in (("schedule.warmup_epochs", warm_up), ("transfer.head_epochs", head)):
            if length >= self.epochs:
                raise InputError(
                    f"{length:g} of {self.epochs} epochs", where=key, fix=f"give less than {self.epochs}, such as 0"
                )

    def progressive_for(self, spec: NetworkSpec) -> ProgressiveSchedule:
        """Return what changes during training of `spec`, stage by stage; with one stage, what it trains with.

        Raises:
            InputError: the first stage's images are larger than the last's.
        """
        part, augmentation, regularisation = self.progressive, self.augmentation, self.regularisation
        last = self.resolution or spec.train_resolution or spec.resolution
        half = max(1, last // 2)
        first = part.image_size or max(min(half, part.multiple), half // part.multiple * part.multiple)
        if part.stages > 1 and first > last:
            raise InputError(
                f"the first stage's {first} px are more than the last's {last} px",
                where="progressive.image_size",
                fix=f"give {half}, or a larger resolution",
            )
        dropout = spec.head.dropout if regularisation.dropout is None else regularisation.dropout
        drop_path = spec.drop_path if regularisation.drop_path is None else regularisation.drop_path
        magnitude = augmentation.magnitude if augmentation.policy == "randaugment" else 0.0
        return ProgressiveSchedule(
            stages=part.stages,
            form=part.form,
            image_size=Ramp(min(first, last), last),
            multiple=part.multiple,
            magnitude=Ramp(min(part.magnitude, magnitude), magnitude),
            mixup=Ramp(min(part.mixup, augmentation.mixup), augmentation.mixup),
            cutmix=Ramp(min(part.cutmix, augmentation.cutmix), augmentation.cutmix),
            dropout=Ramp(min(part.dropout, dropout), dropout),
            drop_path=Ramp(drop_path if part.drop_path is None else min(part.drop_path, drop_path), drop_path),
            batch_scale=Ramp(part.batch_scale, 1),
            constant_pixels=part.constant_pixels,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain JSON types."""
        return plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], base: Self | None = None) -> Self:
        """Read what `to_dict` wrote, or any part of it: what is left out is as in `base` (default: `Recipe()`).

        Fewer epochs than the base has shorten its warm-up and its head epochs alike, unless they are given too.

        Raises:
            EffnetError: an unknown key, with the nearest known one, or an impossible value.
        """
        base = cls() if base is None else base
        epochs = data.get("epochs") if isinstance(data, Mapping) else None
        if isinstance(epochs, int) and 1 <= epochs < base.epochs:
            share = epochs / base.epochs
            schedule = dataclasses.replace(base.schedule, warmup_epochs=base.schedule.warmup_epochs * share)
            transfer = dataclasses.replace(base.transfer, head_epochs=base.transfer.head_epochs * share)
            base = dataclasses.replace(base, schedule=schedule, transfer=transfer, epochs=epochs)
        return changed(base, data, root=cls)

    def __str__(self) -> str:
        """A table, one line a part, each setting as a flag would give it."""
        rows: dict[str, list[str]] = {}
        for key, setting in keys_of(type(self)).items():
            part, _, name = key.rpartition(".")
            value = getattr(getattr(self, part) if part else self, name)
            shown = f"{value:g}" if setting.kind is float and value is not None else str(value)
            shown = shown.lower() if value in (None, True, False) else shown
            rows.setdefault(part or "run", []).append(f"{name}={shown}")
        width = max(map(len, rows))
        return "\n".join(f"{part:<{width}}  {' '.join(settings)}" for part, settings in rows.items())


def chooser_of(recipe: Recipe) -> Chooser:
    """Return what the best network of a run is chosen by; an open decision is top-1."""
    return "mean_of_classes" if recipe.judged_by == "mean_of_classes" else "top1"
