"""What the compiled loops rely on, proved of a plan before any of them runs: a bundle may be anybody's.

The loops ask nothing themselves. Each rule here stands for accesses that would otherwise leave their map; the limits
keep every product of 32-bit numbers in the C++ below 2**31.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from effnet.deploy.document import AGAIN
from effnet.errors import WeightsError
from effnet.unrolling import strided

if TYPE_CHECKING:
    from effnet.deploy.native.plan import FeatureMap, Step

_MAX_STEPS = 1 << 16
_INT32 = 1 << 31


def prove(maps: Sequence[FeatureMap], steps: Sequence[Step]) -> None:
    """Prove that running the steps in order reads and writes what is there.

    Raises:
        WeightsError: a rule is broken; it names the step.
    """
    if not steps or max(len(maps), len(steps)) > _MAX_STEPS:
        raise WeightsError(f"{len(steps)} steps, {len(maps)} maps", where="plan", fix=AGAIN)
    written, gates, names = {0}, set[int](), set[str]()
    for number, step in enumerate(steps):
        if broken := _broken(maps, step, written, gates, names):
            raise WeightsError(broken, where=f"step {number}", fix=AGAIN)
    if len(written) != len(maps):
        raise WeightsError(f"{len(maps) - len(written)} maps are never written", where="plan", fix=AGAIN)
    if steps[-1].output != len(maps) - 1 or (maps[-1].height, maps[-1].width) != (1, 1):
        raise WeightsError("does not end with logits", where="plan", fix=AGAIN)


def _broken(maps: Sequence[FeatureMap], step: Step, written: set[int], gates: set[int], names: set[str]) -> str | None:
    """Return which rule the next step breaks, or add to the sets what it writes.

    Args:
        maps: of the plan.
        step: the next one.
        written: maps that there are by now.
        gates: those of them that `squeeze` wrote.
        names: of tensors that earlier steps read.
    """
    reads = [step.input] + [index for index in (step.shortcut, step.gate) if index is not None]
    writes = [step.output]
    if step.sums is not None:
        (reads if step.kind == "squeeze" else writes).append(step.sums)
    inside = all(0 < index < len(maps) and index not in written for index in writes)
    if not inside or not written.issuperset(reads) or len(set(writes)) != len(writes):
        return "its maps are not in order"
    # The image has one channel in a block, where every other map has a whole vector of them.
    if 0 in reads[1:] or (step.input == 0 and step.kind != "convolution"):
        return "only a convolution reads the image"
    # A gate is read and written as one row of channels, so no window may give it a border.
    if (step.gate is not None and step.gate not in gates) or not gates.isdisjoint({*reads} - {step.gate}):
        return "what squeeze writes is a gate, and nothing else is"
    if not _fits(maps, step):
        return "shapes of its maps do not fit"
    if step.kind == "convolution" and step.kernel**2 * maps[step.input].channels >= _INT32:
        return "its window is too large"
    # Tensors are found by name: two shapes under one would leave one step's weights too small.
    tensors = shapes_of(maps, step)
    if not names.isdisjoint(tensors):
        return "its weights are another step's"
    names.update(tensors)
    written.update(writes)
    if step.kind == "squeeze":
        gates.add(step.output)
    return None


def _fits(maps: Sequence[FeatureMap], step: Step) -> bool:
    source, target = maps[step.input], maps[step.output]
    windowed = (strided(source.height, step.stride), strided(source.width, step.stride))
    kept, pixel = windowed == (target.height, target.width), (source.channels, 1, 1)
    same = source.channels == target.channels
    shortcut = step.shortcut is None or (step.kind == "convolution" and maps[step.shortcut] == target)
    gate = step.gate is None or (step.kind == "convolution" and maps[step.gate].shape == pixel)
    sums = step.sums is None or maps[step.sums] == (source if step.kind == "squeeze" else target).sums
    match step.kind:
        case "convolution":
            fits = kept and step.sums is None
        case "depthwise":
            fits = kept and same and sums
        case "max_pool":
            fits = kept and same and step.sums is None
        case "squeeze":
            fits = target.shape == pixel and step.sums is not None and sums and step.squeezed > 0
        case "sum_rows":
            fits = target == source.sums and step.sums is None
        case "mean":
            fits = target.shape == pixel and step.sums is None
    return fits and shortcut and gate


def shapes_of(maps: Sequence[FeatureMap], step: Step) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a step reads, by name."""
    source, target, layer = maps[step.input].channels, maps[step.output].channels, step.layer
    match step.kind:
        case "convolution" | "depthwise":
            inputs = source if step.kind == "convolution" else 1
            return {f"{layer}.weight": (target, inputs, step.kernel, step.kernel), f"{layer}.bias": (target,)}
        case "squeeze":
            return {
                f"{layer}.fc1.weight": (step.squeezed, source, 1, 1),
                f"{layer}.fc1.bias": (step.squeezed,),
                f"{layer}.fc2.weight": (source, step.squeezed, 1, 1),
                f"{layer}.fc2.bias": (source,),
            }
    return {}
