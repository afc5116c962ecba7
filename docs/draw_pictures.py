"""Draw the pictures of the README from the published table: `python docs/draw_pictures.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from effnet.cost import cost
from effnet.families import find, names
from effnet.report.charts import Curve, Point, Side, accuracy_chart
from effnet.weights.published import default, published

HERE = Path(__file__).parent

CURVES = (
    ("EfficientNet", "efficientnet_b", "IMAGENET1K_V1", "below"),
    ("EfficientNetV2", "efficientnetv2_", "IMAGENET1K_V1", "above"),
    ("EfficientNet-Lite", "efficientnet_lite", None, "below"),
    ("ResNet, original recipe", "resnet", "IMAGENET1K_V1", "below"),
    ("ResNet, torchvision's 2021 recipe", "resnet", "IMAGENET1K_V2", "below"),
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
        label = name.removeprefix(prefix)
        short = {"efficientnet_b": f"B{label}", "efficientnet_lite": f"Lite{label}"}.get(prefix, label.upper())
        # Below Lite4 runs ResNet's curve.
        side: Side | None = "above" if short == "Lite4" else None
        found.append(Point(label=short, x=macs / 1e9, top1=accuracy.top1, side=side))
    return found


def draw(kind: Literal["png", "svg"]) -> bytes:
    """Return the chart of the README."""
    return accuracy_chart(
        [Curve(family=f, points=points(prefix, recipe), labels=side) for f, prefix, recipe, side in CURVES],
        x_label="multiply-accumulates per image at the resolution measured (billions, log scale)",
        title="Published ImageNet-1k accuracy of torchvision's and Lite's weights, against cost",
        kind=kind,
    )


def main() -> None:
    """Write docs/images/accuracy.svg."""
    target = HERE / "images" / "accuracy.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(draw("svg"))


if __name__ == "__main__":
    main()
