"""Names of the ImageNet-1k classes, in the order of the published classifiers' outputs.

The names are the first of each class's WordNet synonyms. Where that is not unique it says which is meant: crane
(bird) and crane (machine), maillot and tank suit, cardigan and Cardigan Welsh corgi.

    >>> from effnet.labels import published_labels
    >>> published_labels(1000)[281]
    'tabby'
"""

from __future__ import annotations

import functools
from pathlib import Path

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


@functools.cache
def _imagenet() -> tuple[str, ...]:
    text = Path(__file__).with_name("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
