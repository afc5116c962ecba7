"""Candidates from cheap to dear: calibration alone, layers kept in float, training with rounding, surgery.

Each step is taken only when what came before does not do, or is not faster than the float graph, and only while there
is time. What the gate's images say decides when to stop; what the calibration images say decides everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from effnet.deploy.quantize import fake_quantization, surgery
from effnet.deploy.quantize.finetuning import finetuned
from effnet.deploy.quantize.graph import Plan, layers
from effnet.deploy.quantize.judging import Gate, Judgement, changes
from effnet.deploy.quantize.ranges import WATCHED, values_of
from effnet.deploy.quantize.running import latencies, logits
from effnet.deploy.quantize.samples import Samples
from effnet.deploy.quantize.sensitivity import Sensitivity, sensitivities
from effnet.deploy.quantize.variants import Candidate, Method, Variant, calibrated, watched
from effnet.errors import EffnetError
from effnet.nn import Network

if TYPE_CHECKING:
    from onnx import ModelProto

Request = Literal["auto", "ptq", "mixed", "surgery", "qat"]
Progress = Callable[[str, int, int], None]

_WORTH = 1.1
"""Times faster than the float graph from which a candidate that passes ends the climb."""

_COMPARED = 32
"""Calibration images that layers are compared on."""

_SETTLED = 128
"""Calibration images from which statistics and ranges start."""

_MOVED = 64
"""Calibration images that candidates are compared on: what one goes on from is not chosen by the gate's images."""

_SURGERY_LR, _ROUNDING_LR = 0.004, 0.0008


@dataclass(slots=True, kw_only=True, eq=False)
class Climb:
    """One search for an int8 graph.

    Attributes:
        network: as it was trained.
        samples, gate: what it is calibrated on and judged by.
        reference: the network's own logits (M, classes) of the gate's images.
        graph_of: exports a network as a `prepared` float graph.
        baseline: the float graph that int8 must beat, as fast as it can be made.
        reduce_range: whether weights have 7 bits.
        minutes: to spend at most; a step that has begun may end a little later.
        threads: of the latency measurements.
        candidates: in the order in which they were made.
        sensitivities: of the layers of the last variant whose layers were compared, the worst first.
        notes: what was left out, and why.
    """

    network: Network
    samples: Samples
    gate: Gate
    reference: NDArray[np.float32]
    graph_of: Callable[[Network], ModelProto]
    baseline: ModelProto
    reduce_range: bool
    minutes: float
    seed: int = 0
    threads: int | None = None
    progress: Progress = lambda stage, done, total: None
    candidates: list[Candidate] = field(default_factory=list)
    sensitivities: tuple[Sensitivity, ...] = ()
    notes: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _speed_ups: dict[str, float] = field(default_factory=dict)
    _mixed: set[str] = field(default_factory=set)
    _calibration_reference: NDArray[np.float32] | None = None

    def run(self, method: Request) -> None:
        """Make candidates: all that `method` names, or in `auto` those that are needed.

        Raises:
            EffnetError: a step failed; but in `auto` what was made before it stands.
        """
        steps = list(self._steps(method))
        if method == "surgery" and len(steps) == 1:
            self.notes.append("surgery: there is no SiLU and no SE to replace")
        for number, (name, step) in enumerate(steps):
            if method == "auto" and self.satisfied:
                return
            if number and self.remaining <= 0:
                self.notes.append(f"no time was left for {', '.join(left for left, _ in steps[number:])}")
                return
            try:
                step()
            except EffnetError as error:
                if method != "auto" or not self.candidates:
                    raise
                self.notes.append(f"{name} failed: {error}")

    @property
    def satisfied(self) -> bool:
        """Whether a candidate passes and is worth having."""
        return any(self._speed_up(one) >= _WORTH for one in self._passing)

    @property
    def _passing(self) -> list[Candidate]:
        return [one for one in self.candidates if self.gate.passes(one.judgement)]

    @property
    def remaining(self) -> float:
        """Minutes left."""
        return self.minutes - self.seconds / 60

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def _steps(self, method: Request) -> Iterator[tuple[str, Callable[[], None]]]:
        spec = self.network.spec
        yield "calibration", lambda: self._calibrate("", self.network, "ptq")
        if method in ("auto", "mixed"):
            yield "mixed precision", lambda: self._mix(method)
        if method in ("auto", "qat"):
            # Before surgery: in the same time it brings back more (docs/deployment.md).
            share = 0.5 if method == "auto" and surgery.possible(spec) else 0.8
            yield "training with rounding", lambda: self._train_rounded(share)
        if method in ("auto", "surgery"):
            for one in surgery.possible(spec):
                yield f"surgery: {one.name}", lambda one=one: self._operate(one)  # type: ignore[misc]
        if method == "auto":
            yield "mixed precision of what was trained", lambda: self._mix(method)

    def answers(self, model: ModelProto, stage: str) -> NDArray[np.float32]:
        """Return the logits of a graph for the gate's images."""
        total = len(self.samples.gate)
        return logits(model, self.samples.gate_batches(), lambda n: self.progress(stage, n, total))

    def _moved(self, model: ModelProto) -> float:
        if self._calibration_reference is None:
            self._calibration_reference = logits(self.baseline, self.samples.calibration_batches(_MOVED))
        answers = logits(model, self.samples.calibration_batches(_MOVED))
        return Judgement.of(answers, self._calibration_reference, None).error

    def _calibrate(self, name: str, network: Network, method: Method) -> None:
        """Calibrate a network, with the parts of SiLU and SE in float and, where it has any, in int8 too."""
        model = self.graph_of(network)
        self.progress(f"calibrating {name}".strip(), 0, 1)
        seen = watched(model, self.samples)
        for both in _pointwise(model):
            plan = Plan(reduce_range=self.reduce_range, corrected=True, pointwise=both)
            variant = calibrated(name, network, model, self.samples, plan, seen=seen)
            self._add(method, _title(name, "calibrated", both), variant)

    def _add(self, method: Method, name: str, variant: Variant, keep: tuple[str, ...] = ()) -> Candidate:
        model = variant.quantized(frozenset(keep))
        titles = {layer.node: layer.title for layer in layers(variant.model)}
        answers, labels = self.answers(model, name), self.samples.labels
        candidate = Candidate(
            method=method,
            name=name,
            variant=variant,
            model=model,
            kept=tuple(titles[node] for node in keep),
            judgement=Judgement.of(answers, self.reference, labels),
            changes=changes(answers, self.reference, labels),
            moved=self._moved(model),
            size=model.ByteSize(),
            seconds=self.seconds,
        )
        self.candidates.append(candidate)
        return candidate

    def _mix(self, method: Request) -> None:
        """Keep layers in float of what is fast; then of what is not, which gains size alone."""
        whole = [one for one in self.candidates if not one.kept and one.name not in self._mixed]
        for start in sorted(whole, key=lambda one: (self._speed_up(one) < _WORTH, one.moved)):
            if method == "auto" and self._passing:
                return  # what passes is too slow, and layers in float make nothing faster
            if self.remaining <= 0 or any(one.kept and self.gate.passes(one.judgement) for one in self.candidates):
                return
            self._mixed.add(start.name)
            self._mix_from(start)

    def _mix_from(self, start: Candidate) -> None:
        """Keep the most sensitive layers in float: 1, 2, 4, ... until the gate lets it pass, then as few as will do."""
        variant = start.variant
        batches = list(self.samples.calibration_batches(_COMPARED))
        self.sensitivities = sensitivities(
            variant.model,
            variant.ranges,
            variant.plan,
            batches,
            means=variant.means,
            stop=lambda: self.remaining <= 0,
            progress=lambda done, total: self.progress("comparing layers", done, total),
        )
        order = [one.layer for one in self.sensitivities]
        if len(order) < len(layers(variant.model)):
            self.notes.append(f"time was left to compare {len(order)} of {len(layers(variant.model))} layers")
        failed, tried = 0, 1
        while tried <= len(order) // 2 and self.remaining > 0:
            if self.gate.passes(self._kept(start, order[:tried]).judgement):
                break
            failed, tried = tried, 2 * tried
        else:
            return
        while tried - failed > 1 and self.remaining > 0:
            middle = (failed + tried) // 2
            if self.gate.passes(self._kept(start, order[:middle]).judgement):
                tried = middle
            else:
                failed = middle

    def _kept(self, start: Candidate, nodes: list[str]) -> Candidate:
        count = f"{len(nodes)} layer{'s' if len(nodes) > 1 else ''} in float"
        return self._add("mixed", f"{start.name}, {count}", start.variant, tuple(nodes))

    def _operate(self, one: surgery.Surgery) -> None:
        """Change the network, train it back for its share of the time, calibrate it."""
        batches = list(self.samples.calibration_batches(_SETTLED))
        changed = surgery.operated(self.network, one, batches)
        self._finetune(changed, _SURGERY_LR, f"fine-tuning {one.name}", share=1 / 3)
        surgery.with_fresh_statistics(changed, batches)
        self._calibrate(one.name, changed, "surgery")

    def _train_rounded(self, share: float) -> None:
        """Train with rounding in the forward pass, from the network that lost least so far."""
        whole = [one for one in self.candidates if not one.kept and not one.variant.plan.pointwise]
        start = min(whole, key=lambda one: one.moved).variant
        rounded = fake_quantization.with_rounding(start.network, reduce_range=self.reduce_range)
        fake_quantization.settle(
            rounded, [torch.from_numpy(batch) for batch in self.samples.calibration_batches(_SETTLED)]
        )
        self._finetune(rounded, _ROUNDING_LR, "training with rounding", share=share)
        network, ranges = fake_quantization.plain(rounded, start.network)
        network.preprocess, network.labels = self.network.preprocess, self.network.labels
        model = self.graph_of(network)
        images = next(self.samples.calibration_batches(2))
        held = fake_quantization.traced(network, torch.from_numpy(images))
        graph_holds = {name.removesuffix(WATCHED): value for name, value in values_of(model, images).items()}
        learnt, missing = fake_quantization.matched(ranges, held, graph_holds)
        if missing:
            self.notes.append(f"ranges that were learnt but not found in the graph: {', '.join(missing)}")
        name = " ".join(filter(None, (start.name, "trained with rounding")))
        seen = watched(model, self.samples)
        for both in _pointwise(model):
            plan = Plan(reduce_range=self.reduce_range, pointwise=both)
            variant = calibrated(name, network, model, self.samples, plan, overrides=learnt, seen=seen)
            self._add("qat", _title(name, "", both), variant)

    def _finetune(self, network: Network, lr: float, stage: str, share: float) -> None:
        done, planned = finetuned(
            network,
            self.network,
            self.samples,
            minutes=max(0.05, share * self.remaining),
            lr=lr,
            seed=self.seed,
            progress=lambda done, total: self.progress(stage, done, total),
        )
        short = "" if done >= planned else f" (time for {done:.1f})"
        self.notes.append(f"{stage}: {planned} epochs{short} of {len(self.samples.source)} images")

    def _speed_up(self, one: Candidate) -> float:
        if one.name not in self._speed_ups:
            measured = self.measure([one])
            self._speed_ups[one.name] = measured[FLOAT] / measured[one.name]
        return self._speed_ups[one.name]

    def measure(self, chosen: list[Candidate], rounds: int = 3) -> dict[str, float]:
        """Return milliseconds of one image for each candidate by its name, and of the float graph, in turns."""
        models = {FLOAT: self.baseline, **{one.name: one.model for one in chosen}}
        image = next(self.samples.calibration_batches(1))
        return latencies(models, image, threads=self.threads, rounds=rounds)


def _pointwise(model: ModelProto) -> tuple[bool, ...]:
    """Return whether Mul and Sigmoid may be in int8: both ways are tried where there are any."""
    return (False, True) if any(node.op_type in ("Sigmoid", "Mul") for node in model.graph.node) else (False,)


def _title(name: str, how: str, pointwise: bool) -> str:
    return " ".join(filter(None, (name, how))) + (", SiLU and gates in int8" if pointwise else "")


FLOAT = "float"
