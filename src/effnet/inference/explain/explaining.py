"""From a model and an image to explanations.

>>> import effnet
>>> model = effnet.load("lite0")  # doctest: +SKIP
>>> effnet.explain(model, "cat.jpg", top=2)[0].overlay().save("why.png")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from effnet.data.preprocess import to_batch, to_pixels
from effnet.errors import InputError, UnknownNameError
from effnet.inference.classifier import Classifier, ImageSource, open_image
from effnet.inference.explain import occlusion
from effnet.inference.explain.explanation import Check, Explanation
from effnet.inference.explain.maps import METHODS, Method, activation_maps, stage_name, stage_number
from effnet.inference.explain.randomisation import cascade
from effnet.inference.prediction import Score
from effnet.inference.predictor import Predictor, load
from effnet.nn import Network
from effnet.preprocessing import place
from effnet.spec import NetworkSpec

AnyMethod = Literal[Method, "occlusion"]
ANY_METHOD: tuple[str, ...] = (*METHODS, "occlusion")
Progress = Callable[[int, int], None]


def explain(
    model: str | os.PathLike[str] | Network | Classifier,
    image: ImageSource,
    *,
    classes: Sequence[int | str] | None = None,
    top: int = 1,
    method: AnyMethod = "grad-cam",
    stage: int | str | None = None,
    check: bool = False,
    device: str | None = None,
    size: int | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[Explanation, ...]:
    """Return where on the image the evidence for its most probable classes lies, one map a class.

    Args:
        model: a name, a tag, a model file or a network, or what `effnet.load` returned: load a model once to explain
            many images, and a bundle before it is explained (by occlusion).
        image: a path, a file's bytes, a Pillow image or uint8 pixels (H, W) or (H, W, 3).
        classes: the classes to explain instead of the most probable, by number or name.
        top: how many of the most probable.
        method: `grad-cam`, `hirescam`, `layercam`, the exact `cam`, or `occlusion`, which needs no gradients.
        stage: whose output is looked at: `stem`, a number from 1, `head`; None: the last.
        check: also cover parts of the image, and lose the weights, to see whether the maps can be trusted. It runs
            about 100 images, and 26 for each class.
        device: where to compute, unless the model is loaded already.
        size: input side in pixels, likewise.
        progress: called with images done and in all during occlusion and checks.

    Raises:
        ImageError: the image cannot be read.
        UnknownNameError, InputError: no such model, class, method or stage, or the model has no gradients.
        WeightsError, DownloadError, MissingDependencyError: the weights cannot be had.
    """
    if method not in ANY_METHOD:
        raise UnknownNameError.among("method", str(method), ANY_METHOD, see=f"known: {', '.join(ANY_METHOD)}")
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise InputError(f"top is {top!r}", where="top", fix="give a whole number from 1")
    if isinstance(model, str | os.PathLike | Network):
        model = load(model, device=device, size=size)
    place_ = _stage(model.spec, stage)
    whole = open_image(image, white=model.preprocess.white)
    prepared = to_batch([to_pixels(whole, model.preprocess)], model.preprocess)
    probabilities = (_answering(model)(prepared) / model.temperature).softmax(1)[0].cpu()
    if classes is None:
        chosen = probabilities.topk(min(top, len(probabilities))).indices.tolist()
    else:
        chosen = class_numbers(classes, model.labels, len(probabilities))
    work = _Work(model, prepared[0], chosen, progress, images=_images(method, check, len(chosen)))
    heats = work.maps(method, place_)  # (K, H', W')
    checks = work.checks(heats, method, place_) if check else [None] * len(chosen)
    return tuple(
        Explanation(
            source=os.fspath(image) if isinstance(image, str | os.PathLike) else None,
            model=model.spec.name,
            image=whole,
            target=Score(index=index, label=_label(model.labels, index), probability=float(probabilities[index])),
            method=method,
            stage="input" if method == "occlusion" else stage_name(model.spec, place_),
            heat=heat.cpu().numpy(),
            window=place(model.preprocess, *whole.size).window,
            check=checked,
        )
        for index, heat, checked in zip(chosen, heats, checks, strict=True)
    )


def class_numbers(classes: Sequence[int | str], labels: tuple[str, ...] | None, known: int) -> list[int]:
    """Return the outputs that a person means by numbers or names, the case of letters aside.

    Raises:
        UnknownNameError, InputError: the model has no such class, or none was given.
    """
    if not classes or isinstance(classes, str):
        raise InputError(f"classes are {classes!r}", where="classes", fix="give a list of names or numbers")
    places = {label.casefold(): index for index, label in reversed(list(enumerate(labels or ())))}
    numbers = []
    for wanted in classes:
        text = str(wanted)
        if text.casefold() in places and not isinstance(wanted, int):
            numbers.append(places[text.casefold()])
        elif not isinstance(wanted, bool) and text.isdecimal() and len(text) < 10 and int(text) < known:
            numbers.append(int(text))
        elif isinstance(wanted, str) and not text.isdecimal() and labels is not None:
            raise UnknownNameError.among("class", text, labels)
        else:
            raise InputError(f"there is no class {wanted!r}", where="classes", fix=f"give 0 to {known - 1}, or a name")
    return list(dict.fromkeys(numbers))


class _Work:
    """The runs of one model on one prepared image (C, H, W), counted for whoever watches."""

    def __init__(
        self, model: Classifier, image: Tensor, classes: Sequence[int], progress: Progress, *, images: int
    ) -> None:
        self._model, self._image, self._classes = model, image, classes
        self._logits = _answering(model)
        self._progress, self._done, self._total = progress, 0, images
        self._covered: Tensor | None = None

    def maps(self, method: AnyMethod, stage: int) -> Tensor:
        """Return (K, H', W')."""
        if method == "occlusion":
            return self._occlusion()
        network = _network(self._model)
        weight = next(network.parameters())
        batch = self._image[None].to(weight.device, weight.dtype)
        return activation_maps(network, batch, [list(self._classes)], method=method, stage=stage)[0].float()

    def checks(self, heats: Tensor, method: AnyMethod, stage: int) -> list[Check | None]:
        """Ask the network about each map."""
        model, classes = self._model, self._classes
        covered = self._occlusion().numpy()
        heats = heats.cpu()
        random = occlusion.random_curves(
            self._logits, self._image, classes, temperature=model.temperature, advance=self._advance
        )
        lost = []
        if method != "occlusion":
            network = _network(model)
            image = self._image.to(next(network.parameters()).device)
            lost = list(cascade(network, image, classes, method=method, stage=stage))
        found: list[Check | None] = []
        for column, (index, heat) in enumerate(zip(classes, heats, strict=True)):
            mine = occlusion.curves(
                self._logits, self._image, heat, [index], temperature=model.temperature, advance=self._advance
            )
            agreement = occlusion.rank_correlation(occlusion.on_grid(heat), covered[column])
            found.append(
                Check(
                    occlusion=covered[column],
                    rank_correlation=None if method == "occlusion" else agreement,
                    deletion=float(mine.deletion[0]),
                    insertion=float(mine.insertion[0]),
                    random_deletion=float(random.deletion[column]),
                    random_insertion=float(random.insertion[column]),
                    randomised=tuple((step.down_to, step.similarity[column]) for step in lost),
                )
            )
        return found

    def _occlusion(self) -> Tensor:
        if self._covered is None:
            self._covered = occlusion.occlusion_maps(self._logits, self._image, self._classes, advance=self._advance)
        return self._covered

    def _advance(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total)


def _images(method: str, check: bool, classes: int) -> int:
    """Return how many images will be run through `logits` after the first."""
    curve = 2 * (occlusion.STEPS + 1)
    covered = occlusion.GRID**2 + 1 if check or method == "occlusion" else 0
    return covered + (curve * (classes + occlusion.RANDOM_ORDERS) if check else 0)


def _network(model: Classifier) -> Network:
    if not isinstance(model, Predictor):
        fix = "use method occlusion, or explain the model file that it was made from"
        raise InputError("an exported model has no gradients", where=model.spec.name, fix=fix)
    return model.network


def _stage(spec: NetworkSpec, stage: int | str | None) -> int:
    if stage is None:
        return len(spec.stages) + (spec.head.channels is not None)
    return stage_number(spec, str(stage))


def _answering(model: Classifier) -> occlusion.Logits:
    """Return the model as a function of prepared images; an exported one takes pixels, to which they are put back."""
    if isinstance(model, Predictor):
        return model.logits
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (model.preprocess.mean, model.preprocess.std))

    def logits(images: Tensor) -> Tensor:
        levels = ((images.cpu() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        return torch.from_numpy(model.classify(list(levels.permute(0, 2, 3, 1).numpy())))  # (N, H, W, C)

    return logits


def _label(labels: tuple[str, ...] | None, index: int) -> str:
    return labels[index] if labels is not None else f"class {index}"
