"""Names of the ImageNet-1k classes, in the order of the published classifiers' outputs.

The names are the first of each class's WordNet synonyms. Where that is not unique it says which is meant: crane
(bird) and crane (machine), maillot and tank suit, cardigan and Cardigan Welsh corgi.

    >>> from effnet.labels import published_labels
    >>> published_labels(1000)[281]
    'tabby'
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from effnet.errors import InputError

CLASSES = 1000
"""Classes of ImageNet-1k."""

BACKGROUND = "background"
"""Output 0 of the official TensorFlow classifiers with 1001 outputs."""


def published_labels(classes: int) -> tuple[str, ...] | None:
    """Return the class names of a *published* classifier with that many outputs, in output order.

    1000 outputs are ImageNet-1k, 1001 the same after a background class. Other published classifiers (ImageNet-21k)
    have no names here: None. A classifier trained on other data brings its own labels in its model file.
    """
    if classes == CLASSES:
        return _imagenet()
    if classes == CLASSES + 1:
        return (BACKGROUND, *_imagenet())
    return None


def outputs_for(classes: Sequence[str], labels: Sequence[str] | None, outputs: int) -> list[int]:
    """Return which output of a model answers for each class of some data: by name where it has names, else by number.

    Args:
        classes: names of the data's classes.
        labels: the model's class names in output order; None when it has none.
        outputs: how many it has.

    Raises:
        InputError: the model does not know all of the classes.
    """
    if labels is not None and set(classes) <= set(labels):
        return [labels.index(name) for name in classes]
    if outputs == len(classes) and labels is None:
        return list(range(len(classes)))
    known = set(labels or ())
    unknown = [name for name in classes if name not in known]
    what = f"the model has no class {', '.join(unknown[:5])}" if labels else "the model does not name its classes"
    fix = f"name the class folders as the model does: {', '.join((labels or ())[:5])}..." if labels else "train it here"
    raise InputError(what, where=f"{len(classes)} classes for {outputs} outputs", fix=fix)


@functools.cache
def _imagenet() -> tuple[str, ...]:
    text = Path(__file__).with_name("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
