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


def wordnet_ids() -> tuple[str, ...]:
    """Return the WordNet ids of the ImageNet-1k classes in output order: `n01440764` is the tench."""
    return _wordnet()


def outputs_for(classes: Sequence[str], labels: Sequence[str] | None, outputs: int) -> list[int]:
    """Return which output of a model answers for each class of some data: by name where it has names, else by number.

    Classes called by WordNet ids (`n01440764`) are those of an ImageNet-1k classifier with 1000 or 1001 outputs. A
    model that names nothing answers for as many classes as it has outputs, in the order of their names, if all
    libraries would number them alike.

    Args:
        classes: names of the data's classes.
        labels: the model's class names in output order; None when it has none.
        outputs: how many it has.

    Raises:
        InputError: the model does not know all of the classes, or cannot be asked which output stands for which.
    """
    where = f"{len(classes)} classes for {outputs} outputs"
    if labels is not None and set(classes) <= set(labels):
        twice = [name for name in classes if list(labels).count(name) > 1]
        if twice:
            what = f"the model calls several outputs {', '.join(twice[:5])}"
            raise InputError(what, where=where, fix="give names that differ, one an output: --classes FILE")
        return [labels.index(name) for name in classes]
    background = {CLASSES: 0, CLASSES + 1: 1}.get(outputs)
    if background is not None and labels in (None, published_labels(outputs)) and set(classes) <= set(_wordnet()):
        return [background + _wordnet().index(name) for name in classes]
    if labels is not None:
        unknown = [name for name in classes if name not in labels]
        fix = f"name the class folders as the model does: {', '.join(labels[:5])}..."
        raise InputError(f"the model has no class {', '.join(unknown[:5])}", where=where, fix=fix)
    if outputs != len(classes):
        fix = "name them in the order of its outputs: --classes FILE (one a line) or --classes NAME,NAME,..."
        raise InputError("the model does not name its classes", where=where, fix=fix)
    if list(classes) != sorted(classes):
        what = (
            "the model does not name its classes, and libraries number these differently: "
            f"{_shown(classes)} by value (timm, effnet), {_shown(sorted(classes))} by letters (torchvision, Keras)"
        )
        fix = "say which names its outputs have, in their order: --classes FILE (one a line) or --classes NAME,NAME,..."
        raise InputError(what, where=where, fix=fix)
    return list(range(len(classes)))


def named_outputs(text: str, outputs: int) -> tuple[str, ...]:
    """Return the class names of a model in output order, as a person gives them: a file of one a line, or `a,b,c`.

    Raises:
        InputError: unreadable, a name twice, or not one an output.
    """
    path = Path(text)
    names = text.split(",")
    if path.is_file():
        try:
            names = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            fix = "write one name a line, as UTF-8 text"
            raise InputError("cannot be read as text", where=f"--classes {text}", fix=fix) from None
    names = [name.strip() for name in names if name.strip()]
    if len(names) != outputs or len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        what = f"names {', '.join(twice[:5])} twice" if twice else f"{len(names)} names for {outputs} outputs"
        fix = "give each output's name in order, in a file with one a line or as a,b,c"
        raise InputError(what, where=f"--classes {text[:80]}", fix=fix)
    return tuple(names)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


@functools.cache
def _imagenet() -> tuple[str, ...]:
    text = Path(__file__).with_name("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


@functools.cache
def _wordnet() -> tuple[str, ...]:
    # The ids in ascending order, which is how the challenge numbers its classes. The list is timm's
    # (timm/data/_info/imagenet_synsets.txt of 1.0.31, Apache-2.0).
    text = Path(__file__).with_name("imagenet_wnids.txt").read_text(encoding="utf-8")
    return tuple(text.split())
