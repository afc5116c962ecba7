"""Lite0, Lite1 and Lite2 with their real ImageNet weights on 500 photographs, one a class.

Each model is measured with its own preprocessing (what `effnet.load` uses) and with the alternatives that publishers
and ports name, which differ in three things: resampling, crop and the decoder's fast path. The numbers choose nothing:
the preprocessing is the published one, and this shows what the others would have given. The photographs are probably
training images, so the accuracies are above those of the validation set; differences below about 1.3 points (one
standard error of 500 photographs) mean nothing.

    python benchmarks/imagenet_sample.py PHOTOGRAPHS

PHOTOGRAPHS is a folder of files named `NNNN_*`, NNNN being the class's index.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from machine import describe
from PIL import Image

import effnet
from effnet.data.decode import decode
from effnet.inference.predictor import ImageSource, Predictor
from effnet.inference.sources import expand
from effnet.nn import Network
from effnet.preprocessing import Preprocess

RESULTS = Path(__file__).parent / "results" / "imagenet_sample.json"
MODELS = {"lite0": 87.4, "lite1": 89.2, "lite2": 91.0}
"""Model and the top-1 it must reach, percent."""


def accuracy(model: Predictor, sources: Iterable[ImageSource], classes: list[int]) -> dict[str, float]:
    """Return top-1 and top-5 in percent."""
    first = fifth = 0
    for wanted, prediction in zip(classes, model.predict_iter(sources, top=5), strict=True):
        indices = [score.index for score in prediction.scores]
        first += wanted == indices[0]
        fifth += wanted in indices
    return {"top1": round(100 * first / len(classes), 2), "top5": round(100 * fifth / len(classes), 2)}


def alternatives(own: Preprocess) -> dict[str, Preprocess]:
    """Return what publishers and ports name for such weights: crop 0.875 or size / (size + 32), either filter."""
    crops = {"0.875": 0.875, "size/(size+32)": own.size / (own.size + 32)}
    return {
        f"{interpolation}, crop {crop}": dataclasses.replace(own, interpolation=interpolation, crop=share)
        for interpolation in ("bicubic", "bilinear")
        for crop, share in crops.items()
    }


def decoded_small(files: tuple[str, ...], size: int) -> Iterator[Image.Image]:
    """Decode JPEGs at a fraction of their size where that leaves twice the pixels that are needed."""
    return (decode(Path(file), min_size=size) for file in files)


def measure(network: Network, files: tuple[str, ...], classes: list[int]) -> dict[str, object]:
    own = network.preprocess
    assert own is not None
    result: dict[str, object] = {
        "preprocess": own.describe(),
        **accuracy(effnet.load(network), files, classes),
        "own, JPEGs decoded at reduced size": accuracy(
            effnet.load(network), decoded_small(files, own.resize_to), classes
        ),
    }
    for name, preprocess in alternatives(own).items():
        network.preprocess = preprocess
        result[name] = accuracy(effnet.load(network), files, classes)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    files = expand([parser.parse_args().photographs])
    classes = [int(Path(file).name.partition("_")[0]) for file in files]
    models = {}
    for name, bar in MODELS.items():
        models[name] = {"bar": bar, **measure(effnet.create(name, weights="imagenet"), files, classes)}
        print(name, json.dumps(models[name], indent=2))
    result = {"images": len(files), "machine": describe("torch", "pillow", "numpy"), "models": models}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
