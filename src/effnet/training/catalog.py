"""The named recipes. Each function is a table of what differs from `Recipe()`, under a header that says what to expect.

Claims are the publication's unless they say "measured here". Hours are for the whole run on the hardware named.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from effnet.errors import UnknownNameError
from effnet.training.learning_rate import Schedule
from effnet.training.progressive import published
from effnet.training.recipe import (
    Augmentation,
    Batch,
    Ema,
    Optimizer,
    Progressive,
    Recipe,
    Regularisation,
    Transfer,
)


def v1() -> Recipe:
    """EfficientNet V1 on ImageNet, from scratch, as the released code trains it (arXiv 1905.11946 section 5.2).

    Claim:    B0 77.1 % top-1 with AutoAugment (V1 Table 2); not measured here.
    Hours:    B4 21, B7 139 (V2 Table 7, as others quote it); B0 not stated; not measured here.
    Hardware: 32 TPUv3 cores.
    Command:  effnet train IMAGENET --recipe v1 --model b0

    The rate is 0.016 per 256 images, 0.128 at the released code's batch of 2048; the paper's 0.256 is for 4096.
    """
    return Recipe(
        name="v1",
        model="efficientnet_b0",
        epochs=350,
        lr=0.016,
        batch=Batch(size=2048),
        optimizer=Optimizer(kind="rmsprop_tf", weight_decay=1e-5, undecayed="norms"),
        schedule=Schedule(decay="staircase", decay_rate=0.97, decay_epochs=2.4, warmup_epochs=5),
        augmentation=Augmentation(crop_area=0.08, interpolation="bicubic", policy="autoaugment"),
        regularisation=Regularisation(label_smoothing=0.1, drop_path=0.2),
        ema=Ema(decay=0.9999, warm_in=True),
    )


def v2() -> Recipe:
    """EfficientNetV2-S on ImageNet, from scratch, with progressive learning (arXiv 2104.00298 section 5.1, Table 6).

    Claim:    V2-S 83.9 % top-1; not measured here.
    Hours:    7.1 (V2 Table 7, as others quote it); not measured here.
    Hardware: 32 TPUv3 cores.
    Command:  effnet train IMAGENET --recipe v2

    Sizes 128 to 300 px, RandAugment 5 to 15 and dropout 0.1 to 0.3 in four stages. `progressive.form=code` spreads the
    sizes as Google's code does, which also ends at magnitude 10 and keeps dropout at 0.2.
    """
    return _v2("v2", "efficientnetv2_s", "paper_s")


def v2_m() -> Recipe:
    """EfficientNetV2-M on ImageNet, from scratch, with progressive learning (V2 Table 6).

    Claim:    V2-M 85.1 % top-1; not measured here.
    Hours:    13 (V2 Table 7, as others quote it); not measured here.
    Hardware: 32 TPUv3 cores.
    Command:  effnet train IMAGENET --recipe v2_m

    The last stage is the released network's 384 px, not the paper's 380.
    """
    return _v2("v2_m", "efficientnetv2_m", "paper_m")


def v2_l() -> Recipe:
    """EfficientNetV2-L on ImageNet, from scratch, with progressive learning (V2 Table 6).

    Claim:    V2-L 85.7 % top-1; not measured here.
    Hours:    24 (V2 Table 7, as others quote it); not measured here.
    Hardware: 32 TPUv3 cores.
    Command:  effnet train IMAGENET --recipe v2_l

    The last stage is the released network's 384 px, not the paper's 380; its mixup alpha is the code's 0.5, where
    transcriptions of the paper have 0.4.
    """
    return _v2("v2_l", "efficientnetv2_l", "paper_l")


def finetune() -> Recipe:
    """ImageNet weights to a folder of your own images: hundreds to tens of thousands, in minutes.

    Claim:    Lite0 96.3 % (best epoch; last 94.6) on 244 photographs of ants and bees, mean of 3 seeds, measured here
              (benchmarks/results/finetune_accuracy_hymenoptera.json).
    Hours:    0.06 for that, measured here.
    Hardware: anything from two CPU cores.
    Command:  effnet train FOLDER

    The fresh classifier learns alone for a quarter of the run, then everything does, lower layers more slowly. AdamW
    and cosine need no tuning to the length of the run. Add `progressive.stages=4` to start with small images.
    """
    return Recipe(
        name="finetune",
        weights="imagenet",
        epochs=12,
        lr=0.008,
        optimizer=Optimizer(kind="adamw", weight_decay=0.02, layer_decay=0.8, head_rate=2, clip_norm=1),
        schedule=Schedule(decay="cosine", warmup_epochs=1),
        augmentation=Augmentation(crop_area=0.3, policy="randaugment", magnitude=5),
        regularisation=Regularisation(label_smoothing=0.1),
        ema=Ema(decay=0.998),
        transfer=Transfer(head_epochs=3),
    )


def small() -> Recipe:
    """Images of about 32 px such as CIFAR-10, from scratch.

    Claim:    not measured here.
    Hours:    not measured here.
    Hardware: one GPU.
    Command:  effnet train cifar10 --recipe small

    An EfficientNet divides its input by 32, so 32 px would end as a single pixel that has seen mostly padding. With
    `stem_stride=1` it divides by 16 and keeps 2 x 2. Enlarging the images to the network's own resolution instead
    (`--recipe finetune`) makes ImageNet weights useful, for 49 times the compute of 32 px at 224 px.
    """
    return Recipe(
        name="small",
        model="efficientnet_b0",
        resolution=32,
        stem_stride=1,
        epochs=100,
        lr=0.1,
        batch=Batch(size=256),
        optimizer=Optimizer(kind="sgd", weight_decay=5e-4, undecayed="norms_and_biases", clip_norm=5),
        schedule=Schedule(decay="cosine", warmup_epochs=5),
        augmentation=Augmentation(crop_area=0.35, policy="randaugment", magnitude=5, mixup=0.2),
        regularisation=Regularisation(label_smoothing=0.1, drop_path=0.1),
        ema=Ema(decay=0.999),
    )


def scratch() -> Recipe:
    """Your own images without weights to begin with: a network of your own, or `--weights none`.

    Claim:    Lite0 63 % (95 %: 56 to 71) on 244 photographs of ants and bees at 64 px, one seed, measured here, where
              chance is 54 % and `finetune` reaches 96 at 224 px: hundreds of images teach little from nothing.
    Hours:    0.16 for that on a busy machine, measured here.
    Hardware: anything from two CPU cores; a GPU for thousands of images.
    Command:  effnet train FOLDER --recipe scratch

    All layers learn at one rate from the first step, as nothing is there to be kept. Give it thousands of images.
    """
    return Recipe(
        name="scratch",
        epochs=60,
        lr=0.01,
        optimizer=Optimizer(kind="adamw", weight_decay=0.05, clip_norm=1),
        schedule=Schedule(decay="cosine", warmup_epochs=3),
        augmentation=Augmentation(crop_area=0.3, policy="randaugment", magnitude=5),
        regularisation=Regularisation(label_smoothing=0.1, drop_path=0.1),
        ema=Ema(decay=0.998),
    )


def brief() -> Recipe:
    """A few epochs from scratch, to rank networks against each other: what searches and studies train with.

    Claim:    ranks networks, no more: B0 at phi -5 and 48 px reaches 23 % on 1,500 images of CIFAR-10, measured here.
    Hours:    0.01 a network for 1,000 images of CIFAR-10 at 32 px on two CPU cores, measured here.
    Hardware: anything from two CPU cores.
    Command:  effnet train cifar10:ARCHIVE --recipe brief

    No averaging of weights and hardly any regularisation, which only pay in long runs; AdamW and cosine, which work for
    networks of any size without tuning.
    """
    return Recipe(
        name="brief",
        epochs=8,
        lr=0.03,
        batch=Batch(size=64),
        optimizer=Optimizer(kind="adamw", weight_decay=0.05, clip_norm=1),
        schedule=Schedule(decay="cosine", warmup_epochs=1),
        augmentation=Augmentation(crop_area=0.35, interpolation="bilinear"),
        regularisation=Regularisation(label_smoothing=0.1, dropout=0.0, drop_path=0.0),
        ema=Ema(decay=0.0),
    )


def _v2(name: str, model: str, schedule: str) -> Recipe:
    table = published(schedule)
    return Recipe(
        name=name,
        model=model,
        epochs=350,
        lr=0.016,
        batch=Batch(size=4096),
        optimizer=Optimizer(kind="rmsprop_tf", weight_decay=1e-5, undecayed="norms_and_biases"),
        schedule=Schedule(decay="staircase", decay_rate=0.97, decay_epochs=2.4, warmup_epochs=5),
        augmentation=Augmentation(
            crop_area=0.05,
            interpolation="bilinear",
            policy="randaugment",
            layers=2,
            magnitude=table.magnitude.end,
            mixup=table.mixup.end,
        ),
        regularisation=Regularisation(label_smoothing=0.1, dropout=table.dropout.end, drop_path=0.2),
        progressive=Progressive(
            stages=table.stages,
            image_size=int(table.image_size.start),
            multiple=table.multiple,
            magnitude=table.magnitude.start,
            mixup=table.mixup.start,
            dropout=table.dropout.start,
        ),
        ema=Ema(decay=0.9999, warm_in=True),
    )


_RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe for recipe in (v1, v2, v2_m, v2_l, finetune, scratch, small, brief)
}


def names() -> tuple[str, ...]:
    """Return the names of all recipes."""
    return tuple(_RECIPES)


def find(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        UnknownNameError: there is none; the nearest are suggested.
    """
    return _maker(name)()


def header(name: str) -> str:
    """Return what the recipe claims, the hours and hardware it takes, and its command.

    Raises:
        UnknownNameError: there is none of that name.
    """
    return inspect.getdoc(_maker(name)) or ""


def _maker(name: str) -> Callable[[], Recipe]:
    if name not in _RECIPES:
        raise UnknownNameError.among("recipe", name, _RECIPES, see=f"known: {', '.join(_RECIPES)}")
    return _RECIPES[name]
