"""Draw the pictures of the README and the docs from the published tables: `python docs/draw_pictures.py`."""

from __future__ import annotations

from pathlib import Path

from effnet.comparison import figure
from effnet.comparison.subject import short_label
from effnet.cost import cost
from effnet.families import find, names
from effnet.report.charts import Curve, Kind, Point, accuracy_chart
from effnet.report.comparison import figure_chart
from effnet.weights.published import default, published

HERE = Path(__file__).parent

FIGURES = ("v1-figure-1", "v1-figure-5", "v2-figure-1")

CURVES = (
    ("EfficientNet", "efficientnet_b", "IMAGENET1K_V1"),
    ("EfficientNetV2", "efficientnetv2_", "IMAGENET1K_V1"),
    ("EfficientNet-Lite", "efficientnet_lite", None),
    ("ResNet, original recipe", "resnet", "IMAGENET1K_V1"),
    ("ResNet, torchvision's 2021 recipe", "resnet", "IMAGENET1K_V2"),
)


def points(prefix: str, recipe: str | None) -> list[Point]:
    """Return one family where its weights of that recipe (None: the default ones) were measured."""
    found = []
    for name in names():
        rows = [a for a in published(name).accuracy if a.recipe == recipe] if recipe else default(name).accuracy[:1]
        if not name.startswith(prefix) or not rows:
            continue
        accuracy = rows[0]
        macs = cost(find(name), resolution=accuracy.resolution).macs
        found.append(Point(label=short_label(name), x=macs / 1e9, top1=accuracy.top1, remark=accuracy.source))
    return found


def draw(kind: Kind) -> bytes:
    """Return the chart of the README."""
    return accuracy_chart(
        [Curve(family=family, points=points(prefix, recipe)) for family, prefix, recipe in CURVES],
        x_label="multiply-accumulates for one image at the resolution measured (billions)",
        title="Published ImageNet-1k accuracy of torchvision's and Lite's weights, against cost",
        notes=("Accuracies: torchvision 0.28.0 weights metadata; tensorflow/tpu lite/README.md and timm (Lite).",),
        kind=kind,
    )


def main() -> None:
    """Write docs/images/accuracy.svg, and the papers' figures."""
    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    (folder / "accuracy.svg").write_bytes(draw("svg"))
    for name in FIGURES:
        (folder / f"{name}.svg").write_bytes(figure_chart(figure(name)))


if __name__ == "__main__":
    main()
