"""How good a classifier's answers are: pure functions of its logits and the true classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from effnet.errors import InputError
from effnet.temperature import FIX as TEMPERATURE_FIX
from effnet.temperature import is_temperature

BINS = 15
"""Bins of confidence, of equal width, as in Guo et al. (arXiv 1706.04599)."""

LISTED = 200
"""Classes up to which every one is listed, whether or not it occurs."""

_Z = 1.959963984540054  # 95 % of a normal distribution lie within


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A percentage with the 95 % interval of Wilson (1927), which stays sensible near 0 and 100 and for few images."""

    percent: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, count: int) -> Self:
        """Return the share of `hits` in `count`."""
        p, z2 = hits / count, _Z * _Z
        centre = (p + z2 / (2 * count)) / (1 + z2 / count)
        reach = _Z / (1 + z2 / count) * math.sqrt(p * (1 - p) / count + z2 / (4 * count * count))
        low, high = max(0.0, centre - reach), min(1.0, centre + reach)
        return cls(percent=100 * p, low=100 * min(low, p), high=100 * max(high, p))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """One class's figures in percent; None where nothing was of it (recall) or called it (precision).

    Attributes:
        images: that truly are of the class.
    """

    name: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Answers of similar confidence: their number, mean confidence and accuracy, both in percent."""

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """What a classifier did on N images of K classes.

    Attributes:
        images: N.
        top1_interval, top5_interval: share of images whose class is the first, or among the first five, of the answer.
        loss: mean cross-entropy, natural logarithm.
        ece: expected calibration error in percent: how far confidence is from accuracy, over `BINS` bins.
        class_accuracy: mean recall of the classes that have images, in percent.
        classes: each class's figures.
        confusion: (K, K) numbers of images, by true class (row) and answered class (column).
        calibration: the bins that have images, by rising confidence.
        predicted: (N,) answered class.
        confidence: (N,) probability of that class.
        temperature: that logits were divided by.
    """

    images: int
    top1_interval: Share
    top5_interval: Share
    loss: float
    ece: float
    class_accuracy: float
    classes: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    calibration: tuple[Bin, ...]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    temperature: float

    @property
    def top1(self) -> float:
        """Accuracy in percent."""
        return self.top1_interval.percent

    @property
    def top5(self) -> float:
        """Accuracy of the first five answers in percent."""
        return self.top5_interval.percent

    @classmethod
    def of(
        cls,
        logits: NDArray[np.floating[Any]],
        labels: NDArray[np.integer[Any]],
        classes: tuple[str, ...],
        temperature: float = 1.0,
    ) -> Self:
        """Return the figures of (N, K) logits for (N,) true classes.

        Between equal logits the lower class number comes first.

        Raises:
            InputError: no images, shapes that do not fit, labels outside the classes, or logits that are not finite.
        """
        _require(logits, labels, classes, temperature)
        count, kinds = logits.shape
        rows = np.arange(count)
        logs = log_probabilities(logits, temperature)
        ranked = np.argsort(-logs, axis=1, kind="stable")[:, :5]  # (N, 5)
        predicted = ranked[:, 0]
        hits = predicted == labels
        confidence = np.exp(logs[rows, predicted])
        confusion = np.zeros((kinds, kinds), np.int64)
        np.add.at(confusion, (labels, predicted), 1)
        bins = calibration_bins(confidence, hits)
        scores = tuple(_class_score(name, confusion, number) for number, name in enumerate(classes))
        recalls = [score.recall for score in scores if score.recall is not None]
        return cls(
            images=count,
            top1_interval=Share.of(int(hits.sum()), count),
            top5_interval=Share.of(int((ranked == labels[:, None]).any(1).sum()), count),
            loss=float(-logs[rows, labels].mean()),
            ece=sum(b.images * abs(b.confidence - b.accuracy) for b in bins) / count,
            class_accuracy=float(np.mean(recalls)),
            classes=scores,
            confusion=confusion,
            calibration=bins,
            predicted=predicted.astype(np.int64),
            confidence=confidence,
            temperature=temperature,
        )

    def listed(self) -> list[int]:
        """Return the classes that figures are listed of: all, or of very many those that occur as truth or answer."""
        if len(self.classes) <= LISTED:
            return list(range(len(self.classes)))
        return np.flatnonzero(self.confusion.any(axis=0) | self.confusion.any(axis=1)).tolist()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures in plain JSON types, without the answers of single images.

        Classes, and rows and columns of the confusion, are those of `listed`; `outputs` is the number of all.
        """
        listed = self.listed()
        return {
            "images": self.images,
            "top1": self.top1,
            "top1_interval": [self.top1_interval.low, self.top1_interval.high],
            "top5": self.top5,
            "top5_interval": [self.top5_interval.low, self.top5_interval.high],
            "loss": self.loss,
            "ece": self.ece,
            "class_accuracy": self.class_accuracy,
            "temperature": self.temperature,
            "outputs": len(self.classes),
            "classes": [
                {"name": s.name, "images": s.images, "precision": s.precision, "recall": s.recall, "f1": s.f1}
                for s in (self.classes[number] for number in listed)
            ],
            "confusion": self.confusion[np.ix_(listed, listed)].tolist(),
            "calibration": [
                {"images": b.images, "confidence": b.confidence, "accuracy": b.accuracy} for b in self.calibration
            ],
        }


def log_probabilities(logits: NDArray[np.floating[Any]], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return log(softmax(logits / temperature)): (N, K) -> (N, K)."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))  # type: ignore[no-any-return]


def calibration_bins(confidence: NDArray[np.float64], hits: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return the bins, of equal width, that have images; each holds its upper border."""
    places = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    chosen = [places == place for place in range(BINS)]
    return tuple(
        Bin(images=int(b.sum()), confidence=100 * float(confidence[b].mean()), accuracy=100 * float(hits[b].mean()))
        for b in chosen
        if b.any()
    )


def _class_score(name: str, confusion: NDArray[np.int64], number: int) -> ClassScore:
    hits, images, called = int(confusion[number, number]), int(confusion[number].sum()), int(confusion[:, number].sum())
    return ClassScore(
        name=name,
        images=images,
        precision=100 * hits / called if called else None,
        recall=100 * hits / images if images else None,
        f1=100 * 2 * hits / (images + called) if images + called else None,
    )


def _require(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]], classes: tuple[str, ...], temperature: float
) -> None:
    if logits.ndim != 2 or not logits.size or labels.shape != logits.shape[:1] or len(classes) != logits.shape[1]:
        what = f"logits {logits.shape} for {labels.shape} labels of {len(classes)} classes"
        raise InputError(what, where="evaluation", fix="give (N, K) logits, (N,) labels and K names")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise InputError("a label is outside the classes", where="evaluation", fix=f"give 0 to {len(classes) - 1}")
    if not np.isfinite(logits).all():
        fix = "the network is damaged or has diverged; take an earlier model file"
        raise InputError("the network's answers are not finite numbers", where="evaluation", fix=fix)
    if not is_temperature(temperature):
        raise InputError(f"temperature {temperature}", where="evaluation", fix=TEMPERATURE_FIX)
