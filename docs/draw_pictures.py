"""Draw the pictures of the README and the docs from the published tables: `python docs/draw_pictures.py`."""

from __future__ import annotations

from pathlib import Path

from effnet.comparison import figure
from effnet.comparison.subject import short_label
from effnet.cost import cost
from effnet.families import find, names
from effnet.report.anatomy import anatomy
from effnet.report.anatomy_diagram import draw_one, draw_two
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


def maps(images: Path) -> None:
    """Draw what Lite0 and Lite1 looked at, and one image's most probable classes with their checks."""
    import effnet
    from effnet.demo import photographs
    from effnet.inference.explain.sheet import write_sheet

    models = [effnet.load(name) for name in ("lite0", "lite1")]
    china, flower = photographs()
    beside = [[*(one for model in models for one in effnet.explain(model, photo))] for photo in (china, flower)]
    write_sheet(beside, images / "explain-models.jpg")
    checked = effnet.explain(models[0], china, top=2, check=True)
    write_sheet([checked], images / "explain-check.jpg")


def main() -> None:
    """Write docs/images."""
    images = HERE / "images"
    images.mkdir(exist_ok=True)
    (images / "accuracy.svg").write_bytes(draw("svg"))
    for name in FIGURES:
        (images / f"{name}.svg").write_bytes(figure_chart(figure(name)))
    for name, drawn in (
        ("anatomy-b0", draw_one(anatomy(find("b0")))),
        ("anatomy-b0-b4", draw_two(anatomy(find("b0")), anatomy(find("b4")))),
    ):
        (images / f"{name}.svg").write_text(drawn, "utf-8")
    maps(images)


if __name__ == "__main__":
    main()
