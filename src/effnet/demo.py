"""The demonstration that `make demo` runs: a network fine-tuned, real photographs, and four networks side by side.

It fine-tunes Lite0 from its ImageNet weights (an installed package, so no network is needed) on scikit-learn's
handwritten digits, with image size and regularisation growing in stages, judges it on digits it has not seen and
predicts with the result; classifies the two photographs that scikit-learn bundles; and compares EfficientNet with
ResNet-50 as V1 Table 2 does, with latency measured here.
"""

from __future__ import annotations

import html
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from effnet.cost import cost
from effnet.data.decode import decode
from effnet.data.sources import open_dataset
from effnet.errors import MissingDependencyError
from effnet.families import find
from effnet.inference.latency import measure_latency
from effnet.inference.prediction import Prediction
from effnet.inference.predictor import load
from effnet.report import html as page
from effnet.training.events import Observer
from effnet.training.fit import Run, fit
from effnet.weights.atomic import atomic_write, make_folder
from effnet.weights.published import default

MODEL = "efficientnet_lite0"
COMPARED = ("efficientnet_b0", "efficientnet_b4", "efficientnetv2_s", "resnet50")
DATA = "digits"
SETTINGS: Mapping[str, Any] = {
    "epochs": 12,
    "progressive": {"stages": 3, "image_size": 32, "dropout": 0.1, "magnitude": 2.0},
}
"""What differs from the recipe that is chosen for the digits: sizes of 32, 48 and 64 px, and what grows with them."""
SHOWN = 8
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
        run: of the training on the digits.
        digits: predictions for the first of the digits that were not trained on.
        true_digits: what these digits are.
        predictions: for the photographs.
        machine: what the latencies hold for.
        report: the page that was written.
    """

    run: Run
    digits: tuple[Prediction, ...]
    true_digits: tuple[str, ...]
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
    output: Path,
    *,
    settings: Mapping[str, Any] = SETTINGS,
    names: Sequence[str] = COMPARED,
    observers: Sequence[Observer] = (),
    advance: Callable[[str], None] = lambda step: None,
) -> Demonstration:
    """Train, classify, compare, and write `output`/report.html.

    Args:
        output: folder of the report and of the run; made if it is missing.
        settings: of the training, as `effnet.fit` takes them.
        names: networks to compare.
        observers: told of the training's events.
        advance: told each later step as it begins: one for the photographs, `ROUNDS` for each network.

    Raises:
        MissingDependencyError: scikit-learn or Lite0's weights are not installed.
        StorageError: the report cannot be written.
    """
    photos = photographs()
    run = fit(DATA, run=_free(output / DATA), observers=observers, **settings)
    judged = open_dataset(DATA, seed=0).val
    assert judged is not None
    pictures = [judged.read(index) for index in range(min(SHOWN, len(judged)))]
    digits = tuple(load(run.model).predict(pictures))
    true_digits = tuple(judged.classes[label] for label in judged.labels[: len(pictures)])
    advance(f"classifying {len(photos)} photographs with {MODEL}")
    predictions = tuple(load(MODEL).predict(photos))
    compared, machine = compare(names, advance)
    make_folder(output, "--output")
    report = output / "report.html"
    result = Demonstration(
        run=run,
        digits=digits,
        true_digits=true_digits,
        predictions=predictions,
        compared=compared,
        machine=machine,
        report=report,
    )
    cards = [
        (_enlarged(picture), f"{truth}", _scores(answer))
        for picture, truth, answer in zip(pictures, true_digits, digits, strict=True)
    ]
    with atomic_write(report) as temp:
        temp.write_text(_page(result, cards), encoding="utf-8")
    return result


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


def _free(folder: Path) -> Path:
    """Return the folder's name, or with a number when an earlier demonstration has it."""
    names = (folder, *(folder.with_name(f"{folder.name}-{number}") for number in range(2, 1000)))
    return next(name for name in names if not name.exists())


def _page(result: Demonstration, digits: Sequence[tuple[bytes, str, str]]) -> str:
    predictions, compared, machine, run = result.predictions, result.compared, result.machine, result.run
    cards = [(_thumbnail(Path(str(p.source))), Path(str(p.source)).name, _scores(p)) for p in predictions]
    link = f"{run.folder.name}/report.html"
    return page.page(
        "effnet demonstration",
        [
            page.section(
                f"{MODEL} fine-tuned on handwritten digits",
                page.note(
                    f"{_judged(run)} of the digits that were kept back, after {run.seconds:.0f} s of training. "
                    "Curves, schedule, confusions and mistakes:"
                )
                + f"<p><a href='{html.escape(link)}'>{html.escape(link)}</a></p>",
                page.note("The first digits that were not trained on, under what each is:"),
                page.cards(digits),
            ),
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


def _judged(run: Run) -> str:
    return "-" if run.score is None else run.score.top1_text


def _bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    return page.section(title, page.bars([(name, value, f"{value:.3g}") for name, value in values]))


def _scores(prediction: Prediction) -> str:
    if prediction.error is not None:
        return f"<p>{html.escape(str(prediction.error))}</p>"
    return page.bars([(s.label, s.probability, f"{s.probability:.1%}") for s in prediction.scores], whole=1)


def _enlarged(picture: bytes | Path) -> bytes:
    canvas = Image.new("RGB", (160, 96))  # a card shows pictures wider than high
    canvas.paste(decode(picture).resize((96, 96), Image.Resampling.NEAREST), (32, 0))
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _thumbnail(photo: Path) -> bytes:
    image = decode(photo)
    image.thumbnail((640, 480))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
