"""`quantize`: the fastest int8 graph that loses no more than is allowed, with its proof; or a refusal."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from effnet.data.source import Dataset
from effnet.deploy.bundle import Bundle, write_bundle
from effnet.deploy.certificate import Accuracy
from effnet.deploy.export.door import convert, describe
from effnet.deploy.export.model import Model, find_model
from effnet.deploy.parity import Terms, certify, reference_logits
from effnet.deploy.probes import Probes
from effnet.deploy.quantize.choosing import choose, front, optimism
from effnet.deploy.quantize.climbing import FLOAT, Climb, Progress, Request
from effnet.deploy.quantize.judging import Gate, Judgement, points_down, points_up
from effnet.deploy.quantize.normalising import taking_pixels
from effnet.deploy.quantize.processor import Processor, this_processor
from effnet.deploy.quantize.samples import BATCH, CALIBRATION, GATE, Samples, open_samples
from effnet.deploy.quantize.sensitivity import Sensitivity
from effnet.deploy.quantize.variants import Candidate, float_graph
from effnet.errors import EffnetError, InputError, MissingDependencyError, UnknownNameError
from effnet.nn import Network
from effnet.spec import NetworkSpec
from effnet.weights.atomic import require_target

if TYPE_CHECKING:
    from onnx import ModelProto


_PAYS = 1.05
"""Times the float graph's speed from which an int8 graph is called faster."""


class GateError(EffnetError):
    """No int8 graph that was made loses as little as is allowed.

    Attributes:
        outcome: everything that was tried.
    """

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What came of it.

    Attributes:
        name: of the model.
        gate: what was allowed.
        chosen: the candidate that was certified; None when none passed.
        bundle: the chosen graph with its certificate; None likewise.
        candidates: all that were made, in order, each with its latency.
        optimism: points by which the chosen one's drop is too small, as the gate's images chose it; None without one.
        float_ms, float_size, float_top1: of the float graph; top-1 in percent, None without labels.
        sensitivities: of layers, the worst first; empty when layers were not compared.
        processor: what it was made for.
        notes: sentences about the images, and what was left out.
        seconds: it took.
    """

    name: str
    gate: Gate
    chosen: Candidate | None
    bundle: Bundle | None
    candidates: tuple[Candidate, ...]
    optimism: float | None
    float_ms: float
    float_size: int
    float_top1: float | None
    sensitivities: tuple[Sensitivity, ...]
    processor: Processor
    notes: tuple[str, ...]
    seconds: float

    @property
    def front(self) -> tuple[Candidate, ...]:
        """Candidates that no other one beats in drop, milliseconds and size at once."""
        return front(self.candidates)

    @property
    def speed_up(self) -> float | None:
        """Times that the chosen graph is as fast as the float one; None where none was chosen."""
        if self.chosen is None or not self.chosen.latency_ms:
            return None
        return self.float_ms / self.chosen.latency_ms

    @property
    def pays(self) -> bool:
        """Whether the chosen graph is faster than the float one by more than latencies vary."""
        return self.speed_up is not None and self.speed_up >= _PAYS

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        shown = self.front
        return {
            "model": self.name,
            "passed": self.chosen is not None,
            "chosen": self.chosen.name if self.chosen else None,
            "speed_up": self.speed_up,
            "pays": self.pays,
            "looks": len(self.candidates),
            "optimism": self.optimism,
            "gate": dataclasses.asdict(self.gate),
            "float": {"latency_ms": self.float_ms, "size": self.float_size, "top1": self.float_top1},
            "candidates": [_plain(one, self.gate, shown) for one in self.candidates],
            "sensitivities": [dataclasses.asdict(one) for one in self.sensitivities],
            "processor": self.processor.describe(),
            "reduce_range": self.processor.reduce_range,
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def quantize(
    model: str | os.PathLike[str] | Network | NetworkSpec,
    data: str | Path | Dataset,
    path: str | os.PathLike[str] | None = None,
    *,
    max_drop: float = 0.5,
    min_agreement: float = 0.0,
    method: Request = "auto",
    max_minutes: float = 10.0,
    calibration: int = CALIBRATION,
    images: int = GATE,
    seed: int = 0,
    threads: int | None = None,
    reduce_range: bool | None = None,
    preprocessing_in_graph: bool = False,
    progress: Progress = lambda stage, done, total: None,
    download: Callable[[int, int | None], None] | None = None,
) -> Outcome:
    """Make an int8 ONNX graph of a trained network, prove what it loses, and write it; or refuse and write nothing.

    Args:
        model: a published name, a tag, a model file, a run folder or a network.
        data: images of the kind that the model is for; see `open_dataset`; a folder without classes will do.
        path: the file to write; None: the bundle is only returned.
        max_drop: points of top-1 that may be lost on held-out images; without labels, of agreement.
        min_agreement: percent of held-out images whose first class must stay.
        method: `auto` takes the steps that are needed; or `ptq` (calibration alone), `mixed` (some layers in float),
            `surgery` (other activations, no SE, fine-tuned), `qat` (trained with rounding).
        max_minutes: after which no further step is begun.
        calibration, images: to calibrate with and to judge by, at most.
        seed: of what is held out and of training.
        threads: CPU threads of the latency measurements; None: as many as ONNX Runtime likes.
        reduce_range: give weights 7 bits, for processors without dot products of bytes; None: if this one needs it.
        preprocessing_in_graph: the graph takes uint8 pixels (N, size, size, C) and normalises them itself.
        progress: called with what is being done, how much of it and of how much.
        download: called with (bytes done, bytes in all or None) while weights are downloaded.

    Raises:
        GateError: everything that was tried loses more than is allowed. Nothing is written; `outcome` has the figures.
        EffnetError: the model, the data or a package is not there, an argument is impossible, or `path` cannot be
            written, which is found out before the work.
    """
    gate = Gate(max_drop=max_drop, min_agreement=min_agreement)
    _check(method, max_minutes)
    if path is not None:
        require_target(path)
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError.for_extra("onnx", "onnx", "int8") from None
    found = find_model(model, progress=download)
    processor = dataclasses.replace(this_processor(), asked=reduce_range)
    samples = open_samples(
        data,
        found.preprocess,
        names=found.network.labels,
        outputs=found.network.spec.classes,
        seed=seed,
        calibration=calibration,
        gate=images,
        trained_here="trained_by" in found.source,
        progress=lambda done, total: progress("reading images", done, total),
    )
    # As it is: preparing it for 8 bits could undo what makes it fast.
    fastest = onnx.load_model_from_string(convert(found.network, describe(found, "onnx", "fp32"))["model.onnx"])
    climb = Climb(
        network=found.network,
        samples=samples,
        gate=gate,
        reference=reference_logits(found.network, _probes(samples), samples.preprocess, progress),
        graph_of=lambda network: _graph(found, network),
        baseline=fastest,
        reduce_range=processor.reduce_range,
        minutes=max_minutes,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    climb.run(method)
    outcome = _outcome(found, climb, processor)
    if outcome.chosen is None:
        raise _refusal(outcome)
    bundle = _bundle(found, outcome.chosen, climb, len(outcome.candidates), preprocessing_in_graph)
    if path is not None:
        write_bundle(bundle, Path(path))
    return dataclasses.replace(outcome, bundle=bundle)


def _check(method: str, max_minutes: float) -> None:
    if method not in get_args(Request):
        raise UnknownNameError.among("method", method, get_args(Request), see=f"known: {', '.join(get_args(Request))}")
    if not 0 < max_minutes <= 100_000:
        raise InputError(f"max_minutes is {max_minutes!r}", where="max_minutes", fix="give minutes above 0, such as 10")


def _graph(found: Model, network: Network) -> ModelProto:
    changed = dataclasses.replace(found, network=network)
    return float_graph(convert(network, describe(changed, "onnx", "fp32"), optimize=False)["model.onnx"])


def _outcome(found: Model, climb: Climb, processor: Processor) -> Outcome:
    climb.progress("measuring latency", 0, 1)
    taken = climb.measure(climb.candidates, rounds=5)
    candidates = [dataclasses.replace(one, latency_ms=taken[one.name]) for one in climb.candidates]
    chosen = choose(candidates, climb.gate)
    flattered = optimism(candidates, climb.gate) if chosen else None
    return Outcome(
        name=found.name,
        gate=climb.gate,
        chosen=chosen,
        bundle=None,
        candidates=tuple(candidates),
        optimism=flattered,
        float_ms=taken[FLOAT],
        float_size=climb.baseline.ByteSize(),
        float_top1=candidates[0].judgement.reference,
        sensitivities=climb.sensitivities,
        processor=processor,
        notes=(
            processor.describe(),
            *climb.samples.notes,
            *climb.notes,
            *_caveats(climb.gate, len(climb.samples.gate), len(candidates), chosen, flattered),
        ),
        seconds=climb.seconds,
    )


def _caveats(gate: Gate, images: int, looks: int, chosen: Candidate | None, flattered: float | None) -> tuple[str, ...]:
    """Return what the figures of the gate's images cannot say."""
    found = []
    if 100 / images > gate.max_drop > 0:
        one = f"one of {images} images is {100 / images:.2f} points"
        found.append(f"{one}, more than the {gate.max_drop:g} that are allowed: to pass, none may be lost")
    if chosen is not None and flattered is not None:
        graphs = "1 graph was" if looks == 1 else f"{looks} graphs were"
        expected = chosen.judgement.drop + flattered
        found.append(
            f"{graphs} judged by the same {images} images; being let through by them flatters by about "
            f"{flattered:.2f} points (bootstrap), so on other images expect a loss of about {expected:.2f}"
        )
    return tuple(found)


def _refusal(outcome: Outcome) -> GateError:
    best = min(outcome.candidates, key=lambda one: (one.judgement.drop, -one.judgement.agreement))
    judged = best.judgement
    said = "; ".join(outcome.gate.objections(judged))
    what = f"the best of {len(outcome.candidates)} int8 graphs ({best.name}): {said}"
    if outcome.sensitivities:
        worst = ", ".join(f"{one.title} (logits move by {one.error:.0%})" for one in outcome.sensitivities[:3])
        what += f"; layers that lose most: {worst}"
    terms = []
    if judged.drop > outcome.gate.max_drop:
        terms.append(f"--max-drop {points_up(judged.drop):.2f}")
    if judged.agreement < outcome.gate.min_agreement:
        terms.append(f"--min-agreement {points_down(judged.agreement):.2f}")
    allowed = f"{' and '.join(terms)} would let it pass"
    error = GateError(what, where=outcome.name, fix=f"keep it in float, give more --max-minutes, or {allowed}")
    error.outcome = outcome
    return error


def _probes(samples: Samples, looks: int = 0) -> Probes:
    said = (f"{len(samples.gate)} held-out images", *samples.notes)
    seen = (f"they judged {looks} graphs, of which this is one",) if looks > 1 else ()
    return Probes(pixels=tuple(samples.gate), origin="; ".join((*said, *seen)))


def _bundle(found: Model, chosen: Candidate, climb: Climb, looks: int, pixels: bool) -> Bundle:
    gate, samples = climb.gate, climb.samples
    changed = dataclasses.replace(
        found, network=chosen.variant.network, source={**found.source, "quantized": _how(chosen)}
    )
    manifest = describe(changed, "onnx", "int8", preprocessing_in_graph=pixels)
    graph = taking_pixels(chosen.model, manifest.preprocess) if pixels else chosen.model
    payload = {"model.onnx": graph.SerializeToString(deterministic=True)}
    judged = chosen.judgement
    accuracy = None
    least = gate.min_agreement / 100
    if judged.reference is not None and judged.top1 is not None:
        accuracy = Accuracy(images=judged.images, reference=judged.reference, graph=judged.top1, max_drop=gate.max_drop)
    else:
        least = max(least, 1 - gate.max_drop / 100)
    return certify(
        Bundle(manifest=manifest, certificate=None, payload=payload),
        found.network,
        _probes(samples, looks),
        Terms(tolerance=None, min_agreement=least),
        threads=climb.threads,
        batches=(BATCH,),
        reference=climb.reference,
        accuracy=accuracy,
        progress=climb.progress,
    )


def _how(chosen: Candidate) -> dict[str, Any]:
    plan = chosen.variant.plan
    return {
        "how": chosen.name,
        "ranges": chosen.variant.choice,
        "reduce_range": plan.reduce_range,
        "bias_correction": plan.corrected,
        "float_layers": list(chosen.kept),
    }


def _plain(one: Candidate, gate: Gate, front: tuple[Candidate, ...]) -> dict[str, Any]:
    judged: Judgement = one.judgement
    return {
        "name": one.name,
        "method": one.method,
        **_how(one),
        **dataclasses.asdict(judged),
        "drop": judged.drop,
        "uncertainty": judged.uncertainty,
        "latency_ms": one.latency_ms,
        "size": one.size,
        "seconds": one.seconds,
        "passes": gate.passes(judged),
        "objections": list(gate.objections(judged)),
        "calibration_error": one.moved,
        "on_front": one in front,
    }
