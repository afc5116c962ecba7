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
from effnet.deploy.parity import Terms, certify
from effnet.deploy.probes import Probes
from effnet.deploy.quantize.climbing import FLOAT, Climb, Progress, Request
from effnet.deploy.quantize.judging import Gate, Judgement
from effnet.deploy.quantize.processor import Processor, this_processor
from effnet.deploy.quantize.samples import CALIBRATION, GATE, Samples, open_samples
from effnet.deploy.quantize.sensitivity import Sensitivity
from effnet.deploy.quantize.variants import Candidate, float_graph
from effnet.errors import EffnetError, InputError, MissingDependencyError, UnknownNameError
from effnet.nn import Network
from effnet.spec import NetworkSpec

if TYPE_CHECKING:
    from onnx import ModelProto

_TIE = 1.03
"""Times the quickest candidate's milliseconds within which the more accurate one is taken."""


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
        return tuple(one for one in self.candidates if not any(_beats(other, one) for other in self.candidates))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "model": self.name,
            "passed": self.chosen is not None,
            "chosen": self.chosen.name if self.chosen else None,
            "gate": dataclasses.asdict(self.gate),
            "float": {"latency_ms": self.float_ms, "size": self.float_size, "top1": self.float_top1},
            "candidates": [_plain(one, self.gate, self.front) for one in self.candidates],
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
        reduce_range: give weights 7 bits; None: if this processor needs it.
        progress: called with what is being done, how much of it and of how much.
        download: called with (bytes done, bytes in all or None) while weights are downloaded.

    Raises:
        GateError: everything that was tried loses more than is allowed. Nothing is written; `outcome` has the figures.
        EffnetError: the model, the data or a package is not there, or an argument is impossible.
    """
    gate = Gate(max_drop=max_drop, min_agreement=min_agreement)
    _check(method, max_minutes)
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError.for_extra("onnx", "onnx", "int8") from None
    found = find_model(model, progress=download)
    processor = this_processor()
    if reduce_range is not None:
        processor = dataclasses.replace(processor, wide="as asked for" if not reduce_range else None)
    samples = open_samples(
        data,
        found.preprocess,
        names=found.network.labels,
        outputs=found.network.spec.classes,
        seed=seed,
        calibration=calibration,
        gate=images,
        progress=lambda done, total: progress("reading images", done, total),
    )
    # As it is: preparing it for 8 bits could undo what makes it fast.
    fastest = onnx.load_model_from_string(convert(found.network, describe(found, "onnx", "fp32"))["model.onnx"])
    climb = Climb(
        network=found.network,
        samples=samples,
        gate=gate,
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
    bundle = _bundle(found, outcome.chosen, samples, gate, threads, progress)
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
    return Outcome(
        name=found.name,
        gate=climb.gate,
        chosen=choose(candidates, climb.gate),
        bundle=None,
        candidates=tuple(candidates),
        float_ms=taken[FLOAT],
        float_size=climb.baseline.ByteSize(),
        float_top1=candidates[0].judgement.reference,
        sensitivities=climb.sensitivities,
        processor=processor,
        notes=(processor.describe(), *climb.samples.notes, *climb.notes),
        seconds=climb.seconds,
    )


def choose(candidates: list[Candidate], gate: Gate) -> Candidate | None:
    """Return the quickest candidate that passes; of several that tie, the one whose logits moved least."""
    passing = [one for one in candidates if gate.passes(one.judgement)]
    if not passing:
        return None
    quickest = min(one.latency_ms or 0.0 for one in passing)
    return min(
        (one for one in passing if (one.latency_ms or 0.0) <= _TIE * quickest), key=lambda one: one.judgement.error
    )


def _refusal(outcome: Outcome) -> GateError:
    best = min(outcome.candidates, key=lambda one: (one.judgement.drop, -one.judgement.agreement))
    said = "; ".join(outcome.gate.objections(best.judgement))
    what = f"the best of {len(outcome.candidates)} int8 graphs ({best.name}): {said}"
    if outcome.sensitivities:
        worst = ", ".join(f"{one.title} (logits move by {one.error:.0%})" for one in outcome.sensitivities[:3])
        what += f"; layers that lose most: {worst}"
    allowed = f"--max-drop {best.judgement.drop:.2f} would let it pass"
    error = GateError(what, where=outcome.name, fix=f"keep it in float, give more --max-minutes, or {allowed}")
    error.outcome = outcome
    return error


def _bundle(
    found: Model, chosen: Candidate, samples: Samples, gate: Gate, threads: int | None, progress: Progress
) -> Bundle:
    changed = dataclasses.replace(
        found, network=chosen.variant.network, source={**found.source, "quantized": _how(chosen)}
    )
    manifest = describe(changed, "onnx", "int8")
    payload = {"model.onnx": chosen.model.SerializeToString(deterministic=True)}
    judged = chosen.judgement
    accuracy = None
    least = gate.min_agreement / 100
    if judged.reference is not None and judged.top1 is not None:
        accuracy = Accuracy(images=judged.images, reference=judged.reference, graph=judged.top1, max_drop=gate.max_drop)
    else:
        least = max(least, 1 - gate.max_drop / 100)
    probes = Probes(pixels=tuple(samples.gate), origin=f"{judged.images} held-out images; {'; '.join(samples.notes)}")
    return certify(
        Bundle(manifest=manifest, certificate=None, payload=payload),
        found.network,
        probes,
        Terms(tolerance=None, min_agreement=least),
        threads=threads,
        batches=(8,),
        accuracy=accuracy,
        progress=progress,
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
        "on_front": one in front,
    }


def _beats(other: Candidate, one: Candidate) -> bool:
    def figures(candidate: Candidate) -> tuple[float, float, float]:
        return candidate.judgement.drop, candidate.latency_ms or 0.0, candidate.size

    pairs = list(zip(figures(other), figures(one), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
