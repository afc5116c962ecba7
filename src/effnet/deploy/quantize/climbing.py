"""Candidates from cheap to dear: calibration alone, layers kept in float, surgery, training with rounding.

Each step is taken only when what came before does not do, or is not faster than the float graph, and only while there
is time. What the gate's images say decides when to stop; what the calibration images say decides everything else.
"""

from __future__ import annotations

import dataclasses
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
from effnet.deploy.quantize.judging import Gate, Judgement
from effnet.deploy.quantize.ranges import WATCHED, values_of
from effnet.deploy.quantize.running import latencies, logits
from effnet.deploy.quantize.samples import Samples
from effnet.deploy.quantize.sensitivity import Sensitivity, sensitivities
from effnet.deploy.quantize.variants import Candidate, Method, Variant, calibrated, watched
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

_SURGERY_LR, _ROUNDING_LR = 0.004, 0.0008


@dataclass(slots=True, kw_only=True, eq=False)
class Climb:
    """One search for an int8 graph.

    Attributes:
        network: as it was trained.
        samples, gate: what it is calibrated on and judged by.
        graph_of: exports a network as a `prepared` float graph.
        baseline: the float graph that int8 must beat, as fast as it can be made.
        reduce_range: whether weights have 7 bits.
        minutes: to spend at most; a step that has begun may end a little later.
        threads: of the latency measurements.
        candidates: in the order in which they were made.
        sensitivities: of the layers of the last variant whose layers were compared, the worst first.
        notes: what was left out, and why.
        float_ms: of the float graph, when it was measured last.
    """

    network: Network
    samples: Samples
    gate: Gate
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
    float_ms: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _reference: NDArray[np.float32] | None = None

    def run(self, method: Request) -> None:
        """Make candidates: all that `method` names, or in `auto` those that are needed."""
        self._float_answers()
        steps = list(self._steps(method))
        for number, (_, step) in enumerate(steps):
            if method == "auto" and self.satisfied:
                return
            if number and self.remaining <= 0:
                self.notes.append(f"no time was left for {', '.join(left for left, _ in steps[number:])}")
                return
            step()

    @property
    def satisfied(self) -> bool:
        """Whether a candidate passes and is worth having."""
        return any(self.gate.passes(one.judgement) and self._speed_up(one) >= _WORTH for one in self.candidates)

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
            yield "mixed precision", self._mix
        if method in ("auto", "surgery"):
            for one in surgery.possible(spec):
                yield f"surgery: {one.name}", lambda one=one: self._operate(one)  # type: ignore[misc]
        if method in ("auto", "qat"):
            yield "training with rounding", self._train_rounded
        if method == "auto":
            yield "mixed precision of the trained network", self._mix

    def _float_answers(self) -> NDArray[np.float32]:
        if self._reference is None:
            total = len(self.samples.gate)
            said = logits(self.baseline, self.samples.gate_batches(), lambda n: self.progress("float", n, total))
            self._reference = said
        return self._reference

    def judged(self, model: ModelProto, stage: str) -> Judgement:
        """Return how a graph does on the gate's images."""
        total = len(self.samples.gate)
        answers = logits(model, self.samples.gate_batches(), lambda n: self.progress(stage, n, total))
        return Judgement.of(answers, self._float_answers(), self.samples.labels)

    def _calibrate(self, name: str, network: Network, method: Method) -> None:
        """Calibrate a network, with the parts of SiLU and SE in float and, where it has any, in int8 too."""
        model = self.graph_of(network)
        self.progress(f"calibrating {name}".strip(), 0, 1)
        seen = watched(model, self.samples)
        pointwise = any(node.op_type in ("Sigmoid", "Mul") for node in model.graph.node)
        for both in (False, True) if pointwise else (False,):
            plan = Plan(reduce_range=self.reduce_range, corrected=True, pointwise=both)
            variant = calibrated(name, network, model, self.samples, plan, seen=seen)
            title = "calibrated" + (", SiLU and gates in int8" if both else "")
            self._add(method, " ".join(filter(None, (name, title))), variant)

    def _add(self, method: Method, name: str, variant: Variant, keep: tuple[str, ...] = ()) -> Candidate:
        model = variant.quantized(frozenset(keep))
        titles = {layer.node: layer.title for layer in layers(variant.model)}
        candidate = Candidate(
            method=method,
            name=name,
            variant=variant,
            model=model,
            kept=tuple(titles[node] for node in keep),
            judgement=self.judged(model, name),
            size=model.ByteSize(),
            seconds=self.seconds,
        )
        self.candidates.append(candidate)
        return candidate

    def _mix(self) -> None:
        """Keep the most sensitive layers in float: 1, 2, 4, ... until the gate lets it pass, then as few as will do."""
        start = min(self.candidates, key=lambda one: (one.judgement.drop, one.judgement.error))
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
        failed, tried = 0, 1
        while tried <= len(order) // 2 and self.remaining > 0:
            if self.gate.passes(self._kept(variant, order[:tried]).judgement):
                break
            failed, tried = tried, 2 * tried
        else:
            return
        while tried - failed > 1 and self.remaining > 0:
            middle = (failed + tried) // 2
            if self.gate.passes(self._kept(variant, order[:middle]).judgement):
                tried = middle
            else:
                failed = middle

    def _kept(self, variant: Variant, nodes: list[str]) -> Candidate:
        count = f"{len(nodes)} layer{'s' if len(nodes) > 1 else ''} in float"
        return self._add("mixed", " ".join(filter(None, (variant.name, count))), variant, tuple(nodes))

    def _operate(self, one: surgery.Surgery) -> None:
        """Change the network, train it back for its share of the time, calibrate it."""
        batches = list(self.samples.calibration_batches(_SETTLED))
        changed = surgery.operated(self.network, one, batches)
        self._finetune(changed, _SURGERY_LR, f"fine-tuning {one.name}", share=1 / 3)
        surgery.with_fresh_statistics(changed, batches)
        self._calibrate(one.name, changed, "surgery")

    def _train_rounded(self) -> None:
        """Train with rounding in the forward pass, from the network that lost least so far."""
        whole = [one for one in self.candidates if not one.kept and not one.variant.plan.pointwise]
        start = min(whole, key=lambda one: (one.judgement.drop, one.judgement.error)).variant
        rounded = fake_quantization.with_rounding(start.network, reduce_range=self.reduce_range)
        fake_quantization.settle(
            rounded, [torch.from_numpy(batch) for batch in self.samples.calibration_batches(_SETTLED)]
        )
        self._finetune(rounded, _ROUNDING_LR, "training with rounding", share=0.8)
        network, ranges = fake_quantization.plain(rounded, start.network)
        network.preprocess, network.labels = self.network.preprocess, self.network.labels
        model = self.graph_of(network)
        images = next(self.samples.calibration_batches(2))
        held = fake_quantization.traced(network, torch.from_numpy(images))
        graph_holds = {name.removesuffix(WATCHED): value for name, value in values_of(model, images).items()}
        learnt = fake_quantization.matched(ranges, held, graph_holds)
        plan = Plan(reduce_range=self.reduce_range)
        name = " ".join(filter(None, (start.name, "trained with rounding")))
        variant = calibrated(name, network, model, self.samples, plan, overrides=learnt)
        self._add("qat", name, variant)

    def _finetune(self, network: Network, lr: float, stage: str, share: float) -> None:
        epochs = finetuned(
            network,
            self.network,
            self.samples,
            minutes=max(0.05, share * self.remaining),
            lr=lr,
            seed=self.seed,
            progress=lambda done, total: self.progress(stage, done, total),
        )
        self.notes.append(f"{stage}: {epochs} epochs of {len(self.samples.source)} images")

    def _speed_up(self, one: Candidate) -> float:
        if one.latency_ms is None:
            measured = self.measure([one])
            place = self.candidates.index(one)
            self.candidates[place] = dataclasses.replace(one, latency_ms=measured[one.name])
            return measured[FLOAT] / measured[one.name]
        return self.float_ms / one.latency_ms

    def measure(self, chosen: list[Candidate], rounds: int = 3) -> dict[str, float]:
        """Return milliseconds of one image for each candidate by its name, and of the float graph, in turns."""
        models = {FLOAT: self.baseline, **{one.name: one.model for one in chosen}}
        image = next(self.samples.calibration_batches(1))
        taken = latencies(models, image, threads=self.threads, rounds=rounds)
        self.float_ms = taken[FLOAT]
        return taken


FLOAT = "float"
