"""The demonstration that `make demo` runs: real photographs, real weights, and four networks side by side.

It classifies the two photographs that scikit-learn bundles with Lite0's ImageNet weights (an installed package, so no
network is needed), then compares EfficientNet with ResNet-50 as V1 Table 2 does, with latency measured here.
"""

from __future__ import annotations

import html
import io
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from effnet.cost import cost
from effnet.data.decode import decode
from effnet.errors import MissingDependencyError
from effnet.families import find
from effnet.inference.latency import measure_latency
from effnet.inference.prediction import Prediction
from effnet.inference.predictor import load
from effnet.report import html as page
from effnet.weights.atomic import atomic_write
from effnet.weights.published import default

MODEL = "efficientnet_lite0"
COMPARED = ("efficientnet_b0", "efficientnet_b4", "efficientnetv2_s", "resnet50")
ROUNDS = 3
HEADERS = ("network", "px", "parameters (M)", "MACs (G)", "published top-1 (%)", "latency here (ms)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One network of the comparison.

    Attributes:
        top1: published ImageNet accuracy of its default weights in percent, measured at `top1_resolution`.
        latency_ms: median over the rounds of one image's median time at `resolution`, networks taking turns.
    """

    name: str
    resolution: int
    params: int
    macs: int
    top1: float
    top1_resolution: int
    latency_ms: float

    def cells(self) -> tuple[str, ...]:
        """Return one text for each of `HEADERS`."""
        return (
            self.name,
            str(self.resolution),
            f"{self.params / 1e6:.2f}",
            f"{self.macs / 1e9:.2f}",
            f"{self.top1:.1f} @ {self.top1_resolution}",
            f"{self.latency_ms:.1f}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What the demo found.

    Attributes:
        machine: what the latencies hold for.
        report: the page that was written.
    """

    predictions: tuple[Prediction, ...]
    compared: tuple[Compared, ...]
    machine: str
    report: Path


def photographs() -> tuple[Path, ...]:
    """Return the photographs bundled with scikit-learn.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        folder = Path(str(files("sklearn.datasets") / "images"))
    except ModuleNotFoundError:
        raise MissingDependencyError.for_extra("scikit-learn", "demo", "the demonstration") from None
    return tuple(sorted(folder.glob("*.jpg")))


def demonstrate(
    output: Path, *, names: Sequence[str] = COMPARED, advance: Callable[[str], None] = lambda step: None
) -> Demonstration:
    """Classify, compare, and write `output`/report.html.

    Args:
        output: folder of the report; made if it is missing.
        names: networks to compare.
        advance: told each step as it begins: one for the photographs, `ROUNDS` for each network.

    Raises:
        MissingDependencyError: scikit-learn or Lite0's weights are not installed.
        StorageError: the report cannot be written.
    """
    photos = photographs()
    advance(f"classifying {len(photos)} photographs with {MODEL}")
    predictions = tuple(load(MODEL).predict(photos))
    compared, machine = compare(names, advance)
    output.mkdir(parents=True, exist_ok=True)
    report = output / "report.html"
    with atomic_write(report) as temp:
        temp.write_text(_page(predictions, compared, machine), encoding="utf-8")
    return Demonstration(predictions=predictions, compared=compared, machine=machine, report=report)


def compare(names: Sequence[str], advance: Callable[[str], None]) -> tuple[tuple[Compared, ...], str]:
    """Return the networks side by side, their latencies measured in turns, and the machine they hold for."""
    specs = [find(name) for name in names]
    times: dict[str, list[float]] = {spec.name: [] for spec in specs}
    machine = ""
    for turn in range(1, ROUNDS + 1):
        for spec in specs:
            advance(f"timing {spec.name} at {spec.resolution} px (round {turn} of {ROUNDS})")
            measured = measure_latency(spec, repeats=7, warmup=2)
            times[spec.name].append(measured.median_ms)
            machine = f"{measured.machine}, {measured.threads} threads, batch 1"
    rows = []
    for spec in specs:
        counted, accuracy = cost(spec), default(spec.name).accuracy[0]
        rows.append(
            Compared(
                name=spec.name,
                resolution=spec.resolution,
                params=counted.params,
                macs=counted.macs,
                top1=accuracy.top1,
                top1_resolution=accuracy.resolution,
                latency_ms=statistics.median(times[spec.name]),
            )
        )
    return tuple(rows), machine


def _page(predictions: Sequence[Prediction], compared: Sequence[Compared], machine: str) -> str:
    cards = [(_thumbnail(Path(str(p.source))), Path(str(p.source)).name, _scores(p)) for p in predictions]
    return page.page(
        "effnet demonstration",
        [
            page.section(f"Two photographs, {MODEL} with ImageNet weights", page.cards(cards)),
            page.section(
                "EfficientNet and ResNet-50 side by side",
                page.table(HEADERS, [row.cells() for row in compared]),
                page.note(
                    f"Latency: {machine}; the networks took turns, median of {ROUNDS} rounds. Accuracy: what the "
                    "publisher of each network's default weights measured, at the resolution named."
                ),
            ),
            _bars("Multiply-accumulates (G)", [(r.name, r.macs / 1e9) for r in compared]),
            _bars("Parameters (M)", [(r.name, r.params / 1e6) for r in compared]),
            _bars("Latency here (ms)", [(r.name, r.latency_ms) for r in compared]),
        ],
        subtitle="Each network at its native resolution. Fewer multiply-accumulates do not always mean less time.",
    )


def _bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    return page.section(title, page.bars([(name, value, f"{value:.4g}") for name, value in values]))


def _scores(prediction: Prediction) -> str:
    if prediction.error is not None:
        return f"<p>{html.escape(str(prediction.error))}</p>"
    return page.bars([(s.label, s.probability, f"{s.probability:.1%}") for s in prediction.scores])


def _thumbnail(photo: Path) -> bytes:
    image = decode(photo)
    image.thumbnail((640, 480))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
